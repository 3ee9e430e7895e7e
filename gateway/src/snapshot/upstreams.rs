//! Which target of an upstream is asked, and what becomes of what it answers.

use std::time::Duration;

use uuid::Uuid;

use super::{Balanced, Chosen, NoChoice, Peer, Peers, TargetEntry, Tried, UpstreamEntry};
use crate::{
    balancer::{Ejection, Report, Thresholds, Verdicts, stable_hash},
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
    /// Chooses an address that was not tried yet, else one that was.
    pub(super) fn choose(&self, tried: &mut Tried, hash: Option<u64>, manner: &Manner) -> Result<Chosen, NoChoice> {
        self.ring.with(|peers| {
            let index = self.pick(peers, tried, hash, manner).ok_or({
                // Those that are known already serve requests meanwhile.
                if peers.pending && peers.list.is_empty() { NoChoice::Pending } else { NoChoice::NoTarget }
            })?;
            let peer = &peers.list[index];
            tried.push(peer.id);
            let in_flight = peers.balancer.started(index);
            let balanced = Balanced { target: peer.target, in_flight, index, id: peer.id };
            Ok(Chosen { address: peer.address, host: peer.host.clone(), balanced: Some(balanced) })
        })
    }

    fn pick(&self, peers: &Peers, tried: &[u64], hash: Option<u64>, manner: &Manner) -> Option<usize> {
        if self.checks.threshold > 0.0 && !self.is_available_of(peers) {
            return None;
        }
        let healthy = |index: usize| peers.list[index].health.is_healthy();
        let untried = |index: usize| !tried.contains(&peers.list[index].id) && healthy(index);
        let gentle = self.pick_gently(peers, &untried, hash, manner);
        let picked = gentle.or_else(|| peers.balancer.pick_where(&untried, hash));
        picked.or_else(|| if tried.is_empty() { None } else { peers.balancer.pick_where(&healthy, hash) })
    }

    /// The same with regard to how this node treats targets: they are spared only while there are others.
    fn pick_gently(
        &self,
        peers: &Peers,
        usable: &dyn Fn(usize) -> bool,
        hash: Option<u64>,
        manner: &Manner,
    ) -> Option<usize> {
        // A hash must lead to the same target however new it is.
        let is_slow = !manner.slow_start.is_zero() && self.hashing.is_none();
        let draw = if is_slow { Uuid::new_v4().as_u128() as u64 } else { 0 };
        let is_in = |index: usize| manner.ejection.failures == 0 || !peers.list[index].health.is_ejected();
        let is_warm = |index: usize| {
            !is_slow || {
                let own = stable_hash(&(draw ^ index as u64).to_le_bytes()) >> 32;
                own < peers.list[index].health.share(manner.slow_start)
            }
        };
        if !is_slow && manner.ejection.failures == 0 {
            return None;
        }
        let gentle = |index: usize| usable(index) && is_in(index) && is_warm(index);
        peers.balancer.pick_where(&gentle, hash)
    }

    /// Takes a report of a client's request. `status`: what the target answered with, if it did.
    pub fn report(&self, balanced: &Balanced, report: Option<Report>, status: Option<u16>, manner: &Manner) {
        self.ring.with(|peers| {
            // Names may mean something else since: nobody asks for the health of an address that is gone.
            let Some(peer) = peers.list.get(balanced.index).filter(|peer| peer.id == balanced.id) else { return };
            if let Some(report) = report.filter(|_| self.checks.is_on) {
                self.turned(peer, peer.health.note(report, &self.checks.passive.thresholds), "its answers");
            }
            if manner.ejection.failures > 0 && (report.is_some() || status.is_some()) {
                let well = status.is_some_and(|status| status < 500);
                peer.health.fared(well, &manner.ejection, || may_eject(peers));
            }
        });
    }

    /// Says in the log that an address turned, if it did.
    pub fn turned(&self, peer: &Peer, turned: Option<bool>, by: &str) {
        let Some(healthy) = turned else { return };
        let Some(TargetEntry { host, port, .. }) = self.targets.get(peer.target) else { return };
        let (upstream, host, address) = (&*self.upstream.name, &**host, peer.address);
        if healthy {
            tracing::warn!(upstream, host, port, %address, by, "a target is healthy again");
        } else {
            tracing::warn!(upstream, host, port, %address, by, "a target is unhealthy");
        }
    }

    /// Whether enough of the weight is healthy.
    pub fn is_available(&self) -> bool {
        self.ring.with(|peers| self.is_available_of(peers))
    }

    fn is_available_of(&self, peers: &Peers) -> bool {
        let weight = |is_counted: &dyn Fn(&Peer) -> bool| -> f64 {
            peers.list.iter().filter(|peer| is_counted(peer)).map(|peer| f64::from(peer.weight)).sum()
        };
        let (all, healthy) = (weight(&|_| true), weight(&|peer| peer.health.is_healthy()));
        healthy > 0.0 && healthy / all * 100.0 >= self.checks.threshold
    }

    /// The place of the target of this name, as targets are stored: `host:port`.
    pub fn target(&self, name: &str) -> Option<usize> {
        self.targets.iter().position(|target| target.host_header.as_bytes() == name.as_bytes())
    }
}

/// At most half of the addresses are left alone at a time.
fn may_eject(peers: &Peers) -> bool {
    let ejected = peers.list.iter().filter(|peer| peer.health.is_ejected()).count();
    (ejected + 1) * 2 <= peers.list.len()
}
