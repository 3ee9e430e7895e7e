//! TLS with targets.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, WantsVerifier,
    client::{
        ResolvesClientCert, WantsClientCert, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};

use super::{DefaultCertificate, LoadError, Pair, offer::provider};

/// Who may vouch for a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Any certificate will do: Kong's default.
    Anyone,
    /// The certificate must lead to a root of the system and carry the name.
    System(Depth),
    /// It must lead to one of these instead. PEM texts.
    Only(Vec<Arc<str>>, Depth),
}

/// How many certificates may stand between that of a target and the root: OpenSSL's verification depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Depth(pub u8);

impl Default for Depth {
    /// nginx's, and so Kong's where a service says nothing.
    fn default() -> Self {
        Self(1)
    }
}

/// Settings for TLS with targets. Equal to its clones only: what was made apart shares no connection.
#[derive(Debug, Clone)]
pub struct TargetTls(Arc<ClientConfig>);

impl TargetTls {
    /// Settings with this trust; `client`, or else `node`, is shown to targets that ask for a certificate.
    ///
    /// # Errors
    /// When an authority cannot be read.
    pub fn new(trust: &Trust, client: Option<Pair>, node: &NodeClient) -> Result<Self, LoadError> {
        let builder = builder(&provider(), trust)?;
        let mut config = match client {
            Some(pair) => builder.with_client_cert_resolver(Arc::new(pair)),
            None => builder.with_client_cert_resolver(Arc::new(node.clone())),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// Whether anyone else holds them.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }
}

impl PartialEq for TargetTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TargetTls {}

impl Hash for TargetTls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl ResolvesClientCert for Pair {
    fn resolve(&self, _authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.choose(schemes))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The certificate of this node for targets, if it has one. A clone is another hand at the same one, which changes while
/// connections are made.
#[derive(Debug, Clone, Default)]
pub struct NodeClient(Arc<ArcSwapOption<Pair>>);

impl NodeClient {
    /// Shows this one from now on.
    pub fn replace(&self, certificate: Option<&DefaultCertificate>) {
        self.0.store(certificate.map(|certificate| Arc::new(certificate.pair())));
    }
}

impl ResolvesClientCert for NodeClient {
    fn resolve(&self, _authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.load().as_ref().map(|pair| pair.choose(schemes))
    }

    fn has_certs(&self) -> bool {
        self.0.load().is_some()
    }
}

fn builder(
    provider: &Arc<CryptoProvider>,
    trust: &Trust,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, LoadError> {
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(LoadError::Library)?;
    Ok(match trust {
        Trust::Anyone => {
            let anyone = Arc::new(Anyone { provider: provider.clone() });
            builder.dangerous().with_custom_certificate_verifier(anyone)
        }
        Trust::System(depth) => bounded(builder, provider, system_roots(), *depth)?,
        Trust::Only(authorities, depth) => bounded(builder, provider, roots(authorities)?, *depth)?,
    })
}

fn bounded(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    provider: &Arc<CryptoProvider>,
    roots: RootCertStore,
    depth: Depth,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, LoadError> {
    if roots.is_empty() {
        // No verifier can be made of none; this configuration refuses everyone.
        return Ok(builder.with_root_certificates(roots));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let verifier = Bounded { verifier: verifier.map_err(LoadError::Roots)?, depth };
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

fn roots(authorities: &[Arc<str>]) -> Result<RootCertStore, LoadError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let certificate = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(LoadError::Certificate)?;
        roots.add(certificate).map_err(LoadError::Authority)?;
    }
    Ok(roots)
}

/// TLS settings for connections that speak HTTP/1.1. `verify`: the other side must prove who it is by the system's roots.
///
/// # Errors
/// When the library has no usable protocol version.
pub fn client_config(verify: bool) -> Result<ClientConfig, Error> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let mut config = if verify {
        builder.with_root_certificates(system_roots()).with_no_client_auth()
    } else {
        let anyone = Arc::new(Anyone { provider });
        builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The roots that can be read. None at all: every verified handshake fails, which is the safe side.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}

/// Takes every certificate. Deliberate: Kong verifies a target only where the service says `tls_verify`, and targets
/// inside a network have self-signed certificates more often than not. The signature over the handshake is still checked,
/// so the peer owns the key of the certificate it shows.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Lets no chain pass that has more certificates between its ends than the depth says.
#[derive(Debug)]
struct Bounded {
    verifier: Arc<WebPkiServerVerifier>,
    depth: Depth,
}

impl ServerCertVerifier for Bounded {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |some: &[CertificateDer<'_>]| self.verifier.verify_server_cert(end_entity, some, name, ocsp, now);
        self.depth.verify(intermediates, verify)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
