//! Certificates by server name, and what TLS the gateway speaks with clients and targets. Decides which certificate a
//! handshake gets; never touches a socket.

mod client;
mod default;
mod identity;
mod load;
mod operators;
mod resolver;
mod server;

pub use client::{Depth, TargetTls, Trust, client_config};
pub use default::DefaultCertificate;
pub use identity::ClientIdentity;
pub use load::{LoadError, Pair, certified_key};
pub use operators::operator_tls;
pub use resolver::{Certificates, Resolver};
pub use server::{ServerTls, server_tls};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The self-signed certificate could not be made.
    #[error("generating the default certificate failed")]
    Generate(#[from] rcgen::Error),
    /// The self-signed certificate could not be kept.
    #[error("reading or writing the default certificate {0} failed")]
    File(std::path::PathBuf, #[source] std::io::Error),
    /// A certificate or key is not what it should be.
    #[error("the certificate or key {0} cannot be read")]
    Pem(std::path::PathBuf, #[source] rustls_pki_types::pem::Error),
    /// The CA of client certificates cannot be used.
    #[error("the CA of client certificates cannot be used")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
    /// The library refused.
    #[error("setting up TLS failed")]
    Library(#[from] rustls::Error),
}
