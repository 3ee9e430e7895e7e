//! The addresses of targets, and which of them is next: laid out anew whenever a name means something else, beside the
//! requests that go by it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::{sync::watch, time::Instant};

use crate::{
    balancer::{Address, Algorithm, Balancer, Health, stable_hash},
    dns::{Follower, Kind, Known, Name, NameError, Record},
};

/// How long it is remembered how an address fared that a name has no more, as in Kong.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Such addresses at most.
const MOST_REMEMBERED: usize = 1_000;

/// What stands on a ring.
#[derive(Debug)]
pub(super) struct Recipe {
    pub(super) algorithm: Algorithm,
    pub(super) spots: Vec<Spot>,
    /// Whether requests name what SRV records lead to.
    pub(super) uses_srv_name: bool,
}

/// A target on a ring.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) place: Place,
    pub(super) port: u16,
    pub(super) weight: u32,
}

/// Where a target is.
#[derive(Debug)]
pub(super) enum Place {
    At(SocketAddr),
    Named(Arc<Name>),
}

/// The addresses of some targets, and which is next.
#[derive(Debug)]
pub struct Ring {
    recipe: Recipe,
    /// Without names nothing ever changes.
    fixed: Option<Arc<Peers>>,
    current: ArcSwap<Peers>,
    /// Held while the addresses are laid out.
    gone: Mutex<Gone>,
    renewed: watch::Sender<()>,
}

/// How addresses fared that are gone, and when they went, by their keys.
type Gone = HashMap<Arc<str>, (Instant, Arc<Health>)>;

/// The addresses of a moment.
#[derive(Debug)]
pub struct Peers {
    /// The index is that of the balancer.
    pub list: Vec<Peer>,
    pub(super) balancer: Balancer,
    /// Whether a name is still being asked for the first time.
    pub(super) pending: bool,
    /// Of names without addresses.
    pub(super) failed: Vec<(Arc<str>, NameError)>,
}

/// One address of a target.
#[derive(Debug)]
pub struct Peer {
    /// The target, as its place in the upstream.
    pub target: usize,
    /// The address.
    pub address: SocketAddr,
    /// Its share; 0: none.
    pub weight: u32,
    /// How it fares; the same from one configuration to the next.
    pub health: Arc<Health>,
    /// Of which kind the record was that gave it; none gave an address that stands in the target.
    pub kind: Option<Kind>,
    /// What requests call it in place of the target, if they do.
    pub(super) host: Option<HeaderValue>,
    key: Arc<str>,
    /// Stands for the key where that would be long.
    pub(super) id: u64,
}

impl Ring {
    /// Lays a ring out. `known`: the one before it, if addresses go on where they were; `fares`: with their health.
    pub(super) fn build(recipe: Recipe, known: Option<&Peers>, fares: bool) -> Arc<Self> {
        let has_names = recipe.spots.iter().any(|spot| matches!(spot.place, Place::Named(_)));
        let mut ring = Self {
            fixed: None,
            current: ArcSwap::from_pointee(Peers::none()),
            gone: Mutex::default(),
            renewed: watch::Sender::new(()),
            recipe,
        };
        let health = |key: &str| known.filter(|_| fares).and_then(|known| known.health_of(key));
        if !has_names {
            ring.fixed = Some(Arc::new(ring.recipe.lay(known, health)));
            return Arc::new(ring);
        }
        ring.current = ArcSwap::from_pointee(ring.recipe.lay(known, health));
        let ring = Arc::new(ring);
        for spot in &ring.recipe.spots {
            if let Place::Named(name) = &spot.place {
                let follower: Weak<dyn Follower> = Arc::<Self>::downgrade(&ring);
                name.follow(follower);
            }
        }
        // What came between the first look and this was not heard of.
        ring.renew();
        ring
    }

    /// Of these addresses in turn, each a target of its own.
    #[cfg(test)]
    pub(crate) fn of(addresses: &[SocketAddr]) -> Arc<Self> {
        let spot = |address: &SocketAddr| Spot { place: Place::At(*address), port: address.port(), weight: 100 };
        let spots = addresses.iter().map(spot).collect();
        Self::build(Recipe { algorithm: Algorithm::RoundRobin, spots, uses_srv_name: false }, None, false)
    }

    /// Looks at the addresses there are now: for a moment, not for as long as a request takes.
    pub fn with<T>(&self, look: impl FnOnce(&Peers) -> T) -> T {
        match &self.fixed {
            Some(peers) => look(peers),
            None => look(&self.current.load()),
        }
    }

    /// The addresses there are now, to keep.
    pub fn peers(&self) -> Arc<Peers> {
        match &self.fixed {
            Some(peers) => peers.clone(),
            None => self.current.load_full(),
        }
    }

    /// Waits until there is an address, or none will come; at most for so long.
    pub(super) async fn settled(&self, limit: Duration) {
        let mut renewed = self.renewed.subscribe();
        let settled = async {
            while self.with(|peers| peers.pending && peers.list.is_empty()) && renewed.changed().await.is_ok() {}
        };
        // Whoever waits looks again.
        _ = tokio::time::timeout(limit, settled).await;
    }
}

