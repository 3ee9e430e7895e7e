//! Certificates by server name, and what TLS the gateway speaks with clients and targets. Decides which certificate a
//! handshake gets; never touches a socket.

mod client;
mod clients;
mod default;
mod der;
mod identity;
mod load;
mod ocsp;
mod offer;
mod operators;
mod resolver;
mod server;
mod tickets;

pub use client::{Depth, NodeClient, TargetTls, Trust, client_config};
pub use clients::{ClientCertificate, ClientChain, ClientRoots, UnknownWord};
pub use default::DefaultCertificate;
pub use identity::ClientIdentity;
pub use load::{LoadError, Pair, Shown, certified_key};
pub use ocsp::{OcspError, Question, Standing};
pub use offer::{NotOffered, Offer, Suites, TicketLife, Versions};
pub use operators::{OperatorTls, roots_in};
pub use resolver::{Certificates, Resolver};
pub use server::{ServerParts, ServerTls, server_tls};
pub use tickets::Tickets;

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The self-signed certificate could not be made.
    #[error("generating the default certificate failed")]
    Generate(#[from] rcgen::Error),
    /// The self-signed certificate could not be kept.
    #[error("reading or writing {0} failed")]
    File(std::path::PathBuf, #[source] std::io::Error),
    /// A certificate and its key are not what they should be.
    #[error("{0} and {1} cannot be served")]
    Files(std::path::PathBuf, std::path::PathBuf, #[source] LoadError),
    /// A certificate is not what it should be.
    #[error("the certificate {0} cannot be read")]
    Pem(std::path::PathBuf, #[source] rustls_pki_types::pem::Error),
    /// The CA of client certificates cannot be used.
    #[error("the CA of client certificates cannot be used")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
    /// There are no random numbers for the keys of tickets.
    #[error("making keys for session tickets failed")]
    Tickets,
    /// The library refused.
    #[error("setting up TLS failed")]
    Library(#[from] rustls::Error),
}
