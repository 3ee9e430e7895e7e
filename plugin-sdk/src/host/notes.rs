//! Text that the plugins of one request leave for each other.

use crate::{
    bindings::sandgate::plugin::notes,
    host::{HostError, WasmHost},
};

/// Text that the plugins of one request leave for each other.
pub trait Notes {
    /// What an earlier plugin left.
    fn note(&self, key: &str) -> Option<String>;
    /// At most 64 notes of 4 KiB a request.
    fn set_note(&self, key: &str, value: &str) -> Result<(), HostError>;
}

impl Notes for WasmHost {
    fn note(&self, key: &str) -> Option<String> {
        notes::get(key)
    }

    fn set_note(&self, key: &str, value: &str) -> Result<(), HostError> {
        notes::set(key, value)
    }
}
