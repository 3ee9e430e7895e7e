//! Decides which address of an upstream gets a request. Never connects, resolves or probes; called by the upstream at
//! each try, built by the snapshot.
//!
//! Workers share a balancer: what changes is atomic, and picking takes no lock.

mod consistent_hashing;
mod hash;
mod health;
mod latency;
mod least_connections;
mod load;
mod round_robin;

use std::collections::HashMap;
use std::sync::Arc;

use consistent_hashing::ConsistentHashing;
pub use hash::stable_hash;
pub use health::{Ejection, Health, Report, Thresholds, Verdicts};
use latency::Latency;
use least_connections::LeastConnections;
pub use load::InFlight;
use load::Load;
use round_robin::RoundRobin;

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What it is known by from one configuration to the next and on every node, such as `10.0.0.1:80`.
    pub key: Arc<str>,
    /// Its share; 0 gets nothing.
    pub weight: u32,
}

/// How an address is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// In turn, as often as the weights say.
    #[default]
    RoundRobin,
    /// The same address for the same hash.
    ConsistentHashing {
        /// Into how many parts the hashes are divided; fewer than 1000 are taken for 1000.
        slots: u32,
    },
    /// The one with the fewest requests for its weight.
    LeastConnections,
    /// The one that answers soonest, of two at random.
    Latency,
}

/// Chooses among the addresses it was built with.
#[derive(Debug)]
pub struct Balancer {
    choice: Choice,
    /// By address key, for the next balancer of the same upstream.
    loads: Loads,
}

type Loads = HashMap<Arc<str>, Arc<Load>>;

#[derive(Debug)]
enum Choice {
    RoundRobin(RoundRobin),
    ConsistentHashing(ConsistentHashing),
    LeastConnections(LeastConnections),
    Latency(Latency),
}

impl Balancer {
    /// Prepares to choose among addresses.
    pub fn build(algorithm: Algorithm, addresses: &[Address]) -> Self {
        Self::assemble(algorithm, addresses, &HashMap::new(), 0)
    }

    /// Like [`build`](Self::build), but the load of the addresses that stay is known, and the turn goes on.
    pub fn rebuild(&self, algorithm: Algorithm, addresses: &[Address]) -> Self {
        let turn = match &self.choice {
            Choice::RoundRobin(choice) => choice.turn(),
            Choice::ConsistentHashing(_) | Choice::LeastConnections(_) | Choice::Latency(_) => 0,
        };
        Self::assemble(algorithm, addresses, &self.loads, turn)
    }

    /// Chooses an address that has not been tried in this request, as an index into the list given to
    /// [`build`](Self::build). `hash` is what consistent hashing goes by; requests without one go to one address.
    ///
    /// `None` if all have been tried or have weight 0.
    pub fn pick(&self, tried: &[usize], hash: Option<u64>) -> Option<usize> {
        self.pick_where(&|index| !tried.contains(&index), hash)
    }

    /// Chooses like [`pick`](Self::pick) among the addresses for which `usable` holds, such as the healthy ones.
    pub fn pick_where(&self, usable: &dyn Fn(usize) -> bool, hash: Option<u64>) -> Option<usize> {
        match &self.choice {
            Choice::RoundRobin(choice) => choice.pick(usable),
            Choice::ConsistentHashing(choice) => choice.pick(usable, hash.unwrap_or_default()),
            Choice::LeastConnections(choice) => choice.pick(usable),
            Choice::Latency(choice) => choice.pick(usable),
        }
    }

    /// Notes that a request goes to an address. It counts as being there until the answer is dropped.
    pub fn started(&self, index: usize) -> InFlight {
        match &self.choice {
            Choice::RoundRobin(_) | Choice::ConsistentHashing(_) => InFlight::uncounted(),
            Choice::LeastConnections(choice) => InFlight::begin(choice.load(index)),
            Choice::Latency(choice) => InFlight::begin(choice.load(index)),
        }
    }

    fn assemble(algorithm: Algorithm, addresses: &[Address], known: &Loads, turn: u64) -> Self {
        let load = |address: &Address| known.get(&address.key).cloned().unwrap_or_default();
        let loads: Loads = addresses.iter().map(|address| (address.key.clone(), load(address))).collect();
        let candidates = || {
            let weighted = addresses.iter().enumerate().filter(|(_, address)| address.weight > 0);
            weighted.map(|(index, address)| Candidate::new(index, address, &loads)).collect()
        };
        let choice = match algorithm {
            Algorithm::RoundRobin => Choice::RoundRobin(RoundRobin::new(addresses, turn)),
            Algorithm::ConsistentHashing { slots } => {
                Choice::ConsistentHashing(ConsistentHashing::new(addresses, slots))
            }
            Algorithm::LeastConnections => Choice::LeastConnections(LeastConnections::new(candidates())),
            Algorithm::Latency => Choice::Latency(Latency::new(candidates())),
        };
        Self { choice, loads }
    }
}

/// An address that may get requests, with its load.
#[derive(Debug)]
struct Candidate {
    index: usize,
    weight: u32,
    load: Arc<Load>,
}

impl Candidate {
    fn new(index: usize, address: &Address, loads: &Loads) -> Self {
        let load = loads.get(&address.key).cloned().unwrap_or_default();
        Self { index, weight: address.weight, load }
    }

    /// The load of the address at an index, if it may get requests.
    fn load_of(candidates: &[Self], index: usize) -> Option<Arc<Load>> {
        let at = candidates.binary_search_by_key(&index, |candidate| candidate.index).ok()?;
        Some(candidates[at].load.clone())
    }
}

#[cfg(test)]
mod tests;
