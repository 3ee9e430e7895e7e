//! How often something may be written to the log.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Lines a second.
const A_SECOND: u32 = 5;

/// Lets a few lines a second into the log, for what clients can cause as often as they like: they must not fill the disk,
/// nor hide what else is said.
#[derive(Debug, Default)]
pub struct Throttle {
    second: AtomicU64,
    told: AtomicU32,
    left_out: AtomicU64,
}

impl Throttle {
    /// Whether to write a line in this second: how many were left out since the last one; `None` leaves this one out, too.
    pub fn admit(&self, second: u64) -> Option<u64> {
        if self.second.swap(second, Relaxed) != second {
            self.told.store(0, Relaxed);
        }
        if self.told.load(Relaxed) < A_SECOND {
            self.told.fetch_add(1, Relaxed);
            return Some(self.left_out.swap(0, Relaxed));
        }
        self.left_out.fetch_add(1, Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_few_lines_and_their_number() {
        let throttle = Throttle::default();
        let told = (0..100).filter_map(|_| throttle.admit(7)).collect::<Vec<_>>();
        assert_eq!(told, [0; A_SECOND as usize]);
        assert_eq!(throttle.admit(8), Some(95));
        assert_eq!(throttle.admit(8), Some(0));
    }
}