impl Follower for Ring {
    fn renew(&self) {
        self.renew_at(Instant::now());
    }
}

impl Ring {
    fn renew_at(&self, now: Instant) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.current.load_full();
        gone.retain(|_, (since, _)| now < *since + REMEMBERED);
        let health = |key: &str| before.health_of(key).or_else(|| gone.get(key).map(|(_, health)| health));
        let after = self.recipe.lay(Some(&before), health);
        for peer in before.list.iter().filter(|peer| after.health_of(&peer.key).is_none()) {
            if gone.len() < MOST_REMEMBERED {
                gone.insert(peer.key.clone(), (now, peer.health.clone()));
            }
        }
        self.current.store(Arc::new(after));
        self.renewed.send_replace(());
    }
}

impl Recipe {
    /// The addresses by what the names mean now. `health`: of those that are known, by key.
    fn lay<'h>(&self, before: Option<&Peers>, health: impl Fn(&str) -> Option<&'h Arc<Health>>) -> Peers {
        // The first addresses of all join nobody.
        let joins = |key: &str| {
            let others = before.filter(|before| !before.list.is_empty() && !before.pending);
            others.is_some_and(|before| before.health_of(key).is_none())
        };
        let health = |key: &str| match health(key) {
            Some(health) => health.clone(),
            None if joins(key) => Arc::new(Health::joining()),
            None => Arc::default(),
        };
        let mut peers = Peers::none();
        for (target, spot) in self.spots.iter().enumerate() {
            let name = match &spot.place {
                Place::At(address) => {
                    let key: Arc<str> = format!("{}:{}", address.ip(), address.port()).into();
                    let health = health(&key);
                    peers.list.push(Peer::new(target, *address, spot.weight, (key, health)));
                    continue;
                }
                Place::Named(name) => name,
            };
            match name.known() {
                Known::Pending => peers.pending = true,
                Known::Failed(error) => peers.failed.push((name.host().clone(), error)),
                Known::Found(found) => {
                    let own = found.records.iter().map(|record| {
                        let key: Arc<str> = self.key(spot, name, record).into();
                        let health = health(&key);
                        self.peer((target, spot), record, found.kind, (key, health))
                    });
                    peers.list.extend(own);
                }
            }
        }
        let address = |peer: &Peer| Address { key: peer.key.clone(), weight: peer.weight };
        let addresses: Vec<Address> = peers.list.iter().map(address).collect();
        peers.balancer = match before {
            Some(before) => before.balancer.rebuild(self.algorithm, &addresses),
            None => Balancer::build(self.algorithm, &addresses),
        };
        peers
    }

    /// The same on every node, so that all of them hash alike.
    fn key(&self, spot: &Spot, name: &Name, record: &Record) -> String {
        format!("{}:{}:{}", record.ip, port(spot, record), name.host())
    }

    fn peer(
        &self,
        (target, spot): (usize, &Spot),
        record: &Record,
        kind: Kind,
        known: (Arc<str>, Arc<Health>),
    ) -> Peer {
        let port = port(spot, record);
        let weight = match &record.service {
            // A target without a share gets none by its records either.
            Some(service) if spot.weight > 0 => u32::from(service.weight),
            _ => spot.weight,
        };
        let named = record.service.as_ref().filter(|_| self.uses_srv_name);
        let host = named.and_then(|service| HeaderValue::from_str(&format!("{}:{port}", service.name)).ok());
        let peer = Peer::new(target, SocketAddr::new(record.ip, port), weight, known);
        Peer { kind: Some(kind), host, ..peer }
    }
}

/// The target's port where the record leaves it open.
fn port(spot: &Spot, record: &Record) -> u16 {
    record.service.as_ref().map(|service| service.port).filter(|port| *port != 0).unwrap_or(spot.port)
}

impl Peers {
    fn none() -> Self {
        let balancer = Balancer::build(Algorithm::RoundRobin, &[]);
        Self { list: Vec::new(), balancer, pending: false, failed: Vec::new() }
    }

    /// Why a name has no address; `None`: it has some, or is none of these.
    pub fn failure(&self, host: &str) -> Option<&NameError> {
        let host = host.trim_end_matches('.');
        self.failed.iter().find(|(name, _)| name.eq_ignore_ascii_case(host)).map(|(_, error)| error)
    }

    fn health_of(&self, key: &str) -> Option<&Arc<Health>> {
        self.list.iter().find(|peer| *peer.key == *key).map(|peer| &peer.health)
    }
}

impl Peer {
    fn new(target: usize, address: SocketAddr, weight: u32, (key, health): (Arc<str>, Arc<Health>)) -> Self {
        let id = stable_hash(key.as_bytes());
        Self { target, address, weight, health, kind: None, host: None, key, id }
    }
}

#[cfg(test)]
mod tests;
