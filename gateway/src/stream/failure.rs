//! Why a stream was not passed on. The client is told by the end of its connection alone.

use std::io;

use super::{End, hello};
use crate::{
    listener::{Refusal, proxy_protocol},
    snapshot::NoChoice,
    upstream::SendError,
};

/// Why a stream was not passed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it has no valid PROXY header")]
    ProxyHeader(#[source] proxy_protocol::ReadError),
    #[error("its PROXY header took too long")]
    ProxyHeaderTimeout,
    #[error("it does not begin with a TLS handshake")]
    Hello(#[source] hello::ReadError),
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the TLS handshake took too long")]
    HandshakeTimeout,
    #[error("the gateway ended before it had said where it leads")]
    Ending,
    #[error("no route takes it")]
    NoRoute,
    #[error("its route has no service")]
    NoService,
    #[error("its upstream has no target that could be asked")]
    NoTarget,
    #[error("its target has no address")]
    NoAddress(#[source] NoChoice),
    #[error("TLS with the target cannot be set up: {0}")]
    NoTls(String),
    #[error("no target took it")]
    Target(#[from] SendError),
    #[error("the socket of a client of UDP failed")]
    Datagrams(#[source] io::Error),
    #[error("too many clients of UDP are served")]
    Sessions,
}

impl From<NoChoice> for Failure {
    fn from(none: NoChoice) -> Self {
        match none {
            NoChoice::NoTarget | NoChoice::Pending => Self::NoTarget,
            unresolved @ NoChoice::Unresolved(..) => Self::NoAddress(unresolved),
        }
    }
}

impl Failure {
    /// The limit that the client crossed, if it did.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::ProxyHeader(proxy_protocol::ReadError::Malformed(_)) => Some(Refusal::ProxyHeader),
            Self::ProxyHeaderTimeout => Some(Refusal::ProxyHeaderTimeout),
            Self::Hello(hello::ReadError::NotTls(_)) => Some(Refusal::ClientHello),
            Self::HandshakeTimeout => Some(Refusal::HandshakeTimeout),
            Self::NoRoute => Some(Refusal::NoStreamRoute),
            Self::Sessions => Some(Refusal::UdpSessions),
            // Load balancers look whether anybody listens, and go.
            Self::ProxyHeader(proxy_protocol::ReadError::Io(_)) | Self::Hello(hello::ReadError::Io(_)) => None,
            Self::Handshake(_) | Self::Ending | Self::NoService | Self::NoTarget | Self::NoTls(_) => None,
            Self::NoAddress(_) | Self::Target(_) | Self::Datagrams(_) => None,
        }
    }

    /// By which it is counted.
    pub(super) fn end(&self) -> End {
        match self {
            Self::ProxyHeader(_) | Self::ProxyHeaderTimeout | Self::Hello(_) => End::Client,
            Self::Handshake(_) | Self::HandshakeTimeout | Self::Ending => End::Client,
            Self::NoRoute | Self::NoService | Self::NoTls(_) => End::Gateway,
            Self::NoTarget | Self::Sessions => End::Unavailable,
            Self::NoAddress(_) | Self::Target(_) | Self::Datagrams(_) => End::Target,
        }
    }
}
