//! `counters`: windows shared by all workers, in a sharded map.

use std::{sync::atomic::AtomicU64, sync::atomic::Ordering::Relaxed, time::Duration};

use dashmap::DashMap;

use super::clock;
use crate::plugin::{
    bindings::sandgate::plugin::{
        counters::{Host, Limit, Period, Usage},
        types::HostError,
    },
    instance::HostState,
};

/// How often windows that are over are let go.
pub(in crate::plugin) const SWEEP: Duration = Duration::from_secs(60);

/// Windows by plugin and key.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Counters {
    calendar: DashMap<String, [Window; 6]>,
    fixed: DashMap<(String, u32), Window>,
    swept: AtomicU64,
}

/// Sum of one window. Times in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    start: u64,
    end: u64,
    used: u64,
}

impl Window {
    fn at(self, now: u64, bounds: (u64, u64)) -> Self {
        if now < self.end && self.start == bounds.0 { self } else { Self { start: bounds.0, end: bounds.1, used: 0 } }
    }
}

impl Counters {
    fn take(&self, key: String, limits: &[Limit], amount: u32, now: u64) -> Vec<Usage> {
        let mut windows = self.calendar.entry(key).or_default();
        let mut usages = Vec::with_capacity(limits.len());
        let mut room = true;
        for limit in limits {
            let window = &mut windows[limit.period as usize];
            *window = window.at(now, bounds(limit.period, now));
            room &= window.used < limit.ceiling;
            usages.push(Usage { used: window.used, elapsed: now - window.start });
        }
        if room {
            for limit in limits {
                windows[limit.period as usize].used += u64::from(amount);
            }
        }
        usages
    }

    fn add(&self, key: String, amount: u32, length: u32, now: u64) -> u64 {
        let start = now - now % u64::from(length);
        let mut window = self.fixed.entry((key, length)).or_default();
        *window = window.at(now, (start, start + u64::from(length)));
        window.used += u64::from(amount);
        window.used
    }

    /// Lets go of windows that are over.
    pub(in crate::plugin) fn sweep(&self) {
        let now = clock::now();
        self.calendar.retain(|_, windows| windows.iter().any(|window| now < window.end));
        self.fixed.retain(|_, window| now < window.end);
        self.swept.store(now, Relaxed);
    }
}

impl Host for HostState {
    fn take(&mut self, key: String, limits: Vec<Limit>, amount: u32) -> Result<Vec<Usage>, HostError> {
        self.permit("counters")?;
        if limits.is_empty() || limits.len() > 6 {
            return Err(HostError::Invalid(format!("{} limits; 1 to 6", limits.len())));
        }
        let key = self.own_key(&key)?;
        Ok(self.services().counters.take(key, &limits, amount, clock::now()))
    }

    fn increment(&mut self, key: String, amount: u32, window: u32) -> Result<u64, HostError> {
        self.permit("counters")?;
        if window == 0 {
            return Err(HostError::Invalid("a window of no time".into()));
        }
        let key = self.own_key(&key)?;
        Ok(self.services().counters.add(key, amount, window, clock::now()))
    }

    fn peek(&mut self, key: String, window: u32) -> Result<u64, HostError> {
        self.permit("counters")?;
        let (key, now) = ((self.own_key(&key)?, window), clock::now());
        let known = self.services().counters.fixed.get(&key);
        Ok(known.filter(|window| now < window.end).map_or(0, |window| window.used))
    }
}

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

/// Beginning and end of the window that holds `now`.
fn bounds(period: Period, now: u64) -> (u64, u64) {
    let plain = |length: u64| (now - now % length, now - now % length + length);
    match period {
        Period::Second => plain(SECOND),
        Period::Minute => plain(60 * SECOND),
        Period::Hour => plain(3_600 * SECOND),
        Period::Day => plain(DAY),
        Period::Month => {
            let (year, month) = year_and_month(now / DAY);
            let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            (first_day(year, month) * DAY, first_day(next_year, next_month) * DAY)
        }
        Period::Year => {
            let (year, _) = year_and_month(now / DAY);
            (first_day(year, 1) * DAY, first_day(year + 1, 1) * DAY)
        }
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days from the epoch to the first of a month.
fn first_day(year: u64, month: u64) -> u64 {
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400 - 477;
    let days = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize - 1];
    (year - 1970) * 365 + leap_days + days + u64::from(month > 2 && is_leap(year))
}

fn year_and_month(day: u64) -> (u64, u64) {
    let mut year = 1970 + day / 366;
    while first_day(year + 1, 1) <= day {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| first_day(year, *month) <= day).unwrap_or(1);
    (year, month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_windows_begin_where_the_calendar_says() {
        let rows = [
            (1_709_210_096_789, Period::Second, 1_709_210_096_000, 1_709_210_097_000),
            (1_709_210_096_789, Period::Minute, 1_709_210_040_000, 1_709_210_100_000),
            (1_709_210_096_789, Period::Hour, 1_709_208_000_000, 1_709_211_600_000),
            (1_709_210_096_789, Period::Day, 1_709_164_800_000, 1_709_251_200_000),
            // 29 February 2024
            (1_709_210_096_789, Period::Month, 1_706_745_600_000, 1_709_251_200_000),
            (1_709_210_096_789, Period::Year, 1_704_067_200_000, 1_735_689_600_000),
            // 23 November 2026
            (1_795_398_038_000, Period::Month, 1_793_491_200_000, 1_796_083_200_000),
            (1_795_398_038_000, Period::Year, 1_767_225_600_000, 1_798_761_600_000),
            // The last millisecond of 2099
            (4_102_444_799_999, Period::Year, 4_070_908_800_000, 4_102_444_800_000),
        ];
        for (now, period, start, end) in rows {
            assert_eq!(bounds(period, now), (start, end), "{period:?} at {now}");
        }
    }

    #[test]
    fn nothing_is_added_once_a_window_is_full() {
        let counters = Counters::default();
        let limits = [Limit { period: Period::Minute, ceiling: 2 }, Limit { period: Period::Hour, ceiling: 100 }];
        let used = |now| {
            let usages = counters.take("k".into(), &limits, 1, now);
            usages.iter().map(|usage| usage.used).collect::<Vec<_>>()
        };
        assert_eq!(used(1_709_210_096_789), [0, 0]);
        assert_eq!(used(1_709_210_096_790), [1, 1]);
        assert_eq!(used(1_709_210_096_791), [2, 2]);
        assert_eq!(used(1_709_210_096_792), [2, 2], "the refused call was not counted");
        assert_eq!(used(1_709_210_100_000), [0, 2], "a new minute of the same hour");
    }
}
