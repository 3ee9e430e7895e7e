//! Certificates and keys from PEM texts, ready for handshakes.

use std::sync::Arc;

use rustls::{SignatureScheme, crypto::aws_lc_rs::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No certificate in the text, or one that is broken.
    #[error("its certificate cannot be read")]
    Certificate(#[source] rustls_pki_types::pem::Error),
    /// No key in the text, or one that is broken.
    #[error("its key cannot be read")]
    Key(#[source] rustls_pki_types::pem::Error),
    /// A key of a kind that TLS cannot use, or one that belongs to another certificate.
    #[error("its key cannot be used")]
    Unusable(#[from] rustls::Error),
    /// A certificate that nobody can be trusted by.
    #[error("it cannot be an authority")]
    Authority(#[source] rustls::Error),
    /// Authorities that no verifier can be made of.
    #[error("its authorities cannot be used")]
    Roots(#[source] rustls::server::VerifierBuilderError),
    /// The library refused.
    #[error("setting up TLS failed")]
    Library(#[source] rustls::Error),
}

/// Reads a chain, the certificate itself first, and its key.
///
/// # Errors
/// When either cannot be read or they do not belong together.
pub fn certified_key(chain: &str, key: &str) -> Result<CertifiedKey, LoadError> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(LoadError::Certificate)?;
    if chain.is_empty() {
        return Err(LoadError::Certificate(rustls_pki_types::pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(LoadError::Key)?;
    let certified = CertifiedKey::new(chain, any_supported_type(&key)?);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) | Ok(()) => Ok(certified),
        Err(error) => Err(error.into()),
    }
}

/// What a name is answered with: a certificate, and perhaps another one with another kind of key.
#[derive(Debug, Clone)]
pub struct Pair {
    first: Arc<CertifiedKey>,
    alternative: Option<Arc<CertifiedKey>>,
}

impl Pair {
    /// The first is preferred where the client takes both.
    pub fn new(first: CertifiedKey, alternative: Option<CertifiedKey>) -> Self {
        Self { first: Arc::new(first), alternative: alternative.map(Arc::new) }
    }

    /// The one that a client can check; the first if none.
    pub(crate) fn choose(&self, schemes: &[SignatureScheme]) -> &Arc<CertifiedKey> {
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let alternative = self.alternative.as_ref().filter(|_| !fits(&&self.first));
        alternative.filter(fits).unwrap_or(&self.first)
    }
}

impl From<Arc<CertifiedKey>> for Pair {
    fn from(first: Arc<CertifiedKey>) -> Self {
        Self { first, alternative: None }
    }
}
