//! Requests that are refused for what they are, before any route or plugin had a say: counted by reason, and told to the log,
//! though not so often that clients could fill it.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use super::Failure;
use crate::{clock::unix_now, telemetry::Throttle};

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It breaks the grammar of HTTP.
    Malformed,
    /// Its length is given in two ways.
    Lengths,
    /// Its body is coded in another way than chunked.
    Coding,
    /// It has no host, several, or an odd one.
    Host,
    /// Its target is of a form that its method cannot have.
    Target,
    /// Its path can be read in two ways.
    Path,
    /// Its headers are too many or too long.
    Headers,
    /// Its target is too long.
    Uri,
    /// Its method is never served.
    Method,
    /// Its body is too large.
    BodySize,
    /// Its body came too slowly.
    BodyTimeout,
    /// Its chunks break the grammar of HTTP.
    Chunks,
}

impl Reason {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::Malformed,
        Self::Lengths,
        Self::Coding,
        Self::Host,
        Self::Target,
        Self::Path,
        Self::Headers,
        Self::Uri,
        Self::Method,
        Self::BodySize,
        Self::BodyTimeout,
        Self::Chunks,
    ];

    /// Stable: the label `reason` of the metric, and the code in the log.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Lengths => "two-lengths",
            Self::Coding => "transfer-coding",
            Self::Host => "bad-host",
            Self::Target => "bad-target",
            Self::Path => "ambiguous-path",
            Self::Headers => "headers-too-large",
            Self::Uri => "uri-too-long",
            Self::Method => "method-not-allowed",
            Self::BodySize => "body-too-large",
            Self::BodyTimeout => "body-timeout",
            Self::Chunks => "bad-chunk",
        }
    }
}

/// The requests that were refused, of all workers.
#[derive(Debug, Default)]
pub struct Refusals([Refused; Reason::ALL.len()]);

#[derive(Debug, Default)]
struct Refused {
    count: AtomicU64,
    log: Throttle,
}

impl Refusals {
    /// How many there were, by the code of their reason.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let count = |reason: Reason| self.0[reason as usize].count.load(Ordering::Relaxed);
        Reason::ALL.iter().map(|reason| (reason.code(), count(*reason))).collect()
    }

    /// Counts one, and tells of it.
    pub(super) fn note(&self, reason: Reason, failure: &Failure, request_id: &str, client: IpAddr) {
        let refused = &self.0[reason as usize];
        refused.count.fetch_add(1, Ordering::Relaxed);
        if let Some(left_out) = refused.log.admit(unix_now().as_secs()) {
            let (status, error) = (failure.status().as_u16(), failure as &dyn std::error::Error);
            tracing::info!(%client, request_id, reason = reason.code(), status, error, left_out, "a request was refused");
        }
    }
}
