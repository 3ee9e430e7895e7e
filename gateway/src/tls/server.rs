//! TLS with clients.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    server::{NoServerSessionStorage, ProducesTickets},
};

use super::{ClientCertificate, ClientRoots, Offer, Resolver, Tickets, TlsError, clients};

/// TLS settings for each kind of listener of one node. A clone is another hand at the same settings, which change while
/// connections are made.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<ArcSwap<Configs>>);

/// By whether HTTP/2 is offered, and what is asked of clients.
#[derive(Debug)]
struct Configs([[Arc<ServerConfig>; ClientCertificate::ALL.len()]; 2]);

/// What settings for listeners are made of.
#[derive(Debug, Clone)]
pub struct ServerParts {
    /// Certificates by name.
    pub resolver: Arc<Resolver>,
    /// Versions and suites.
    pub offer: Offer,
    /// Keeps sessions, if any are to go on.
    pub tickets: Option<Arc<Tickets>>,
    /// Who vouches for clients.
    pub clients: Option<ClientRoots>,
}

impl ServerTls {
    /// Of these parts.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn new(parts: &ServerParts) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(Configs::new(parts)?))))
    }

    /// Other parts for connections from now on.
    ///
    /// # Errors
    /// When the library refuses; then the last ones stay.
    pub fn replace(&self, parts: &ServerParts) -> Result<(), TlsError> {
        self.0.store(Arc::new(Configs::new(parts)?));
        Ok(())
    }

    /// What a listener offers.
    pub fn config(&self, http2: bool, asked: ClientCertificate) -> Arc<ServerConfig> {
        self.0.load().0[usize::from(http2)][asked as usize].clone()
    }
}

impl Configs {
    fn new(parts: &ServerParts) -> Result<Self, TlsError> {
        let with = |http2: bool| -> Result<[_; ClientCertificate::ALL.len()], TlsError> {
            let [off, optional, unverified, required] = ClientCertificate::ALL.map(|asked| config(parts, asked, http2));
            Ok([off?, optional?, unverified?, required?])
        };
        Ok(Self([with(false)?, with(true)?]))
    }
}

fn config(parts: &ServerParts, asked: ClientCertificate, http2: bool) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = parts.offer.provider();
    let verifier = clients::verifier(asked, parts.clients.as_ref(), &provider)?;
    // Who asks for certificates proves anew in each connection who is at its other end: a session that goes on would bring
    // the certificate of its first connection along, however old, and whoever vouched for it.
    let tickets = parts.tickets.as_ref().filter(|_| asked == ClientCertificate::Off);
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(parts.offer.versions.list())?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(parts.resolver.clone());
    // Sessions are with their clients: a store would be a lock that all workers share.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ignore_client_order = parts.offer.own_order;
    match tickets {
        Some(tickets) => config.ticketer = tickets.clone() as Arc<dyn ProducesTickets>,
        None => config.send_tls13_tickets = 0,
    }
    config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(Arc::new(config))
}

/// TLS 1.2 and 1.3 with the certificates of `resolver` and nothing else.
///
/// # Errors
/// When the library refuses.
pub fn server_tls(resolver: Arc<Resolver>) -> Result<ServerTls, TlsError> {
    ServerTls::new(&ServerParts { resolver, offer: Offer::default(), tickets: None, clients: None })
}
