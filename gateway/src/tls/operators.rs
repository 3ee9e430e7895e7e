//! TLS with operators: the Admin and Status APIs. Client certificates are asked for when a CA is given, and are another
//! way to show who one is, so that a client without one may still send a token.

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{DefaultCertificate, TlsError};

/// TLS settings without resumption: each connection proves anew who is at its other end.
///
/// # Errors
/// When the CA cannot be read, or the library refuses.
pub fn operator_tls(
    certificate: &DefaultCertificate,
    client_ca: Option<&Path>,
    http2: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let clients = match client_ca {
        None => versions.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider);
            versions.with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
        }
    };
    let mut config = clients.with_cert_resolver(Arc::new(Only(certificate.key())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(Arc::new(config))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let unreadable = |error| TlsError::Pem(path.to_owned(), error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots.add(certificate.map_err(unreadable)?)?;
    }
    Ok(roots)
}

/// One certificate for every name.
#[derive(Debug)]
struct Only(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Only {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}
