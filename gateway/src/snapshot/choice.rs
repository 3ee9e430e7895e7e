//! Which address of a service gets a request: one of its upstream's targets, or of its own host.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::HeaderValue;
use smallvec::SmallVec;

use super::{Manner, ServiceEntry, ring::Peers};
use crate::{balancer::InFlight, dns::NameError};

/// How long a request waits at most for a name that is being asked for the first time.
const PATIENCE: Duration = Duration::from_secs(15);

/// Addresses that were tried in a request, by what stands for them.
pub type Tried = SmallVec<[u64; 4]>;

/// An address that was chosen.
#[derive(Debug)]
pub struct Chosen {
    /// The address.
    pub address: SocketAddr,
    /// What the request calls it, if its name is not that of the target.
    pub host: Option<HeaderValue>,
    /// Where it stands in the upstream, if there is one.
    pub balanced: Option<Balanced>,
}

/// Where an address stands in an upstream, for as long as a request is there.
#[derive(Debug)]
pub struct Balanced {
    /// Its target's place in the upstream.
    pub target: usize,
    /// Ends the request in the eyes of the balancer.
    pub in_flight: InFlight,
    pub(super) index: usize,
    pub(super) id: u64,
}

/// Why no address was chosen.
#[derive(Debug, thiserror::Error)]
pub enum NoChoice {
    /// No target is there to be asked.
    #[error("the upstream has no target that can be asked")]
    NoTarget,
    /// The host has no address.
    #[error("{0} has no address")]
    Unresolved(Arc<str>, #[source] NameError),
    /// Names are being asked for the first time.
    #[error("names are being resolved")]
    Pending,
}

impl ServiceEntry {
    /// Chooses an address that was not tried yet, else one that was.
    ///
    /// # Errors
    /// [`NoChoice::Pending`] calls for [`choose_late`](Self::choose_late).
    pub fn choose(&self, tried: &mut Tried, hash: Option<u64>, manner: &Manner) -> Result<Chosen, NoChoice> {
        if let Some(upstream) = &self.upstream {
            return upstream.choose(tried, hash, manner);
        }
        if let Some(address) = self.address {
            return Ok(Chosen { address, host: None, balanced: None });
        }
        let ring = self.ring.as_ref().ok_or(NoChoice::NoTarget)?;
        ring.with(|peers| {
            let untried = |index: usize| !tried.contains(&peers.list[index].id);
            let picked = peers.balancer.pick_where(&untried, None).or_else(|| peers.balancer.pick(&[], None));
            let peer = &peers.list[picked.ok_or_else(|| self.why(peers))?];
            tried.push(peer.id);
            Ok(Chosen { address: peer.address, host: None, balanced: None })
        })
    }

    /// The same, for names that nobody has asked for before: waits until there is an address, or none will come; at most for as
    /// long as a connection may take.
    ///
    /// # Errors
    /// Never [`NoChoice::Pending`].
    pub async fn choose_late(&self, tried: &mut Tried, hash: Option<u64>, manner: &Manner) -> Result<Chosen, NoChoice> {
        self.settled().await;
        match self.choose(tried, hash, manner) {
            Err(NoChoice::Pending) => Err(NoChoice::Unresolved(self.service.host.clone(), NameError::Timeout)),
            chosen => chosen,
        }
    }

    async fn settled(&self) {
        let ring = self.upstream.as_ref().map(|upstream| &upstream.ring).or(self.ring.as_ref());
        if let Some(ring) = ring {
            ring.settled(self.connect_timeout.min(PATIENCE)).await;
        }
    }

    fn why(&self, peers: &Peers) -> NoChoice {
        match peers.failed.first() {
            Some((host, error)) => NoChoice::Unresolved(host.clone(), error.clone()),
            None => NoChoice::Pending,
        }
    }
}
