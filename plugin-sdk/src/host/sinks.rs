//! Append-only files. Capability: `sinks`, scope: path prefixes.

use crate::{
    bindings::sandgate::plugin::sinks,
    host::{HostError, WasmHost},
};

/// Append-only files. Capability: `sinks`, scope: path prefixes.
pub trait Sinks {
    /// Appends whole, in the order of calls. Phases: log, batch, timer.
    fn append(&self, path: &str, data: &[u8], reopen: bool) -> Result<(), HostError>;
    /// Appends the access record and an end of line, without taking the record through the plugin.
    fn append_record(&self, path: &str, reopen: bool) -> Result<(), HostError>;
}

impl Sinks for WasmHost {
    fn append_record(&self, path: &str, reopen: bool) -> Result<(), HostError> {
        sinks::append_record(path, reopen)
    }

    fn append(&self, path: &str, data: &[u8], reopen: bool) -> Result<(), HostError> {
        sinks::append(path, data, reopen)
    }
}
