//! Certificates and keys as operators hand them in: PEM texts. Read for the checks of entities; serving them is `tls`'s.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo, X509Certificate};

/// What the checks need to know of a certificate: of the first one where the text holds a chain.
pub(super) struct Certificate {
    /// SHA-256 of the whole, hexadecimal.
    pub(super) digest: String,
    /// Its public key, as DER.
    pub(super) public_key: Vec<u8>,
    /// Object identifier of the kind of its key.
    pub(super) key_type: String,
    /// End of its validity in Unix seconds.
    pub(super) not_after: i64,
    /// Whether it may sign others.
    pub(super) is_authority: bool,
}

/// Reads a certificate. Errors: why it cannot be read.
pub(super) fn certificate(text: &str) -> Result<Certificate, String> {
    let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| error.to_string())?;
    let (rest, certificate) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err("bytes after the certificate".to_owned());
    }
    let constraints = certificate.basic_constraints().ok().flatten();
    Ok(Certificate {
        digest: hexadecimal(digest::digest(&digest::SHA256, &der).as_ref()),
        public_key: certificate.public_key().raw.to_vec(),
        key_type: certificate.public_key().algorithm.algorithm.to_id_string(),
        not_after: certificate.validity().not_after.timestamp(),
        is_authority: constraints.is_some_and(|constraints| constraints.value.ca),
    })
}

/// Reads a private key that this gateway can use; answers with its public key as DER. Errors: why it cannot be used.
pub(super) fn private_key(text: &str) -> Result<Vec<u8>, String> {
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| error.to_string())?;
    let key = any_supported_type(&key).map_err(|error| error.to_string())?;
    key.public_key().map(|public| public.to_vec()).ok_or_else(|| "its public key cannot be told".to_owned())
}

/// Reads a public key; answers with it as DER. Errors: why it cannot be read.
pub(super) fn public_key(text: &str) -> Result<Vec<u8>, String> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|error| error.to_string())?;
    match SubjectPublicKeyInfo::from_der(&key) {
        Ok(([], _)) => Ok(key.to_vec()),
        Ok(_) => Err("bytes after the key".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
