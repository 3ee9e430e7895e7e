//! Cryptography outside the sandbox. Capability: `crypto`.

use crate::{
    bindings::sandgate::plugin::crypto,
    host::{Digest, HostError, Signature, WasmHost},
};

/// Cryptography outside the sandbox. Capability: `crypto`.
pub trait Crypto {
    /// Digest of some bytes.
    fn hash(&self, algorithm: Digest, data: &[u8]) -> Result<Vec<u8>, HostError>;
    /// Keyed digest.
    fn hmac(&self, algorithm: Digest, key: &[u8], data: &[u8]) -> Result<Vec<u8>, HostError>;
    /// Compares in time that does not depend on the contents.
    fn equal(&self, a: &[u8], b: &[u8]) -> Result<bool, HostError>;
    /// Verifies a signature; the key is PEM.
    fn verify(&self, algorithm: Signature, public_key: &str, data: &[u8], signature: &[u8]) -> Result<bool, HostError>;
}

impl Crypto for WasmHost {
    fn hash(&self, algorithm: Digest, data: &[u8]) -> Result<Vec<u8>, HostError> {
        crypto::hash(algorithm, data)
    }

    fn hmac(&self, algorithm: Digest, key: &[u8], data: &[u8]) -> Result<Vec<u8>, HostError> {
        crypto::hmac(algorithm, key, data)
    }

    fn equal(&self, a: &[u8], b: &[u8]) -> Result<bool, HostError> {
        crypto::equal(a, b)
    }

    fn verify(&self, algorithm: Signature, public_key: &str, data: &[u8], signature: &[u8]) -> Result<bool, HostError> {
        crypto::verify(algorithm, public_key, data, signature)
    }
}
