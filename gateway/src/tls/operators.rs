//! TLS with operators: the Admin and Status APIs. Client certificates are asked for when a CA is given, and are another
//! way to show who one is, so that a client without one may still send a token.

use std::{path::Path, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{DefaultCertificate, Pair, TlsError, offer::provider};

/// TLS settings without resumption: each connection proves anew who is at its other end. A clone is another hand at the same
/// settings, which change while connections are made.
#[derive(Debug, Clone)]
pub struct OperatorTls(Arc<ArcSwap<[Arc<ServerConfig>; 2]>>);

impl OperatorTls {
    /// With this certificate and CA of clients.
    ///
    /// # Errors
    /// When the CA cannot be read, or the library refuses.
    pub fn new(certificate: &DefaultCertificate, client_ca: Option<&Path>) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(configs(certificate, client_ca)?))))
    }

    /// Others for connections from now on.
    ///
    /// # Errors
    /// As [`OperatorTls::new`]; then the last ones stay.
    pub fn replace(&self, certificate: &DefaultCertificate, client_ca: Option<&Path>) -> Result<(), TlsError> {
        self.0.store(Arc::new(configs(certificate, client_ca)?));
        Ok(())
    }

    /// What a listener offers.
    pub fn config(&self, http2: bool) -> Arc<ServerConfig> {
        self.0.load()[usize::from(http2)].clone()
    }
}

fn configs(certificate: &DefaultCertificate, client_ca: Option<&Path>) -> Result<[Arc<ServerConfig>; 2], TlsError> {
    let provider = provider();
    let versions = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let clients = match client_ca {
        None => versions.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots_in(path)?), provider);
            versions.with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
        }
    };
    let mut config = clients.with_cert_resolver(Arc::new(Only(certificate.pair())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut with_http2 = config.clone();
    with_http2.alpn_protocols.insert(0, b"h2".to_vec());
    Ok([Arc::new(config), Arc::new(with_http2)])
}

/// The authorities in a PEM file.
///
/// # Errors
/// When it cannot be read or has none, or when one of them is none.
pub fn roots_in(path: &Path) -> Result<RootCertStore, TlsError> {
    let unreadable = |error| TlsError::Pem(path.to_owned(), error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots.add(certificate.map_err(unreadable)?)?;
    }
    if roots.is_empty() { Err(unreadable(rustls_pki_types::pem::Error::NoItemsFound)) } else { Ok(roots) }
}

/// The same for every name.
#[derive(Debug)]
struct Only(Pair);

impl ResolvesServerCert for Only {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.choose(hello.signature_schemes()))
    }
}
