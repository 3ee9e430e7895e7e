//! Which target of an upstream is asked, and what becomes of what it answers.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{TargetEntry, UpstreamEntry};
use crate::{
    balancer::{Ejection, Health, Report, Thresholds, Verdicts, stable_hash},
    model::{Counts, Healthchecks},
};

/// When the targets of an upstream count as healthy.
#[derive(Debug, Default)]
pub struct Checks {
    /// Whether any target is ever made out to be unhealthy.
    pub is_on: bool,
    /// By what clients' requests say.
    pub passive: Verdicts,
    /// By what checks say.
    pub active: Verdicts,
    /// Per cent of the weight without which nobody is asked.
    threshold: f64,
}

impl Checks {
    pub(super) fn of(checks: &Healthchecks) -> Self {
        let verdicts = |healthy: &Counts, unhealthy: &Counts| Verdicts {
            healthy: healthy.http_statuses.as_slice().into(),
            unhealthy: unhealthy.http_statuses.as_slice().into(),
            thresholds: Thresholds {
                successes: healthy.successes,
                http_failures: unhealthy.http_failures,
                tcp_failures: unhealthy.tcp_failures,
                timeouts: unhealthy.timeouts,
            },
        };
        Self {
            is_on: checks.is_on(),
            passive: verdicts(&checks.passive.healthy, &checks.passive.unhealthy),
            active: verdicts(&checks.active.healthy, &checks.active.unhealthy),
            threshold: checks.threshold,
        }
    }
}

/// How this node treats targets beyond what upstreams say. Off by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// How long a target that joins, or is well again, takes to get all of its share; zero: none.
    pub slow_start: Duration,
    /// When a target is left alone for a while.
    pub ejection: Ejection,
}

impl UpstreamEntry {
    /// Chooses a target that was not tried yet, else one that was; `None`: none can be asked.
    pub fn pick(&self, tried: &[usize], hash: Option<u64>, manner: &Manner) -> Option<usize> {
        if self.checks.threshold > 0.0 && !self.is_available() {
            return None;
        }
        let healthy = |index: usize| self.targets[index].health.is_healthy();
        let untried = |index: usize| !tried.contains(&index) && healthy(index);
        let picked = self.pick_gently(&untried, hash, manner).or_else(|| self.balancer.pick_where(&untried, hash));
        picked.or_else(|| if tried.is_empty() { None } else { self.balancer.pick_where(&healthy, hash) })
    }

    /// The same with regard to how this node treats targets: they are spared only while there are others.
    fn pick_gently(&self, usable: &dyn Fn(usize) -> bool, hash: Option<u64>, manner: &Manner) -> Option<usize> {
        // A hash must lead to the same target however new it is.
        let is_slow = !manner.slow_start.is_zero() && self.hashing.is_none();
        let draw = if is_slow { Uuid::new_v4().as_u128() as u64 } else { 0 };
        let is_in = |index: usize| manner.ejection.failures == 0 || !self.targets[index].health.is_ejected();
        let is_warm = |index: usize| {
            !is_slow || {
                let own = stable_hash(&(draw ^ index as u64).to_le_bytes()) >> 32;
                own < self.targets[index].health.share(manner.slow_start)
            }
        };
        if !is_slow && manner.ejection.failures == 0 {
            return None;
        }
        let gentle = |index: usize| usable(index) && is_in(index) && is_warm(index);
        self.balancer.pick_where(&gentle, hash)
    }

    /// Takes a report of a client's request. `status`: what the target answered with, if it did.
    pub fn report(&self, index: usize, report: Option<Report>, status: Option<u16>, manner: &Manner) {
        let target = &self.targets[index];
        if let Some(report) = report.filter(|_| self.checks.is_on) {
            self.turned(target, target.health.note(report, &self.checks.passive.thresholds), "its answers");
        }
        if manner.ejection.failures > 0 && (report.is_some() || status.is_some()) {
            let well = status.is_some_and(|status| status < 500);
            target.health.fared(well, &manner.ejection, || self.may_eject());
        }
    }

    /// Says in the log that a target turned, if it did.
    pub fn turned(&self, target: &TargetEntry, turned: Option<bool>, by: &str) {
        let (upstream, host, port) = (&*self.upstream.name, &*target.host, target.port);
        match turned {
            Some(true) => tracing::warn!(upstream, host, port, by, "a target is healthy again"),
            Some(false) => tracing::warn!(upstream, host, port, by, "a target is unhealthy"),
            None => {}
        }
    }

    /// Whether enough of the weight is healthy.
    pub fn is_available(&self) -> bool {
        let weight = |is_counted: &dyn Fn(&TargetEntry) -> bool| -> f64 {
            self.targets.iter().filter(|target| is_counted(target)).map(|target| f64::from(target.weight)).sum()
        };
        let (all, healthy) = (weight(&|_| true), weight(&|target| target.health.is_healthy()));
        healthy > 0.0 && healthy / all * 100.0 >= self.checks.threshold
    }

    /// The target of this name, as targets are stored: `host:port`.
    pub fn target(&self, name: &str) -> Option<&TargetEntry> {
        self.targets.iter().find(|target| target.host_header.as_bytes() == name.as_bytes())
    }

    pub(super) fn health_of(&self, host: &str, port: u16) -> Option<&Arc<Health>> {
        let is_same = |target: &&TargetEntry| *target.host == *host && target.port == port;
        self.targets.iter().find(is_same).map(|target| &target.health)
    }

    /// Whether there are targets, but not this one.
    pub(super) fn is_lacking(&self, host: &str, port: u16) -> bool {
        !self.targets.is_empty() && self.health_of(host, port).is_none()
    }

    /// At most half of the targets are left alone at a time.
    fn may_eject(&self) -> bool {
        let ejected = self.targets.iter().filter(|target| target.health.is_ejected()).count();
        (ejected + 1) * 2 <= self.targets.len()
    }
}
