//! TLS that believes every certificate: what is tested is the gateway, on loopback.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, ensure};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

/// Shakes hands, agreeing on this protocol.
pub async fn connect(stream: TcpStream, protocol: &str) -> Result<TlsStream<TcpStream>> {
    connect_as(stream, protocol, None).await
}

/// A client's certificate with its key.
pub type ClientKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// As `connect`, showing a certificate when asked for one.
pub async fn connect_as(stream: TcpStream, protocol: &str, client: Option<ClientKey>) -> Result<TlsStream<TcpStream>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Credulous(provider.clone(), everything));
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match client {
        Some((chain, key)) => config.with_client_auth_cert(chain, key)?,
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let name = ServerName::try_from("localhost")?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("the TLS handshake")?;
    let agreed = stream.get_ref().1.alpn_protocol().unwrap_or_default();
    ensure!(agreed == protocol.as_bytes(), "the gateway agreed on {:?}", String::from_utf8_lossy(agreed));
    Ok(stream)
}

/// Asks for a name, and offers protocols of which none has to be agreed on.
pub async fn connect_to(stream: TcpStream, name: &str, protocols: &[&str]) -> Result<TlsStream<TcpStream>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Credulous(provider.clone(), everything));
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned())?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("the TLS handshake")
}

/// The certificate that a client is shown who asks for this name and takes only some kinds of signatures.
pub async fn shown_certificate(
    address: SocketAddr,
    name: &str,
    takes: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Result<CertificateDer<'static>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Credulous(provider.clone(), takes));
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned())?;
    let stream = TcpStream::connect(address).await?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("the TLS handshake")?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(chain.first().context("no certificate was shown")?.clone().into_owned())
}

fn everything(_: &str) -> bool {
    true
}

/// Shows a certificate made for this purpose.
pub fn acceptor() -> Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    acceptor_as((vec![made.cert.der().clone()], key), None)
}

/// Shows this certificate; clients must show one of this authority if there is one.
pub fn acceptor_as((chain, key): ClientKey, clients: Option<CertificateDer<'static>>) -> Result<TlsAcceptor> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            config.with_client_cert_verifier(verifier)
        }
    };
    let config = config.with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Believes every certificate, but checks that the other side has its key.
struct Credulous<F>(Arc<CryptoProvider>, F);

impl<F> std::fmt::Debug for Credulous<F> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Credulous")
    }
}

impl<F: Fn(&str) -> bool + Send + Sync> ServerCertVerifier for Credulous<F> {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let schemes = self.0.signature_verification_algorithms.supported_schemes();
        schemes.into_iter().filter(|scheme| (self.1)(&format!("{scheme:?}"))).collect()
    }
}
