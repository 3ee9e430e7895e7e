//! `clock`.

use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::plugin::{bindings::sandgate::plugin::clock::Host, instance::HostState};

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the epoch.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Host for HostState {
    fn now(&mut self) -> u64 {
        now()
    }

    fn monotonic(&mut self) -> u64 {
        u64::try_from(BEGINNING.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
