//! Unpredictable bytes.

use crate::{bindings::sandgate::plugin::random, host::WasmHost};

/// Unpredictable bytes.
pub trait Random {
    /// At most 64 KiB.
    fn random_bytes(&self, length: u32) -> Vec<u8>;
    /// One number.
    fn random_number(&self) -> u64;
}

impl Random for WasmHost {
    fn random_bytes(&self, length: u32) -> Vec<u8> {
        random::bytes(length)
    }

    fn random_number(&self) -> u64 {
        random::number()
    }
}
