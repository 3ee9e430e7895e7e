//! What operators configure.

use sandgate_sdk::{
    config::{Map, error},
    plugin::QueueSettings,
    prelude::*,
};

use crate::endpoint::Endpoint;

/// Headers that the plugin sets itself.
pub(crate) const RESERVED: [&str; 3] = ["Host", "Content-Length", "Content-Type"];

/// The server, what it gets, and how it is batched.
#[derive(Debug, Config)]
#[config(protocols = "all")]
pub struct Settings {
    /// URL that the records are sent to. Credentials in it become Basic authentication; its query is not sent.
    #[config(required, kind = "url", referenceable, encrypted)]
    pub(crate) http_endpoint: String,
    /// Method of the requests.
    #[config(default = "POST", one_of = ["POST", "PUT", "PATCH"])]
    pub(crate) method: String,
    /// Content-Type of the requests.
    #[config(default = "application/json", one_of = ["application/json", "application/json; charset=utf-8"])]
    pub(crate) content_type: String,
    /// Milliseconds for a whole exchange.
    #[config(default = 10000)]
    pub(crate) timeout: f64,
    /// Milliseconds that an idle connection stays open.
    #[config(default = 60000)]
    pub(crate) keepalive: f64,
    /// Not used any more.
    #[config(deprecated(
        message = "http-log: config.retry_count no longer works, please use config.queue.max_retry_time instead",
        old_default = 10
    ))]
    retry_count: Option<i64>,
    /// Old name of `queue.max_batch_size`.
    #[config(deprecated(
        message = "http-log: config.queue_size is deprecated, please use config.queue.max_batch_size instead",
        old_default = 1
    ))]
    queue_size: Option<u32>,
    /// Old name of `queue.max_coalescing_delay`.
    #[config(deprecated(
        message = "http-log: config.flush_timeout is deprecated, please use config.queue.max_coalescing_delay instead",
        old_default = 2
    ))]
    flush_timeout: Option<f64>,
    /// Further headers of the requests.
    #[config(
        items(referenceable),
        keys(match_none = [
            ("^[Hh][Oo][Ss][Tt]$", "cannot contain 'Host' header"),
            ("^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Ll][Ee][nn][Gg][Tt][Hh]$", "cannot contain 'Content-Length' header"),
            ("^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Tt][Yy][Pp][Ee]$", "cannot contain 'Content-Type' header"),
        ])
    )]
    pub(crate) headers: Option<Map<String>>,
    /// How records are batched and sent again.
    #[config(required)]
    queue: Queue,
    /// Members to add to the record: `return` with a literal, or with nil to remove one.
    #[config(items(len_min = 1))]
    pub(crate) custom_fields_by_lua: Option<Map<String>>,
}

/// Batching and retries.
#[derive(Debug, Config)]
struct Queue {
    /// Records a request.
    #[config(default = 1, range = 1..=1000000)]
    max_batch_size: u32,
    /// Seconds that a record waits for others.
    #[config(default = 1, range = 0..=3600)]
    max_coalescing_delay: f64,
    /// Waiting records; the oldest are dropped beyond it.
    #[config(default = 10000, range = 1..=1000000)]
    max_entries: u32,
    /// Waiting bytes.
    max_bytes: Option<u64>,
    /// Seconds after which a failing batch is dropped; -1: it is not sent again.
    #[config(default = 60)]
    max_retry_time: f64,
    /// Seconds before the first new try; doubles with each.
    #[config(default = 0.01, range = 0.001..=1000000)]
    initial_retry_delay: f64,
    /// Seconds before a new try at most.
    #[config(default = 60, range = 0.001..=1000000)]
    max_retry_delay: f64,
    /// Batches at once: 1, or -1 for no limit.
    #[config(default = 1, one_of = [-1, 1])]
    concurrency_limit: i64,
}

impl Settings {
    pub(crate) fn check(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        for name in self.headers.iter().flatten().map(|(name, _)| name) {
            if let Some(reserved) = RESERVED.iter().find(|reserved| reserved.eq_ignore_ascii_case(name)) {
                errors.push(error("headers", &["cannot contain '", reserved, "' header"].concat()));
            }
        }
        let authorized = self.headers.iter().flatten().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        match Endpoint::parse(&self.http_endpoint) {
            Ok(Endpoint { authorization: Some(_), .. }) if authorized => errors.push(error(
                "",
                "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed",
            )),
            _ => {}
        }
        if !matches!(self.queue.concurrency_limit, -1 | 1) {
            errors.push(error("queue.concurrency_limit", "expected one of: -1, 1"));
        }
        errors
    }

    /// Milliseconds for which an idle connection is kept. 0 stands for no end, as in Kong.
    pub(crate) fn kept(&self) -> u32 {
        if self.keepalive > 0.0 { self.keepalive.min(600_000.0).ceil() as u32 } else { 600_000 }
    }

    /// As the host batches; the old names count where they were given.
    pub(crate) fn queue(&self) -> QueueSettings {
        let milliseconds = |seconds: f64| (seconds * 1_000.0).round() as u32;
        let queue = &self.queue;
        QueueSettings {
            max_batch_size: self.queue_size.filter(|size| *size > 1).unwrap_or(queue.max_batch_size),
            max_coalescing_delay: milliseconds(
                self.flush_timeout.filter(|delay| *delay != 2.0).unwrap_or(queue.max_coalescing_delay),
            ),
            max_entries: queue.max_entries,
            max_bytes: queue.max_bytes,
            max_retry_time: (queue.max_retry_time >= 0.0).then(|| milliseconds(queue.max_retry_time)),
            initial_retry_delay: milliseconds(queue.initial_retry_delay).max(1),
            max_retry_delay: milliseconds(queue.max_retry_delay).max(1),
        }
    }
}
