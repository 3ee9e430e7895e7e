//! Windows aligned to the UTC calendar.

use crate::host::Period;

const DAY: u64 = 86_400_000;

/// Start of the window that holds `now`, both in milliseconds since the epoch.
pub(super) fn start(period: Period, now: u64) -> u64 {
    match period {
        Period::Second => now - now % 1_000,
        Period::Minute => now - now % 60_000,
        Period::Hour => now - now % 3_600_000,
        Period::Day => now - now % DAY,
        Period::Month => now - now % DAY - day_of(now).0 * DAY,
        Period::Year => now - now % DAY - day_of(now).1 * DAY,
    }
}

/// Day of the month and of the year, from 0.
fn day_of(now: u64) -> (u64, u64) {
    let mut day = now / DAY;
    let mut year = 1970;
    while day >= length(year) {
        day -= length(year);
        year += 1;
    }
    let february = if length(year) == 366 { 29 } else { 28 };
    let mut in_month = day;
    for month in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if in_month < month {
            break;
        }
        in_month -= month;
    }
    (in_month, day)
}

fn length(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    if leap { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_where_the_calendar_says() {
        let now = 1_709_210_096_789; // 2024-02-29T12:34:56.789Z
        let cases = [
            (Period::Second, 1_709_210_096_000),
            (Period::Minute, 1_709_210_040_000),
            (Period::Hour, 1_709_208_000_000),
            (Period::Day, 1_709_164_800_000),
            (Period::Month, 1_706_745_600_000),
            (Period::Year, 1_704_067_200_000),
        ];
        for (period, expected) in cases {
            assert_eq!(start(period, now), expected, "{period:?}");
        }
    }
}
