//! `crypto`, by aws-lc-rs.

use aws_lc_rs::{
    constant_time, digest, hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
        RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
    },
};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};

use crate::plugin::{
    bindings::sandgate::plugin::{
        crypto::{Digest, Host, Signature},
        types::HostError,
    },
    instance::HostState,
};

impl Host for HostState {
    fn hash(&mut self, algorithm: Digest, data: Vec<u8>) -> Result<Vec<u8>, HostError> {
        self.permit("crypto")?;
        let algorithm = match algorithm {
            Digest::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Digest::Sha256 => &digest::SHA256,
            Digest::Sha384 => &digest::SHA384,
            Digest::Sha512 => &digest::SHA512,
        };
        Ok(digest::digest(algorithm, &data).as_ref().to_vec())
    }

    fn hmac(&mut self, algorithm: Digest, key: Vec<u8>, data: Vec<u8>) -> Result<Vec<u8>, HostError> {
        self.permit("crypto")?;
        let algorithm = match algorithm {
            Digest::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Digest::Sha256 => hmac::HMAC_SHA256,
            Digest::Sha384 => hmac::HMAC_SHA384,
            Digest::Sha512 => hmac::HMAC_SHA512,
        };
        Ok(hmac::sign(&hmac::Key::new(algorithm, &key), &data).as_ref().to_vec())
    }

    fn equal(&mut self, a: Vec<u8>, b: Vec<u8>) -> Result<bool, HostError> {
        self.permit("crypto")?;
        Ok(constant_time::verify_slices_are_equal(&a, &b).is_ok())
    }

    fn verify(
        &mut self,
        algorithm: Signature,
        public_key: String,
        data: Vec<u8>,
        proof: Vec<u8>,
    ) -> Result<bool, HostError> {
        self.permit("crypto")?;
        let key = SubjectPublicKeyInfoDer::from_pem_slice(public_key.as_bytes());
        let key = key.map_err(|error| HostError::Invalid(format!("the key is not a public key in PEM: {error:?}")))?;
        let key = UnparsedPublicKey::new(verification(algorithm), key.as_ref());
        let key = key.parse().map_err(|_| HostError::Invalid("the key is not one of this algorithm".into()))?;
        Ok(key.verify_sig(&data, &proof).is_ok())
    }
}

fn verification(algorithm: Signature) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Signature::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        Signature::RsaPkcs1Sha384 => &RSA_PKCS1_2048_8192_SHA384,
        Signature::RsaPkcs1Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        Signature::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
        Signature::RsaPssSha384 => &RSA_PSS_2048_8192_SHA384,
        Signature::RsaPssSha512 => &RSA_PSS_2048_8192_SHA512,
        Signature::EcdsaP256Sha256 => &ECDSA_P256_SHA256_FIXED,
        Signature::EcdsaP384Sha384 => &ECDSA_P384_SHA384_FIXED,
        Signature::Ed25519 => &ED25519,
    }
}
