//! How targets fare, for the Admin API: what the workers go by.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use arc_swap::ArcSwap;

use crate::{
    admin::{self, AddressFitness, TargetFitness},
    snapshot::{Peers, Snapshot, UpstreamEntry},
    telemetry::{metric, render_passing},
};

/// What an address of a target may be, as Kong calls it.
const STATES: [&str; 4] = ["healthchecks_off", "healthy", "unhealthy", "dns_error"];

/// The health of the targets that are served now.
pub(super) struct Fitness {
    current: Arc<ArcSwap<Snapshot>>,
}

impl Fitness {
    pub(super) fn of(current: Arc<ArcSwap<Snapshot>>) -> Self {
        Self { current }
    }

    /// An upstream, the place of a target in it, and the addresses there are.
    fn find(&self, upstream: &str, target: &str) -> Option<(Arc<UpstreamEntry>, usize, Arc<Peers>)> {
        let upstream = self.current.load().upstreams.get(upstream)?.clone();
        let (place, peers) = (upstream.target(target)?, upstream.ring.peers());
        Some((upstream, place, peers))
    }
}

/// Adds how every address of every target fares to the text of the metrics.
pub(super) fn render(text: &mut String, snapshot: &Snapshot) {
    let mut rows: Vec<(&str, &str, String, &str)> = Vec::new();
    for upstream in snapshot.upstreams.values() {
        let peers = upstream.ring.peers();
        for (place, target) in upstream.targets.iter().enumerate() {
            let name = target.host_header.to_str().unwrap_or_default();
            let before = rows.len();
            for peer in peers.list.iter().filter(|peer| peer.target == place) {
                let state = match (upstream.checks.is_on, peer.health.is_healthy()) {
                    (false, _) => "healthchecks_off",
                    (true, true) => "healthy",
                    (true, false) => "unhealthy",
                };
                rows.push((&upstream.upstream.name, name, peer.address.to_string(), state));
            }
            if rows.len() == before {
                rows.push((&upstream.upstream.name, name, String::new(), "dns_error"));
            }
        }
    }
    rows.sort_unstable();
    let lines = rows.iter().flat_map(|(upstream, target, address, now)| {
        STATES.map(|state| {
            let labels = [
                ("upstream", *upstream),
                ("target", *target),
                ("address", address.as_str()),
                ("state", state),
                ("subsystem", "http"),
            ];
            (labels, u8::from(state == *now))
        })
    });
    render_passing(text, &metric::TARGET_HEALTH, lines);
}

impl admin::Fitness for Fitness {
    fn of_target(&self, upstream: &str, target: &str) -> Option<TargetFitness> {
        let (upstream, place, peers) = self.find(upstream, target)?;
        let own = peers.list.iter().filter(|peer| peer.target == place);
        let addresses: Vec<_> = own
            .map(|peer| AddressFitness {
                address: peer.address,
                weight: peer.weight,
                is_healthy: peer.health.is_healthy(),
                kind: peer.kind.map_or("A", |kind| kind.name()),
            })
            .collect();
        let failure = || peers.failure(&upstream.targets.get(place)?.host).map(ToString::to_string);
        let failure = if addresses.is_empty() { failure() } else { None };
        Some(TargetFitness { addresses, failure })
    }

    fn mark(&self, upstream: &str, target: &str, only: Option<(IpAddr, Option<u16>)>, healthy: bool) -> bool {
        let Some((upstream, place, peers)) = self.find(upstream, target) else { return false };
        let is_meant = |found: SocketAddr| {
            only.is_none_or(|(ip, port)| found.ip() == ip && port.is_none_or(|port| port == found.port()))
        };
        let meant = peers.list.iter().filter(|peer| peer.target == place && is_meant(peer.address));
        let mut is_marked = false;
        for peer in meant {
            let is_other = peer.health.is_healthy() != healthy;
            peer.health.mark(healthy);
            upstream.turned(peer, is_other.then_some(healthy), "the Admin API");
            is_marked = true;
        }
        is_marked
    }
}
