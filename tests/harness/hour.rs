//! Hours of the clock on the wall.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HOUR: u64 = 3_600;
/// No test counts for longer.
const ENOUGH: u64 = 60;

/// Waits for the next hour if this one is about to end: what is counted by the hour must be counted within one.
pub async fn within_an_hour() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
    let left = HOUR - now % HOUR;
    if left < ENOUGH {
        // Time itself is the condition.
        tokio::time::sleep(Duration::from_secs(left + 1)).await;
    }
}
