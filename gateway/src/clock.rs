//! The time of day, as the configuration and its database count it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix time now; zero on a machine whose clock stands before 1970.
pub fn unix_now() -> Duration {
    unix(SystemTime::now())
}

/// Unix time of this moment; zero before 1970.
pub fn unix(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
