//! Hands work to the background. Capability: `queue`.

use crate::{
    bindings::sandgate::plugin::queue,
    host::{HostError, WasmHost},
};

/// Hands work to the background. Capability: `queue`.
pub trait Queue {
    /// Enqueues for `on_batch` of this configuration, which must have asked for a queue in `prepare`.
    fn enqueue(&self, entry: &[u8]) -> Result<(), HostError>;
}

impl Queue for WasmHost {
    fn enqueue(&self, entry: &[u8]) -> Result<(), HostError> {
        queue::enqueue(self.config, entry)
    }
}
