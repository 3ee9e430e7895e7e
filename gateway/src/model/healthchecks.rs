//! The typed form of an upstream's `healthchecks`. Times in seconds, as Kong has them.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

/// When targets count as healthy.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub struct Healthchecks {
    /// By requests made for the purpose.
    pub active: ActiveChecks,
    /// By what becomes of the clients' requests.
    pub passive: PassiveChecks,
    /// The upstream as a whole is out when less than this per cent of its weight is there.
    pub threshold: f64,
}

/// Requests made to find out.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub struct ActiveChecks {
    /// `tcp`, `http`, `https`, `grpc` or `grpcs`.
    pub r#type: Arc<str>,
    /// For an answer.
    pub timeout: f64,
    /// Targets checked at the same time.
    pub concurrency: usize,
    /// Path that is asked for.
    pub http_path: Arc<str>,
    /// Name in the TLS handshake, in place of the target's.
    pub https_sni: Option<Arc<str>>,
    /// Whether the certificate must be good.
    pub https_verify_certificate: bool,
    /// Sent along.
    pub headers: Option<BTreeMap<Arc<str>, Vec<Arc<str>>>>,
    /// Of healthy targets.
    pub healthy: Counts,
    /// Of unhealthy targets.
    pub unhealthy: Counts,
}

/// What clients' requests say.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub struct PassiveChecks {
    /// For the better.
    pub healthy: Counts,
    /// For the worse.
    pub unhealthy: Counts,
}

/// How many of what turn a target; 0 turns nothing.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub struct Counts {
    /// Between two checks; 0: there are none.
    pub interval: f64,
    /// Statuses that count.
    pub http_statuses: Vec<u16>,
    /// Good answers.
    pub successes: u8,
    /// Bad answers.
    pub http_failures: u8,
    /// Connections that failed.
    pub tcp_failures: u8,
    /// Answers that took too long.
    pub timeouts: u8,
}

impl Healthchecks {
    /// Whether targets are made out to be healthy or not at all, by Kong's rule.
    pub fn is_on(&self) -> bool {
        let passive = &self.passive.unhealthy;
        self.is_active() || passive.http_failures > 0 || passive.tcp_failures > 0 || passive.timeouts > 0
    }

    /// Whether anything is asked of targets for it.
    pub fn is_active(&self) -> bool {
        self.active.healthy.interval > 0.0 || self.active.unhealthy.interval > 0.0
    }
}
