//! The whole configuration, compiled: built off the request path, immutable, swapped whole. A request holds one from its
//! start to its end.

mod builder;
mod certificates;
mod chains;
mod choice;
mod compiled;
mod credentials;
mod entries;
mod hashing;
mod modules;
mod people;
mod plugins;
mod publisher;
mod ring;
mod secrets;
mod secured;
mod state;
mod streams;
mod upstreams;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rpds::HashTrieMapSync;

use crate::{
    model,
    plugin::{Chain, Directory, RouteFacts},
    router::{PathHandling, Router, StreamRouter},
    store::Version,
    tls::TargetTls,
};

pub use builder::{BuildError, Builder, Told};
pub use choice::{Balanced, Chosen, NoChoice, Tried};
pub use hashing::{Cookie, HashInput, Hashing};
pub use modules::Deployments;
pub use publisher::{Pace, Published, publish};
pub use ring::{Peer, Peers, Ring};
pub use upstreams::{Checks, Manner};

/// What every request is served from.
pub struct Snapshot {
    /// Configuration version it was built from.
    pub version: Version,
    /// Routes.
    pub router: Router<Arc<RouteEntry>>,
    /// Routes of streams.
    pub streams: StreamRouter<Arc<StreamEntry>>,
    /// Plugins of requests that match no route.
    pub global: Arc<Chain>,
    /// Upstreams by name.
    pub upstreams: Arc<Upstreams>,
    /// Consumers and credentials.
    pub directory: Arc<Directory>,
    /// Who may use the Admin API.
    pub access: Arc<model::AccessRows>,
    /// Entities that could not be built.
    pub quarantined: Vec<Quarantined>,
}

impl Snapshot {
    /// Of an empty configuration.
    pub fn empty() -> Self {
        Self {
            version: 0,
            router: Router::build(Vec::new()).0,
            streams: StreamRouter::default(),
            global: Arc::default(),
            upstreams: Arc::default(),
            directory: Arc::default(),
            access: Arc::default(),
            quarantined: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("version", &self.version).finish_non_exhaustive()
    }
}

/// An entity that is not served, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Internal name of its collection.
    pub collection: &'static str,
    /// Primary key.
    pub id: Arc<str>,
    /// For operators.
    pub reason: String,
}

/// A route, ready to serve.
#[derive(Debug)]
pub struct RouteEntry {
    /// As configured.
    pub route: Arc<model::Route>,
    /// For plugins and logs.
    pub facts: Arc<RouteFacts>,
    /// Where it leads; `None` for a route without a service.
    pub service: Option<Arc<ServiceEntry>>,
    /// Its plugins.
    pub chain: Arc<Chain>,
    /// How its path and that of the service are joined.
    pub path_handling: PathHandling,
}

/// A route of streams, ready to serve.
#[derive(Debug)]
pub struct StreamEntry {
    /// As configured.
    pub route: Arc<model::Route>,
    /// Where it leads; `None` for a route without a service.
    pub service: Option<Arc<ServiceEntry>>,
}

/// A service, ready to serve.
#[derive(Debug)]
pub struct ServiceEntry {
    /// As configured.
    pub service: model::Service,
    /// What is spoken with its targets.
    pub tls: Security,
    /// HTTP/2 to the upstream (`grpc`, `grpcs`).
    pub http2: bool,
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
    /// The addresses of `service.host` when that is a name and no upstream's.
    pub ring: Option<Arc<Ring>>,
    /// The service as JSON, for access records.
    pub json: Arc<str>,
}

impl ServiceEntry {
    /// Whether it takes streams, and no requests.
    pub fn is_of_streams(&self) -> bool {
        streams::is_of_streams(&self.service.protocol)
    }

    /// The port that goes without saying in `Host`.
    pub fn default_port(&self) -> u16 {
        if matches!(self.tls, Security::Clear) { 80 } else { 443 }
    }
}

/// Whether TLS is spoken with targets (`https`, `grpcs`, `tls`).
#[derive(Debug)]
pub enum Security {
    /// Clear text.
    Clear,
    /// TLS.
    Tls(TargetTls),
    /// It should be TLS, and cannot be for this reason: nobody is asked.
    Unfit(String),
}

/// Upstreams by name. A clone shares everything.
pub type Upstreams = HashTrieMapSync<Arc<str>, Arc<UpstreamEntry>>;

/// An upstream, ready to serve.
#[derive(Debug)]
pub struct UpstreamEntry {
    /// As configured.
    pub upstream: model::Upstream,
    /// Targets with their weights.
    pub targets: Vec<TargetEntry>,
    /// Their addresses, and which is next.
    pub ring: Arc<Ring>,
    /// What the balancer's choice depends on, if it goes by a hash.
    pub hashing: Option<Hashing>,
    /// When its targets count as healthy.
    pub checks: Checks,
    /// What active checks speak, whatever services speak.
    pub checked_over: Security,
}

/// A target, ready to serve.
#[derive(Debug)]
pub struct TargetEntry {
    /// Host part of the target.
    pub host: Arc<str>,
    /// Port part of the target.
    pub port: u16,
    /// 0: no traffic.
    pub weight: u32,
    /// Host header for requests to it.
    pub host_header: http::HeaderValue,
}

#[cfg(test)]
mod tests;
