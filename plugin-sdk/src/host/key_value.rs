//! Small values shared by all workers. Capability: `key-value`.

use crate::{
    bindings::sandgate::plugin::key_value,
    host::{HostError, WasmHost},
};

/// Small values shared by all workers. Capability: `key-value`.
pub trait KeyValue {
    /// The value, while it lives.
    fn get_value(&self, key: &str) -> Result<Option<Vec<u8>>, HostError>;
    /// `ttl` in milliseconds.
    fn set_value(&self, key: &str, value: &[u8], ttl: Option<u32>) -> Result<(), HostError>;
    /// Forgets it.
    fn delete_value(&self, key: &str) -> Result<(), HostError>;
}

impl KeyValue for WasmHost {
    fn get_value(&self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        key_value::get(key)
    }

    fn set_value(&self, key: &str, value: &[u8], ttl: Option<u32>) -> Result<(), HostError> {
        key_value::set(key, value, ttl)
    }

    fn delete_value(&self, key: &str) -> Result<(), HostError> {
        key_value::delete(key)
    }
}
