//! Latency: of two addresses at random, the one expected to answer sooner. Two are enough to avoid the slow ones, and
//! unlike the best of all they are not the same for every worker at the same moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Candidate;
use super::hash::{below, mix};
use super::load::{Load, now};

#[derive(Debug)]
pub(super) struct Latency {
    candidates: Box<[Candidate]>,
    turn: AtomicU64,
}

impl Latency {
    pub(super) fn new(candidates: Box<[Candidate]>) -> Self {
        Self { candidates, turn: AtomicU64::new(0) }
    }

    pub(super) fn pick(&self, usable: &dyn Fn(usize) -> bool) -> Option<usize> {
        let count = self.candidates.len();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let one = self.first_usable(usable, below(mix(turn), count), count)?;
        // Begins behind the first, at one of the `count - 1` others; each is met before the first again.
        let distance = 1 + below(mix(!turn), count - 1);
        let other = self.first_usable(usable, one + distance, count)?;
        let now = now();
        let cost = |at: usize| {
            let candidate = &self.candidates[at];
            candidate.load.expected(now) / candidate.weight as f32
        };
        let sooner = if cost(other) < cost(one) { other } else { one };
        Some(self.candidates[sooner].index)
    }

    pub(super) fn load(&self, index: usize) -> Option<Arc<Load>> {
        Candidate::load_of(&self.candidates, index)
    }

    /// The place of the first usable candidate from a place on, around the end.
    fn first_usable(&self, usable: &dyn Fn(usize) -> bool, from: usize, count: usize) -> Option<usize> {
        (from..from + count).map(|at| at % count).find(|at| usable(self.candidates[*at].index))
    }
}
