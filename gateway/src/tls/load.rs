//! Certificates and keys from PEM texts, ready for handshakes.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
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
    first: Arc<Shown>,
    alternative: Option<Arc<Shown>>,
}

/// A certificate, with what is stapled to it at the moment.
#[derive(Debug)]
pub struct Shown {
    key: Arc<CertifiedKey>,
    stapled: ArcSwapOption<CertifiedKey>,
}

impl Shown {
    /// The certificate as it was given.
    pub fn key(&self) -> &CertifiedKey {
        &self.key
    }

    /// Staples this answer to handshakes from now on, or none.
    pub fn staple(&self, answer: Option<&[u8]>) {
        let made = answer.map(|answer| CertifiedKey { ocsp: Some(answer.to_vec()), ..(*self.key).clone() });
        self.stapled.store(made.map(Arc::new));
    }

    fn current(&self) -> Arc<CertifiedKey> {
        self.stapled.load_full().unwrap_or_else(|| self.key.clone())
    }
}

impl From<Arc<CertifiedKey>> for Shown {
    fn from(key: Arc<CertifiedKey>) -> Self {
        Self { key, stapled: ArcSwapOption::empty() }
    }
}

impl Pair {
    /// The first is preferred where the client takes both.
    pub fn new(first: CertifiedKey, alternative: Option<CertifiedKey>) -> Self {
        let shown = |key: CertifiedKey| Arc::new(Shown::from(Arc::new(key)));
        Self { first: shown(first), alternative: alternative.map(shown) }
    }

    /// The one that a client can check; the first if none.
    pub(crate) fn choose(&self, schemes: &[SignatureScheme]) -> Arc<CertifiedKey> {
        let fits = |shown: &&Arc<Shown>| shown.key.key.choose_scheme(schemes).is_some();
        let alternative = self.alternative.as_ref().filter(|_| !fits(&&self.first));
        alternative.filter(fits).unwrap_or(&self.first).current()
    }

    /// Both.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Arc<Shown>> {
        std::iter::once(&self.first).chain(&self.alternative)
    }
}

impl From<Arc<CertifiedKey>> for Pair {
    fn from(first: Arc<CertifiedKey>) -> Self {
        Self { first: Arc::new(first.into()), alternative: None }
    }
}
