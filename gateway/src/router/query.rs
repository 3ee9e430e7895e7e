//! What the router looks at in a request.

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
