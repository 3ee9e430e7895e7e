//! TLS with targets.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::TlsError;

/// Whether a target must prove who it is (`tls_verify` of the service).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Verification {
    /// Any certificate will do: Kong's default.
    #[default]
    Off,
    /// The certificate must lead to a root of the system and carry the name.
    SystemRoots,
}

/// TLS settings for connections to targets, shared by all workers; made when they are first needed.
#[derive(Debug, Default)]
pub struct ClientTls {
    unverified: OnceLock<Arc<ClientConfig>>,
    verified: OnceLock<Arc<ClientConfig>>,
}

impl ClientTls {
    /// The settings for connections with or without verification.
    ///
    /// # Errors
    /// When the library has no usable protocol version.
    pub fn config(&self, verification: Verification) -> Result<Arc<ClientConfig>, TlsError> {
        let made = match verification {
            Verification::Off => &self.unverified,
            Verification::SystemRoots => &self.verified,
        };
        match made.get() {
            Some(config) => Ok(config.clone()),
            None => {
                let config = client_config(verification == Verification::SystemRoots)?;
                Ok(made.get_or_init(|| Arc::new(config)).clone())
            }
        }
    }
}

/// TLS settings for connections that speak HTTP/1.1. `verify`: the other side must prove who it is by the system's roots.
///
/// # Errors
/// When the library has no usable protocol version.
pub fn client_config(verify: bool) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
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
