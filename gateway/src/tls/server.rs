//! TLS with clients.

use std::sync::Arc;

use rustls::{ServerConfig, crypto::aws_lc_rs};

use super::{Resolver, TlsError};

/// TLS settings for listeners with and without HTTP/2, of one node: session tickets of one hold for the other.
#[derive(Debug, Clone)]
pub struct ServerTls {
    with_http2: Arc<ServerConfig>,
    http1_only: Arc<ServerConfig>,
}

impl ServerTls {
    /// What a listener offers.
    pub fn config(&self, http2: bool) -> Arc<ServerConfig> {
        if http2 { self.with_http2.clone() } else { self.http1_only.clone() }
    }
}

/// TLS 1.2 and 1.3 with session tickets and the certificates of `resolver`.
pub fn server_tls(resolver: Arc<Resolver>) -> Result<ServerTls, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = versions.with_no_client_auth().with_cert_resolver(resolver);
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    let mut with_http2 = config.clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    with_http2.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(ServerTls { with_http2: Arc::new(with_http2), http1_only: Arc::new(config) })
}
