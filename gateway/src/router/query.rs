//! What the router looks at in a request.

use std::net::SocketAddr;

use http::{HeaderMap, Method};

/// A request as the router sees it. Everything is borrowed: asking costs nothing.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The method, compared as sent.
    pub method: &'a Method,
    /// `Host` or `:authority` as sent, port included.
    pub host: Option<&'a str>,
    /// The port the client meant to reach: the listener's, after `port_maps`. Used when the host names none.
    pub port: u16,
    /// The path, as [`NormalPath::as_str`](super::NormalPath::as_str) gives it.
    pub path: &'a str,
    /// All request headers.
    pub headers: &'a HeaderMap,
    /// How the request came in.
    pub transport: Transport<'a>,
    /// What follows the `?`; only expressions look at it.
    pub arguments: Option<&'a str>,
    /// The client, as far as trusted peers say who it is; only expressions look at it.
    pub source: Option<SocketAddr>,
    /// The address that the client connected to; only expressions look at it.
    pub destination: Option<SocketAddr>,
}

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport<'a> {
    /// Unencrypted: SNI conditions count as true.
    Plain,
    /// Over TLS, with the server name of the handshake.
    Tls {
        /// The name, if the client sent one.
        sni: Option<&'a str>,
    },
}
