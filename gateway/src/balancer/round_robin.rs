//! Weighted round-robin: a wheel on which each address stands as often as its weight says, turned one place a pick.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Address;
use super::hash::{below, mix};

/// The wheel is not laid out in memory: its places are numbered through by address, and walked with a stride that
/// visits each once in a round and comes back to the same address as late as it can.
#[derive(Debug)]
pub(super) struct RoundRobin {
    shares: Box<[Share]>,
    places: u64,
    stride: u64,
    turn: AtomicU64,
}

#[derive(Debug)]
struct Share {
    index: usize,
    weight: u64,
    /// The first place that belongs to the next address.
    end: u64,
}

impl RoundRobin {
    /// `turn` is how often the wheel has been turned already.
    pub(super) fn new(addresses: &[Address], turn: u64) -> Self {
        let divisor = addresses.iter().map(|address| u64::from(address.weight)).fold(0, greatest_common_divisor).max(1);
        let mut places = 0;
        let weighted = addresses.iter().enumerate().filter(|(_, address)| address.weight > 0);
        let shares = weighted.map(|(index, address)| {
            let weight = u64::from(address.weight) / divisor;
            places += weight;
            Share { index, weight, end: places }
        });
        let shares = shares.collect();
        Self { shares, places, stride: stride(places), turn: AtomicU64::new(turn) }
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    pub(super) fn pick(&self, usable: &dyn Fn(usize) -> bool) -> Option<usize> {
        if self.places == 0 {
            return None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let place = (u128::from(turn) * u128::from(self.stride) % u128::from(self.places)) as u64;
        let share = self.shares.partition_point(|share| share.end <= place);
        let index = self.shares[share].index;
        if usable(index) { Some(index) } else { self.pick_other(usable, turn) }
    }

    /// Picks one of the usable addresses at random by weight, so that all of them share the load of those that are not.
    fn pick_other(&self, usable: &dyn Fn(usize) -> bool, turn: u64) -> Option<usize> {
        let others = || self.shares.iter().filter(|share| usable(share.index));
        let places: u64 = others().map(|share| share.weight).sum();
        let mut place = below(mix(turn), usize::try_from(places).ok()?) as u64;
        let mut others = others();
        others
            .find(|share| {
                let is_there = place < share.weight;
                place = place.saturating_sub(share.weight);
                is_there
            })
            .map(|share| share.index)
    }
}

/// About the golden section of the wheel, and without a common divisor so that a round visits every place.
fn stride(places: u64) -> u64 {
    let section = (places as f64 * 0.618_033_988_75) as u64;
    (section.max(1)..).find(|stride| greatest_common_divisor(*stride, places) <= 1).unwrap_or(1)
}

fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}
