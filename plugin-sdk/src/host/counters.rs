//! Counters shared by all workers of the gateway. Capability: `counters`.

use crate::{
    bindings::sandgate::plugin::counters,
    host::{HostError, Limit, Usage, WasmHost},
};

/// Counters shared by all workers of the gateway. Capability: `counters`.
pub trait Counters {
    /// Reads the window of every limit, and adds `amount` to all unless one has reached its ceiling.
    fn take(&self, key: &str, limits: &[Limit], amount: u32) -> Result<Vec<Usage>, HostError>;
    /// Adds to a window of so many milliseconds and answers with the sum.
    fn increment(&self, key: &str, amount: u32, window: u32) -> Result<u64, HostError>;
    /// The sum in the current window.
    fn peek(&self, key: &str, window: u32) -> Result<u64, HostError>;
}

impl Counters for WasmHost {
    fn take(&self, key: &str, limits: &[Limit], amount: u32) -> Result<Vec<Usage>, HostError> {
        counters::take(key, limits, amount)
    }

    fn increment(&self, key: &str, amount: u32, window: u32) -> Result<u64, HostError> {
        counters::increment(key, amount, window)
    }

    fn peek(&self, key: &str, window: u32) -> Result<u64, HostError> {
        counters::peek(key, window)
    }
}
