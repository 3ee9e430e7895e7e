//! How targets fare, for the Admin API: what the workers go by.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use arc_swap::ArcSwap;

use crate::{
    admin::{self, AddressFitness, TargetFitness},
    snapshot::{Peers, Snapshot, UpstreamEntry},
};

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
