//! rate-limiting: so many requests a second, minute, hour, day, month or year.

mod settings;

use sandgate_sdk::{
    auth,
    config::error,
    host::{Limit, Period, Usage},
    prelude::*,
};

pub use self::settings::Settings;
use self::settings::{LimitBy, Policy};

const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// One configuration.
#[derive(Debug)]
pub struct RateLimiting {
    settings: Settings,
    limits: Vec<Limit>,
    /// Route and service of the configuration: what counts together.
    prefix: String,
}

#[plugin(name = "rate-limiting", priority = 910, capabilities(counters))]
impl Plugin for RateLimiting {
    type Settings = Settings;

    fn new(settings: Settings, scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        let limits = settings.limits().map(|(period, limit)| Limit { period, ceiling: limit.ceil() as u64 }).collect();
        let id = |id: &Option<String>| id.clone().unwrap_or_else(|| NIL.into());
        let prefix = [&id(&scope.route_id), ":", &id(&scope.service_id), ":"].concat();
        Ok(Self { settings, limits, prefix })
    }

    fn validate(settings: &Settings) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        if settings.policy != Policy::Local {
            errors.push(error("policy", "only the policy 'local' is available in this version"));
        }
        let limits: Vec<_> = settings.limits().collect();
        for pair in limits.windows(2).filter(|pair| pair[1].1 < pair[0].1) {
            errors.push(error("", &lower(pair[1], pair[0])));
        }
        errors
    }

    fn prepare(&self) -> Prepared {
        let by_header = self.settings.limit_by == LimitBy::Header;
        let request_headers = self.settings.header_name.iter().filter(|_| by_header).cloned().collect();
        Prepared { request_headers, ..Prepared::default() }
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        let mut key = self.prefix.clone();
        key.push_str(&self.identifier(request, host));
        match host.take(&key, &self.limits, 1) {
            Ok(usages) => self.decide(&usages, request),
            Err(_) if self.settings.fault_tolerant => Flow::Next,
            Err(_) => auth::unexpected(),
        }
    }
}

impl RateLimiting {
    /// Whom the request counts for.
    fn identifier(&self, request: &Request, host: &impl Host) -> String {
        let found = match self.settings.limit_by {
            LimitBy::Consumer => host.consumer_id().or_else(|| host.credential_id()),
            LimitBy::Credential => host.credential_id(),
            LimitBy::Service => host.service_id(),
            LimitBy::Header => request.header(0).value().map(String::from),
            LimitBy::Path => self.settings.path.clone().filter(|path| *path == host.path()),
            LimitBy::Ip => None,
        };
        found.unwrap_or_else(|| host.client_address())
    }

    fn decide(&self, usages: &[Usage], request: &mut Request) -> Flow {
        let exceeded = self.limits.iter().zip(usages).any(|(limit, usage)| usage.used >= limit.ceiling);
        let own = u64::from(!exceeded);
        let mut tightest: Option<(u64, &Limit, u64)> = None;
        for (limit, usage) in self.limits.iter().zip(usages) {
            let remaining = limit.ceiling.saturating_sub(usage.used + own);
            if tightest.is_none_or(|(least, ..)| remaining <= least) {
                tightest = Some((remaining, limit, reset(limit.period, usage.elapsed)));
            }
            if !self.settings.hide_client_headers {
                let names = Names::of(limit.period);
                request.set_response_number(names.limit, limit.ceiling);
                request.set_response_number(names.remaining, remaining);
            }
        }
        if let (Some((remaining, limit, reset)), false) = (tightest, self.settings.hide_client_headers) {
            request.set_response_number("RateLimit-Limit", limit.ceiling);
            request.set_response_number("RateLimit-Remaining", remaining);
            request.set_response_number("RateLimit-Reset", reset);
            if exceeded {
                request.set_response_number("Retry-After", reset);
            }
        }
        if exceeded { refuse(self.settings.error_code as u16, &self.settings.error_message) } else { Flow::Next }
    }
}

/// What a period is called.
struct Names {
    limit: &'static str,
    remaining: &'static str,
    /// Of the setting.
    setting: &'static str,
}

impl Names {
    const fn of(period: Period) -> Self {
        let (limit, remaining, setting) = match period {
            Period::Second => ("X-RateLimit-Limit-Second", "X-RateLimit-Remaining-Second", "second"),
            Period::Minute => ("X-RateLimit-Limit-Minute", "X-RateLimit-Remaining-Minute", "minute"),
            Period::Hour => ("X-RateLimit-Limit-Hour", "X-RateLimit-Remaining-Hour", "hour"),
            Period::Day => ("X-RateLimit-Limit-Day", "X-RateLimit-Remaining-Day", "day"),
            Period::Month => ("X-RateLimit-Limit-Month", "X-RateLimit-Remaining-Month", "month"),
            Period::Year => ("X-RateLimit-Limit-Year", "X-RateLimit-Remaining-Year", "year"),
        };
        Self { limit, remaining, setting }
    }
}

/// Length of a period in seconds, as Kong counts it.
const fn seconds(period: Period) -> u64 {
    match period {
        Period::Second => 1,
        Period::Minute => 60,
        Period::Hour => 3_600,
        Period::Day => 86_400,
        Period::Month => 2_592_000,
        Period::Year => 31_536_000,
    }
}

/// Seconds to the end of the window, at least one.
fn reset(period: Period, elapsed: u64) -> u64 {
    seconds(period).saturating_sub(elapsed / 1_000).max(1)
}

fn lower(larger: (Period, f64), smaller: (Period, f64)) -> String {
    let text = |(period, limit): (Period, f64)| {
        let number = sandgate_sdk::json::to_string(&limit).unwrap_or_default();
        [Names::of(period).setting, "(", &number, ")"].concat()
    };
    ["The limit for ", &text(larger), " cannot be lower than the limit for ", &text(smaller)].concat()
}

#[cfg(test)]
mod tests;
