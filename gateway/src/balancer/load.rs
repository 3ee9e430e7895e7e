//! What is known about the load of one address. Shared by workers and by the balancers that follow each other.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long a latency takes to lose most of its influence.
const DECAY: Duration = Duration::from_secs(10);
/// What a try without an answer counts as, and what an address is expected to take before its first answer.
const PENALTY: Duration = Duration::from_secs(1);

/// How far two looks at the clock may be in the wrong order, in milliseconds.
const AHEAD: u32 = 60_000;

/// Time counts from here, so that it fits an atomic.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Requests under way and recent latency.
#[derive(Debug, Default)]
pub(super) struct Load {
    active: AtomicU32,
    /// The average latency in seconds as an `f32` in the upper half, when it was set in milliseconds in the lower one.
    latency: AtomicU64,
}

impl Load {
    /// How many requests are under way.
    pub(super) fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// How long a request would take, in seconds: the recent latency times the requests there would be. An address
    /// that has not been heard of for long looks better and better, so that it gets another chance.
    pub(super) fn expected(&self, now: u32) -> f32 {
        let active = self.active() as f32;
        let (latency, since) = unpack(self.latency.load(Ordering::Relaxed));
        if latency == 0.0 {
            return PENALTY.as_secs_f32() * active;
        }
        latency * remaining(since, now) * (active + 1.0)
    }

    /// Takes a latency into the average: at once if it is a peak, else by and by.
    pub(super) fn record(&self, latency: Duration, now: u32) {
        let sample = latency.as_secs_f32().max(f32::MIN_POSITIVE);
        let update = |packed| {
            let (average, since) = unpack(packed);
            let share = remaining(since, now);
            let next = if sample > average { sample } else { average * share + sample * (1.0 - share) };
            Some(pack(next, now))
        };
        _ = self.latency.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }
}

/// A request on its way to an address; dropping it ends that.
#[derive(Debug)]
#[must_use = "dropping this ends the request in the eyes of the balancer"]
pub struct InFlight(Option<Arc<Load>>);

impl InFlight {
    pub(super) fn begin(load: Option<Arc<Load>>) -> Self {
        if let Some(load) = &load {
            load.active.fetch_add(1, Ordering::Relaxed);
        }
        Self(load)
    }

    pub(super) fn uncounted() -> Self {
        Self(None)
    }

    /// Notes how long the address took to begin its answer. The request still counts as being there.
    pub fn answered(&self, latency: Duration) {
        if let Some(load) = &self.0 {
            load.record(latency, now());
        }
    }

    /// Notes that the address gave no answer, which must not make it look quick.
    pub fn failed(&self) {
        self.answered(PENALTY);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(load) = &self.0 {
            load.active.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Milliseconds since the process first asked; wraps after 49 days, which makes one latency look old.
pub(super) fn now() -> u32 {
    EPOCH.elapsed().as_millis() as u32
}

/// Milliseconds between two looks at the clock. A look that another thread took a moment later is no age at all.
pub(super) fn age(since: u32, now: u32) -> u32 {
    let age = now.wrapping_sub(since);
    if age > u32::MAX - AHEAD { 0 } else { age }
}

fn remaining(since: u32, now: u32) -> f32 {
    (-(age(since, now) as f32) / DECAY.as_millis() as f32).exp()
}

fn pack(latency: f32, now: u32) -> u64 {
    u64::from(latency.to_bits()) << 32 | u64::from(now)
}

fn unpack(packed: u64) -> (f32, u32) {
    (f32::from_bits((packed >> 32) as u32), packed as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u32 = 1_000;

    #[test]
    fn a_peak_counts_at_once_and_fades_by_and_by() {
        let load = Load::default();
        load.record(Duration::from_millis(100), 0);
        load.record(Duration::from_secs(2), SECOND);
        assert_eq!(load.expected(SECOND), 2.0);
        load.record(Duration::from_millis(100), 2 * SECOND);
        let faded = load.expected(2 * SECOND);
        assert!((1.5..1.9).contains(&faded), "{faded}");
        assert!(load.expected(60 * SECOND) < 0.01);
        assert_eq!(load.expected(2 * SECOND - 1), load.expected(2 * SECOND), "a look at the clock from before");
    }

    #[test]
    fn requests_under_way_make_an_address_look_slower() {
        let load = Arc::new(Load::default());
        assert_eq!(load.expected(0), 0.0);
        let first = InFlight::begin(Some(load.clone()));
        assert!(load.expected(0) > 0.5, "an address not heard of yet must not get everything");
        load.record(Duration::from_secs(1), 0);
        assert_eq!(load.expected(0), 2.0);
        drop(first);
        assert_eq!((load.active(), load.expected(0)), (0, 1.0));
    }
}
