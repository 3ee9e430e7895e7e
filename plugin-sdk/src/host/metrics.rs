//! Counters and histograms of this plugin. Capability: `metrics`.

use crate::{
    bindings::sandgate::plugin::metrics,
    host::{HostError, WasmHost},
};

/// Counters and histograms of this plugin. Capability: `metrics`.
pub trait Metrics {
    /// Adds to a counter, made on first use.
    fn count(&self, name: &str, amount: u64) -> Result<(), HostError>;
    /// Observes a value in a histogram, made on first use.
    fn observe(&self, name: &str, value: f64) -> Result<(), HostError>;
}

impl Metrics for WasmHost {
    fn count(&self, name: &str, amount: u64) -> Result<(), HostError> {
        metrics::add(name, amount)
    }

    fn observe(&self, name: &str, value: f64) -> Result<(), HostError> {
        metrics::observe(name, value)
    }
}
