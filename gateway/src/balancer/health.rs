//! How an address fares: whether it may be asked, and what is counted to find that out. Shared by workers and checks, and
//! by the balancers that follow each other; nothing locks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::load::{age, now};

const UNHEALTHY: u64 = 1 << 32;
/// An address that stays an outlier is out for so many times the set time at most.
const LONGEST: u32 = 10;

/// What a request or a check says of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// It answered as it should.
    Success,
    /// It answered with a status that speaks against it.
    HttpFailure,
    /// It could not be reached, or hung up.
    TcpFailure,
    /// It took too long.
    Timeout,
}

/// How many reports turn an address; 0: none do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Thresholds {
    /// For the better.
    pub successes: u8,
    /// For the worse, as the others.
    pub http_failures: u8,
    /// See [`Report::TcpFailure`].
    pub tcp_failures: u8,
    /// See [`Report::Timeout`].
    pub timeouts: u8,
}

impl Thresholds {
    fn of(&self, report: Report) -> u8 {
        match report {
            Report::Success => self.successes,
            Report::HttpFailure => self.http_failures,
            Report::TcpFailure => self.tcp_failures,
            Report::Timeout => self.timeouts,
        }
    }
}

/// What statuses say, and how often it has to be said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdicts {
    /// Statuses that speak for an address.
    pub healthy: Box<[u16]>,
    /// Statuses that speak against it.
    pub unhealthy: Box<[u16]>,
    /// How many reports turn it.
    pub thresholds: Thresholds,
}

impl Verdicts {
    /// What a status says: nothing if it is on neither list.
    pub fn of_status(&self, status: u16) -> Option<Report> {
        if self.healthy.contains(&status) {
            Some(Report::Success)
        } else {
            self.unhealthy.contains(&status).then_some(Report::HttpFailure)
        }
    }
}

/// When an address that only fails is left alone for a while, whatever the checks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ejection {
    /// Failures without a success between them; 0: never.
    pub failures: u16,
    /// For how long, the first time; each further time in a row longer by as much.
    pub time: Duration,
}

/// The state of one address. New ones are healthy.
#[derive(Debug, Default)]
pub struct Health {
    /// A byte each for successes, HTTP failures, TCP failures and timeouts, and [`UNHEALTHY`].
    counted: AtomicU64,
    /// When it began to be asked, in milliseconds; 0: long ago.
    began: AtomicU32,
    /// Until when it is left alone in the upper half, how often in a row that was, failures in a row.
    outlier: AtomicU64,
}

impl Health {
    /// Of an address that joins others, which may be spared at first.
    pub fn joining() -> Self {
        Self::joining_at(now())
    }

    fn joining_at(now: u32) -> Self {
        Self { began: AtomicU32::new(now.max(1)), ..Self::default() }
    }

    /// Whether it may be asked.
    pub fn is_healthy(&self) -> bool {
        self.counted.load(Relaxed) & UNHEALTHY == 0
    }

    /// Turns it by hand; what was counted is forgotten.
    pub fn mark(&self, healthy: bool) {
        let before = self.counted.swap(if healthy { 0 } else { UNHEALTHY }, Relaxed);
        if healthy && before & UNHEALTHY != 0 {
            self.begin();
        }
    }

    /// Counts a report. `Some`: it turned the address, healthy or not.
    pub fn note(&self, report: Report, thresholds: &Thresholds) -> Option<bool> {
        if report == Report::Success && self.counted.load(Relaxed) == 0 {
            return None;
        }
        let limit = thresholds.of(report);
        let before = self.counted.fetch_update(Relaxed, Relaxed, |counted| Some(count(counted, report, limit)));
        let before = before.unwrap_or_else(|same| same);
        let after = count(before, report, limit);
        let turned = (before ^ after) & UNHEALTHY != 0;
        let healthy = after & UNHEALTHY == 0;
        if turned && healthy {
            self.begin();
        }
        turned.then_some(healthy)
    }

    /// How much of its share it gets, of 2³², when a new address takes so long to get all of it.
    pub fn share(&self, warming: Duration) -> u64 {
        self.share_at(warming, now())
    }

    fn share_at(&self, warming: Duration, now: u32) -> u64 {
        let began = self.began.load(Relaxed);
        if began == 0 {
            return 1 << 32;
        }
        let (age, whole) = (u128::from(age(began, now)), warming.as_millis().max(1));
        if age >= whole {
            self.began.store(0, Relaxed);
            return 1 << 32;
        }
        // A tenth at once, or nobody would ever find out how it does.
        ((age << 32) / whole).max((1 << 32) / 10) as u64
    }

    /// Whether it is left alone as an outlier.
    pub fn is_ejected(&self) -> bool {
        self.is_ejected_at(now())
    }

    fn is_ejected_at(&self, now: u32) -> bool {
        let until = (self.outlier.load(Relaxed) >> 32) as u32;
        until != 0 && (until.wrapping_sub(now) as i32) > 0
    }

    /// Counts towards an ejection. `may_go`: asked at the last moment whether it may be left alone.
    pub fn fared(&self, well: bool, ejection: &Ejection, may_go: impl FnOnce() -> bool) {
        self.fared_at(now(), well, ejection, may_go);
    }

