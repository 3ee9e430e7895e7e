//! Time.

use crate::{bindings::sandgate::plugin::clock, host::WasmHost};

/// Time.
pub trait Clock {
    /// Milliseconds since the epoch.
    fn now(&self) -> u64;
    /// Nanoseconds since an arbitrary point; never goes back.
    fn monotonic(&self) -> u64;
}

impl Clock for WasmHost {
    fn now(&self) -> u64 {
        clock::now()
    }

    fn monotonic(&self) -> u64 {
        clock::monotonic()
    }
}
