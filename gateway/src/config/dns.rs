//! How names of targets are resolved: Kong's settings, those of its newer client in place of the older ones.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use super::{
    Problem,
    quantity::duration,
    read::{Reader, number, size, switch},
};
use crate::dns::{Order, Settings};

/// Where servers listen that have no port of their own.
const PORT: u16 = 53;
/// Ten years, as nobody waits for longer.
const LONGEST: Duration = Duration::from_secs(315_360_000);

impl Reader {
    pub(super) fn dns(&mut self) -> Settings {
        // Names have one cache on a node, and are asked for once however many wait.
        self.take("dns_no_sync", "off", switch);
        self.take("resolver_mem_cache_size", "5m", size(0, u64::MAX));
        let valid = self.newer("dns_valid_ttl", "resolver_valid_ttl");
        Settings {
            servers: self.either(("dns_resolver", "resolver_address"), "", servers),
            resolv_conf: self.take("dns_resolv_conf", "/etc/resolv.conf", file),
            hosts_file: self.either(("dns_hostsfile", "resolver_hosts_file"), "/etc/hosts", file),
            order: self.either(("dns_order", "resolver_family"), "LAST,SRV,A,CNAME", order),
            valid: self.optional(valid, seconds),
            stale: self.either(("dns_stale_ttl", "resolver_stale_ttl"), "3600", seconds),
            not_found: self.take("dns_not_found_ttl", "30", seconds),
            error: self.either(("dns_error_ttl", "resolver_error_ttl"), "1", seconds),
            cache_size: self.either(("dns_cache_size", "resolver_lru_cache_size"), "10000", number(0, 10_000_000)),
        }
    }

    fn either<T>(
        &mut self,
        (older, newer): (&'static str, &'static str),
        default: &str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> T {
        let name = self.newer(older, newer);
        self.take(name, default, parse)
    }

    /// Which of two names of one setting is set.
    fn newer(&mut self, older: &'static str, newer: &'static str) -> &'static str {
        match (self.is_set(older), self.is_set(newer)) {
            (true, true) => {
                self.mistake::<()>(newer, Problem::Both(older));
                older
            }
            (false, true) => newer,
            (_, false) => older,
        }
    }
}

/// Addresses, with ports or without, with commas between.
fn servers(text: &str) -> Result<Vec<SocketAddr>, Problem> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| server(part).ok_or_else(|| Problem::Server(part.to_owned()))).collect()
}

fn server(text: &str) -> Option<SocketAddr> {
    let alone = || text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    text.parse().ok().or_else(|| Some(SocketAddr::new(alone()?, PORT))).filter(|server| server.port() != 0)
}

fn order(text: &str) -> Result<Order, Problem> {
    Ok(text.parse()?)
}

fn file(text: &str) -> Result<PathBuf, Problem> {
    if text.is_empty() { Err(Problem::EmptyPath) } else { Ok(text.into()) }
}

/// Kong's bare seconds, or a duration.
fn seconds(text: &str) -> Result<Duration, Problem> {
    let time = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => duration(text)?,
    };
    if time <= LONGEST {
        return Ok(time);
    }
    Err(Problem::Range { text: text.to_owned(), least: "0".to_owned(), most: LONGEST.as_secs().to_string() })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::{Config, ConfigError, Settings as Typed};

    fn load(variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Config::load(&Typed::default(), variables, None).map(|config| config.dns)
    }

    #[test]
    fn what_nobody_sets_is_as_in_kong() {
        assert_eq!(load(&[]).unwrap(), Settings::default());
    }

    #[test]
    fn older_and_newer_names_mean_the_same() {
        let expected = Settings {
            servers: vec!["10.0.0.1:53".parse().unwrap(), "[::1]:5353".parse().unwrap()],
            hosts_file: "/tmp/hosts".into(),
            order: "A,AAAA".parse().unwrap(),
            valid: Some(Duration::from_secs(7)),
            stale: Duration::from_secs(60),
            error: Duration::from_millis(1500),
            cache_size: 9,
            ..Settings::default()
        };
        let values = ["10.0.0.1, [::1]:5353", "/tmp/hosts", "A,AAAA", "7", "1m", "1500ms", "9"];
        let older = [
            "SANDGATE_DNS_RESOLVER",
            "SANDGATE_DNS_HOSTSFILE",
            "SANDGATE_DNS_ORDER",
            "SANDGATE_DNS_VALID_TTL",
            "SANDGATE_DNS_STALE_TTL",
            "SANDGATE_DNS_ERROR_TTL",
            "SANDGATE_DNS_CACHE_SIZE",
        ];
        let newer = [
            "SANDGATE_RESOLVER_ADDRESS",
            "SANDGATE_RESOLVER_HOSTS_FILE",
            "SANDGATE_RESOLVER_FAMILY",
            "SANDGATE_RESOLVER_VALID_TTL",
            "SANDGATE_RESOLVER_STALE_TTL",
            "SANDGATE_RESOLVER_ERROR_TTL",
            "SANDGATE_RESOLVER_LRU_CACHE_SIZE",
        ];
        for names in [older, newer] {
            let variables: Vec<_> = names.into_iter().zip(values).collect();
            assert_eq!(load(&variables).unwrap(), expected);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[("SANDGATE_DNS_RESOLVER", "ns.test")], "`ns.test` is not an address of a server"),
            (&[("SANDGATE_DNS_ORDER", "LAST,MX")], "`MX` is not a kind of record"),
            (&[("SANDGATE_DNS_VALID_TTL", "soon")], "`soon` is not a duration"),
            (&[("SANDGATE_DNS_TTL", "1")], "there is no such setting"),
            (
                &[("SANDGATE_DNS_ERROR_TTL", "1"), ("SANDGATE_RESOLVER_ERROR_TTL", "1")],
                "`dns_error_ttl` is set as well",
            ),
        ];
        for (variables, expected) in cases {
            let error = load(variables).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