    fn fared_at(&self, now: u32, well: bool, ejection: &Ejection, may_go: impl FnOnce() -> bool) {
        let known = self.outlier.load(Relaxed);
        if well {
            if known != 0 {
                self.outlier.store(0, Relaxed);
            }
            return;
        }
        let (turns, failures) = ((known >> 16) as u16, (known as u16).saturating_add(1));
        let next = if failures >= ejection.failures && may_go() {
            let turns = turns.saturating_add(1);
            let time = ejection.time.saturating_mul(u32::from(turns).min(LONGEST)).as_millis() as u32;
            u64::from(now.wrapping_add(time).max(1)) << 32 | u64::from(turns) << 16
        } else {
            known & !0xffff | u64::from(failures)
        };
        // Two workers at once may count one failure for two: it is told again soon if it is true.
        _ = self.outlier.compare_exchange(known, next, Relaxed, Relaxed);
    }

    fn begin(&self) {
        self.began.store(now().max(1), Relaxed);
    }
}

/// What is counted after a report. A success forgets failures and the other way round.
fn count(counted: u64, report: Report, limit: u8) -> u64 {
    let is_healthy = counted & UNHEALTHY == 0;
    let (place, is_good) = match report {
        Report::Success => (0, true),
        Report::HttpFailure => (8, false),
        Report::TcpFailure => (16, false),
        Report::Timeout => (24, false),
    };
    let state = counted & UNHEALTHY;
    if is_good == is_healthy {
        return state;
    }
    if limit == 0 {
        return counted;
    }
    let times = (counted >> place & 0xff) + 1;
    if times >= u64::from(limit) {
        return state ^ UNHEALTHY;
    }
    counted & !(0xff << place) | times << place
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURES: [Report; 3] = [Report::HttpFailure, Report::TcpFailure, Report::Timeout];

    #[test]
    fn each_kind_of_failure_has_a_counter_of_its_own() {
        let thresholds = Thresholds { successes: 2, http_failures: 3, tcp_failures: 2, timeouts: 1 };
        for (report, times) in FAILURES.into_iter().zip([3, 2, 1]) {
            let health = Health::default();
            for _ in 1..times {
                assert_eq!(health.note(report, &thresholds), None, "{report:?}");
            }
            assert_eq!(health.note(report, &thresholds), Some(false), "{report:?}");
            assert!(!health.is_healthy());
            assert_eq!(health.note(report, &thresholds), None, "it is so already");
        }
        let mixed = Health::default();
        for report in [Report::HttpFailure, Report::TcpFailure, Report::HttpFailure] {
            assert_eq!(mixed.note(report, &thresholds), None, "none of them often enough");
        }
    }

    #[test]
    fn what_contradicts_begins_the_count_anew() {
        let thresholds = Thresholds { successes: 2, http_failures: 2, ..Thresholds::default() };
        let health = Health::default();
        for report in [Report::HttpFailure, Report::Success, Report::HttpFailure] {
            assert_eq!(health.note(report, &thresholds), None);
        }
        assert_eq!(health.note(Report::HttpFailure, &thresholds), Some(false));
        for report in [Report::Success, Report::HttpFailure, Report::Success] {
            assert_eq!(health.note(report, &thresholds), None);
        }
        assert_eq!(health.note(Report::Success, &thresholds), Some(true));
    }

    #[test]
    fn a_threshold_of_zero_turns_nothing() {
        let health = Health::default();
        for report in FAILURES {
            (0..300).for_each(|_| assert_eq!(health.note(report, &Thresholds::default()), None));
        }
        health.mark(false);
        (0..300).for_each(|_| assert_eq!(health.note(Report::Success, &Thresholds::default()), None));
        assert!(!health.is_healthy(), "it comes back only by other means");
        health.mark(true);
        assert!(health.is_healthy());
    }

    #[test]
    fn a_joining_address_gets_its_share_by_and_by() {
        let (warming, health) = (Duration::from_secs(10), Health::joining_at(1_000));
        for (at, share) in [(1_000, (1 << 32) / 10), (6_000, 1 << 31), (11_000, 1 << 32), (11_001, 1 << 32)] {
            assert_eq!(health.share_at(warming, at), share, "at {at} ms");
        }
        assert_eq!(Health::default().share_at(warming, 5), 1 << 32, "one that was always there");
        assert_eq!(Health::joining_at(0).share_at(warming, 0), (1 << 32) / 10, "with the first look at the clock");
    }

    #[test]
    fn an_outlier_is_left_alone_for_longer_each_time() {
        let ejection = Ejection { failures: 2, time: Duration::from_secs(10) };
        let health = Health::default();
        let fare = |at, well| health.fared_at(at, well, &ejection, || true);
        [false, true, false].into_iter().for_each(|well| fare(1, well));
        assert!(!health.is_ejected_at(1), "a success lies between");
        let mut at = 1;
        fare(at, false);
        for seconds in [10, 20, 30] {
            assert!(health.is_ejected_at(at + seconds * 1_000 - 1));
            at += seconds * 1_000;
            assert!(!health.is_ejected_at(at));
            [false, false].into_iter().for_each(|well| fare(at, well));
        }
        fare(at, true);
        assert!(!health.is_ejected_at(at), "it answered");
        (0..3).for_each(|_| health.fared_at(at, false, &ejection, || false));
        assert!(!health.is_ejected_at(at), "it may not go");
    }
}
