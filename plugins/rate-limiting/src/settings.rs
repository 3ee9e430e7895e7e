//! What operators configure.

use sandgate_sdk::{host::Period, prelude::*};

/// Limits, whom they count for, and what a client hears that is over one.
#[derive(Debug, Config)]
#[config(
    checks = r#"[
        {"at_least_one_of":["second","minute","hour","day","month","year"]},
        {"conditional":{"if_field":"policy","if_match":{"eq":"redis"},"then_field":"redis.host","then_match":{"required":true}}},
        {"conditional":{"if_field":"policy","if_match":{"eq":"redis"},"then_field":"redis.port","then_match":{"required":true}}},
        {"conditional":{"if_field":"policy","if_match":{"eq":"redis"},"then_field":"redis.timeout","then_match":{"required":true}}},
        {"conditional":{"if_field":"limit_by","if_match":{"eq":"header"},"then_field":"header_name","then_match":{"required":true}}},
        {"conditional":{"if_field":"limit_by","if_match":{"eq":"path"},"then_field":"path","then_match":{"required":true}}}
    ]"#,
    shorthands(
        redis_host = "redis.host",
        redis_port = "redis.port",
        redis_password = "redis.password",
        redis_username = "redis.username",
        redis_ssl = "redis.ssl",
        redis_ssl_verify = "redis.ssl_verify",
        redis_server_name = "redis.server_name",
        redis_timeout = "redis.timeout",
        redis_database = "redis.database"
    )
)]
pub struct Settings {
    /// Requests a second.
    #[config(greater_than = 0)]
    second: Option<f64>,
    /// Requests a minute.
    #[config(greater_than = 0)]
    minute: Option<f64>,
    /// Requests an hour.
    #[config(greater_than = 0)]
    hour: Option<f64>,
    /// Requests a day.
    #[config(greater_than = 0)]
    day: Option<f64>,
    /// Requests a month.
    #[config(greater_than = 0)]
    month: Option<f64>,
    /// Requests a year.
    #[config(greater_than = 0)]
    year: Option<f64>,
    /// Whom requests count for; the client's address where there is no such thing.
    #[config(default = "consumer")]
    pub(crate) limit_by: LimitBy,
    /// Header whose value requests count for, with `limit_by` header.
    #[config(kind = "header_name")]
    pub(crate) header_name: Option<String>,
    /// Path that requests count for, with `limit_by` path.
    #[config(kind = "path")]
    pub(crate) path: Option<String>,
    /// Where the counters are.
    #[config(default = "local", len_min = 0)]
    pub(crate) policy: Policy,
    /// Whether requests pass while the counters cannot be reached.
    #[config(default = true, required)]
    pub(crate) fault_tolerant: bool,
    /// The Redis server of the policy redis.
    #[config(required)]
    redis: Redis,
    /// Whether clients are not told about the limits.
    #[config(default = false, required)]
    pub(crate) hide_client_headers: bool,
    /// Status for clients over a limit.
    #[config(default = 429, greater_than = 0)]
    pub(crate) error_code: f64,
    /// Message for clients over a limit.
    #[config(default = "API rate limit exceeded")]
    pub(crate) error_message: String,
    /// Seconds between exchanges with Redis; -1 for every request.
    #[config(default = -1, required)]
    sync_rate: f64,
}

/// Whom requests count for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub(crate) enum LimitBy {
    Consumer,
    Credential,
    Ip,
    Service,
    Header,
    Path,
}

/// Where counters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Config)]
pub(crate) enum Policy {
    Local,
    Cluster,
    Redis,
}

/// A Redis server.
#[derive(Debug, Config)]
pub(crate) struct Redis {
    /// Its host.
    #[config(kind = "host")]
    host: Option<String>,
    /// Its port.
    #[config(default = 6379, range = 0..=65535, kind = "port")]
    port: u16,
    /// Milliseconds for connecting, sending and reading.
    #[config(default = 2000, range = 0..=2147483646, kind = "timeout")]
    timeout: u32,
    /// User of an ACL.
    #[config(referenceable)]
    username: Option<String>,
    /// Password; AUTH is sent only with one.
    #[config(referenceable, encrypted, len_min = 0)]
    password: Option<String>,
    /// Number of the database.
    #[config(default = 0)]
    database: i64,
    /// Whether to speak TLS.
    #[config(default = false, required = false)]
    ssl: bool,
    /// Whether to verify the certificate.
    #[config(default = false, required = false)]
    ssl_verify: bool,
    /// Name in the TLS handshake.
    #[config(kind = "sni", required = false)]
    server_name: Option<String>,
}

impl Settings {
    /// The limits there are, from the shortest window to the longest.
    pub(crate) fn limits(&self) -> impl Iterator<Item = (Period, f64)> {
        let Self { second, minute, hour, day, month, year, .. } = self;
        let periods = [Period::Second, Period::Minute, Period::Hour, Period::Day, Period::Month, Period::Year];
        let limits = [*second, *minute, *hour, *day, *month, *year];
        periods.into_iter().zip(limits).filter_map(|(period, limit)| Some((period, limit?)))
    }
}
