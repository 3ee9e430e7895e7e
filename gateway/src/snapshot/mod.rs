//! The whole configuration, compiled: built off the request path, immutable, swapped whole. A request holds one from its
//! start to its end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    model,
    plugin::{Chain, Directory, RouteFacts},
    router::Router,
};

/// What every request is served from.
pub struct Snapshot {
    /// Configuration version it was built from.
    pub version: u64,
    /// Routes.
    pub router: Router<Arc<RouteEntry>>,
    /// Plugins of requests that match no route.
    pub global: Chain,
    /// Consumers and credentials.
    pub directory: Arc<Directory>,
}

/// A route, ready to serve.
pub struct RouteEntry {
    /// As configured.
    pub route: model::Route,
    /// For plugins and logs.
    pub facts: Arc<RouteFacts>,
    /// Where it leads; `None` for a route without a service.
    pub service: Option<Arc<ServiceEntry>>,
    /// Its plugins.
    pub chain: Chain,
}

/// A service, ready to serve.
pub struct ServiceEntry {
    /// As configured.
    pub service: model::Service,
    /// TLS to the upstream (`https`, `grpcs`).
    pub tls: bool,
    /// Attempts after the first.
    pub retries: u32,
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// Between two writes.
    pub write_timeout: Duration,
    /// Between two reads.
    pub read_timeout: Duration,
    /// The upstream that the host names; `None`: the host is a name or address of its own.
    pub upstream: Option<Arc<UpstreamEntry>>,
    /// Host header for requests to `host` (port left out when it is the protocol's own).
    pub host_header: http::HeaderValue,
    /// `service.host` and port when the host is an address literal: no resolution needed.
    pub address: Option<SocketAddr>,
}

/// An upstream, ready to serve.
pub struct UpstreamEntry {
    /// As configured.
    pub upstream: model::Upstream,
    /// Targets with their weights; index is that of the balancer.
    pub targets: Vec<TargetEntry>,
    /// Decides among `targets`.
    pub balancer: crate::balancer::Balancer,
}

/// A target, ready to serve.
pub struct TargetEntry {
    /// Host part of the target.
    pub host: Arc<str>,
    /// Port part of the target.
    pub port: u16,
    /// 0: no traffic.
    pub weight: u32,
    /// When the host is an address literal.
    pub address: Option<SocketAddr>,
    /// Host header for requests to it.
    pub host_header: http::HeaderValue,
}
