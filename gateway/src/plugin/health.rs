//! Failures of a deployment, and the circuit they open: three in a minute, and calls are refused for a while that
//! doubles from 1 s to 60 s. One call then tries; if it succeeds the circuit closes.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_secs(60);
const FAILURES: usize = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Failures and the circuit of a deployment.
#[derive(Debug, Default)]
pub struct Health {
    /// Read on every call: whether there is anything to look up.
    tripped: AtomicBool,
    total: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    recent: Vec<Instant>,
    pause: Option<Duration>,
    open_until: Option<Instant>,
    trying: bool,
    reason: Option<String>,
}

/// What the Admin API says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthReport {
    /// Failed calls since the deployment began.
    pub failures: u64,
    /// Why the last call failed.
    pub last_reason: Option<String>,
    /// Calls are refused for so long.
    pub open_for: Option<Duration>,
}

impl Health {
    /// Whether nothing keeps calls back.
    pub fn is_closed(&self) -> bool {
        !self.tripped.load(Relaxed)
    }

    /// Whether a call may be made now.
    pub fn admits(&self) -> bool {
        if !self.tripped.load(Relaxed) {
            return true;
        }
        self.admits_at(Instant::now())
    }

    fn admits_at(&self, now: Instant) -> bool {
        let mut state = self.lock();
        match state.open_until {
            Some(until) if now < until => false,
            Some(_) if state.trying => false,
            Some(_) => {
                state.trying = true;
                true
            }
            None => true,
        }
    }

    /// A call succeeded.
    pub fn succeeded(&self) {
        if self.tripped.load(Relaxed) {
            self.close();
        }
    }

    fn close(&self) {
        let mut state = self.lock();
        if state.trying || state.open_until.is_none() {
            let reason = state.reason.take();
            *state = State { reason, ..State::default() };
            self.tripped.store(false, Relaxed);
        }
    }

    /// A call failed.
    pub fn failed(&self, reason: &str, now: Instant) {
        self.total.fetch_add(1, Relaxed);
        let mut state = self.lock();
        state.reason = Some(reason.to_owned());
        state.recent.retain(|at| now.duration_since(*at) < WINDOW);
        state.recent.push(now);
        if state.trying || state.recent.len() >= FAILURES {
            let pause = state.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
            state.pause = Some(pause);
            state.open_until = Some(now + pause);
            state.trying = false;
            state.recent.clear();
            self.tripped.store(true, Relaxed);
        }
    }

    /// For the Admin API.
    pub fn report(&self) -> HealthReport {
        let state = self.lock();
        let now = Instant::now();
        HealthReport {
            failures: self.total.load(Relaxed),
            last_reason: state.reason.clone(),
            open_for: state.open_until.map(|until| until.saturating_duration_since(now)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_minute_open_the_circuit_and_a_success_closes_it() {
        let health = Health::default();
        let start = Instant::now();
        health.failed("a", start);
        health.failed("b", start + Duration::from_secs(1));
        assert!(health.admits());
        health.failed("c", start + Duration::from_secs(2));
        assert!(!health.admits_at(start + Duration::from_millis(2_500)), "open for a second");
        assert!(health.admits_at(start + Duration::from_secs(4)), "one may try");
        assert!(!health.admits_at(start + Duration::from_secs(4)), "only one");
        health.succeeded();
        assert!(health.admits());
    }

    #[test]
    fn a_failed_trial_doubles_the_pause() {
        let health = Health::default();
        let start = Instant::now();
        for _ in 0..3 {
            health.failed("trap", start);
        }
        assert!(health.admits_at(start + Duration::from_millis(1_001)));
        health.failed("trap", start + Duration::from_millis(1_001));
        assert!(!health.admits_at(start + Duration::from_millis(2_900)));
        assert!(health.admits_at(start + Duration::from_millis(3_100)));
    }

    #[test]
    fn failures_a_minute_apart_do_not_add_up() {
        let health = Health::default();
        let start = Instant::now();
        for minute in 0..5 {
            health.failed("rare", start + Duration::from_secs(61 * minute));
        }
        assert!(health.admits());
    }
}
