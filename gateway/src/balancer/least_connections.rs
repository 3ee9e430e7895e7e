//! Least connections: the address with the fewest requests under way for its weight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Candidate;
use super::load::Load;

#[derive(Debug)]
pub(super) struct LeastConnections {
    candidates: Box<[Candidate]>,
    /// Where the next look begins, so that equals take turns.
    turn: AtomicUsize,
}

impl LeastConnections {
    pub(super) fn new(candidates: Box<[Candidate]>) -> Self {
        Self { candidates, turn: AtomicUsize::new(0) }
    }

    pub(super) fn pick(&self, usable: &dyn Fn(usize) -> bool) -> Option<usize> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.candidates.len().max(1);
        let (before, from) = self.candidates.split_at(turn);
        let usable = from.iter().chain(before).filter(|candidate| usable(candidate.index));
        // Each load is read once: it may change under a second look.
        let loaded = usable.map(|candidate| (candidate, u64::from(candidate.load.active()) + 1));
        let least = loaded.min_by(|(one, one_load), (other, other_load)| {
            (one_load * u64::from(other.weight)).cmp(&(other_load * u64::from(one.weight)))
        });
        least.map(|(candidate, _)| candidate.index)
    }

    pub(super) fn load(&self, index: usize) -> Option<Arc<Load>> {
        Candidate::load_of(&self.candidates, index)
    }
}
