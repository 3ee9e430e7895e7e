//! Append-only files. Capability: `sinks`, scope: path prefixes.

use crate::{
    bindings::sandgate::plugin::sinks,
    host::{HostError, WasmHost},
};

/// Append-only files. Capability: `sinks`, scope: path prefixes.
pub trait Sinks {
    /// Appends whole, in the order of calls. Phases: log, batch, timer.
    fn append(&self, path: &str, data: &[u8], reopen: bool) -> Result<(), HostError>;
}

impl Sinks for WasmHost {
    fn append(&self, path: &str, data: &[u8], reopen: bool) -> Result<(), HostError> {
        sinks::append(path, data, reopen)
    }
}
