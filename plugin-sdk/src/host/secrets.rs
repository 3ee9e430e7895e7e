//! Secrets of the operator. Capability: `secrets`, scope: names. Phases: configure and background.

use crate::{
    bindings::sandgate::plugin::secrets,
    host::{HostError, WasmHost},
};

/// Secrets of the operator. Capability: `secrets`, scope: names. Phases: configure and background.
pub trait Secrets {
    /// A secret by name.
    fn secret(&self, name: &str) -> Result<Option<String>, HostError>;
}

impl Secrets for WasmHost {
    fn secret(&self, name: &str) -> Result<Option<String>, HostError> {
        secrets::get(name)
    }
}
