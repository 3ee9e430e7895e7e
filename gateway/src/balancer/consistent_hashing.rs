//! Consistent hashing: the same hash goes to the same address for as long as that address is there.

use std::collections::HashMap;

use super::Address;
use super::hash::{below, mix, stable_hash};

/// The fewest slots there are.
const FEWEST: u32 = 1_000;

/// Hashes fall into slots, and each slot belongs to the address that scores highest in it (weighted rendezvous hashing).
///
/// A score depends on the slot, the key and the weight of one address alone: every node has the same layout, and a
/// change moves only the slots of the address that changed. Points on a ring would be moved by the number of points
/// changing with the total of the weights.
#[derive(Debug)]
pub(super) struct ConsistentHashing {
    candidates: Box<[Candidate]>,
    /// Which candidate each slot belongs to.
    owners: Box<[u32]>,
}

#[derive(Debug)]
struct Candidate {
    index: usize,
    weight: f64,
    seed: u64,
}

impl ConsistentHashing {
    pub(super) fn new(addresses: &[Address], slots: u32) -> Self {
        let mut seen: HashMap<&str, u64> = HashMap::new();
        let weighted = addresses.iter().enumerate().filter(|(_, address)| address.weight > 0);
        let candidates: Box<[_]> = weighted
            .map(|(index, address)| {
                // Two addresses of one key must not have the same scores, or one would get nothing.
                let earlier = seen.entry(&address.key).or_default();
                let seed = stable_hash(address.key.as_bytes()).wrapping_add(mix(*earlier));
                *earlier += 1;
                Candidate { index, weight: f64::from(address.weight), seed }
            })
            .collect();
        let owner = |slot| winner(candidates.iter().enumerate(), slot).unwrap_or_default() as u32;
        let owners = (0..slots.max(FEWEST)).map(|slot| owner(u64::from(slot))).collect();
        Self { candidates, owners }
    }

    pub(super) fn pick(&self, usable: &dyn Fn(usize) -> bool, hash: u64) -> Option<usize> {
        let slot = below(mix(hash), self.owners.len());
        let owner = self.candidates.get(self.owners[slot] as usize)?;
        if usable(owner.index) {
            return Some(owner.index);
        }
        let others = self.candidates.iter().enumerate().filter(|(_, candidate)| usable(candidate.index));
        winner(others, slot as u64).map(|at| self.candidates[at].index)
    }
}

impl Candidate {
    /// With this shape of score the chance to be highest is proportional to the weight.
    fn score(&self, slot: u64) -> f64 {
        let draw = mix(self.seed ^ mix(slot + 1)) >> 11;
        let fraction = (draw as f64 + 0.5) / (1_u64 << 53) as f64;
        -self.weight / fraction.ln()
    }
}

/// The place of the candidate with the highest score in a slot.
fn winner<'c>(candidates: impl Iterator<Item = (usize, &'c Candidate)>, slot: u64) -> Option<usize> {
    let scored = candidates.map(|(at, candidate)| (at, candidate.score(slot)));
    scored.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(at, _)| at)
}
