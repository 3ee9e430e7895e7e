//! What is known of one request and its answer: filled by the proxy, seen and changed by plugins through the host
//! interfaces. It moves into an instance for the time of a call and back out, so nothing is shared and nothing locks.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use hyper::body::Incoming;
use smallvec::SmallVec;

use super::{
    chain::Plugin,
    directory::{ConsumerEntry, Credential, Directory},
};
use crate::tls::ClientChain;

/// Facts of a connection that all its requests share.
#[derive(Debug)]
pub struct Connection {
    /// Number of the connection in this process, from 1.
    pub serial: u64,
    /// The directly connected peer.
    pub peer: SocketAddr,
    /// Where it connected to.
    pub local: SocketAddr,
    /// TLS, when the listener terminated it.
    pub tls: Option<TlsFacts>,
}

/// What the handshake settled.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// IANA name of the suite.
    pub cipher: String,
    /// Server name that the client asked for.
    pub sni: Option<Arc<str>>,
    /// Certificates that the client showed.
    pub client: Option<Arc<ClientChain>>,
}

/// 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// From 128 random bits.
    pub fn new(bits: u128) -> Self {
        let mut text = [0; 32];
        for (pair, byte) in text.as_chunks_mut().0.iter_mut().zip(bits.to_le_bytes()) {
            *pair = [byte & 15, byte >> 4];
        }
        // Without a table, so that the compiler can do many at once.
        text.iter_mut().for_each(|digit| *digit += if *digit > 9 { b'a' - 10 } else { b'0' });
        Self(text)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

/// The request line and headers, with the changes that plugins made.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// Sent upstream; starts as the client's.
    pub method: Method,
    /// As the client sent it.
    pub target: Uri,
    /// As the client sent it.
    pub version: Version,
    /// Sent upstream after the forwarding rules; start as the client's.
    pub headers: HeaderMap,
}

/// The head of the answer, with the changes that plugins made.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// Status for the client.
    pub status: StatusCode,
    /// Headers for the client.
    pub headers: HeaderMap,
    /// Who made the answer.
    pub origin: Origin,
}

/// Who made an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A target.
    Upstream,
    /// A plugin that ended the request.
    Plugin,
    /// The gateway: a refusal or failure of its own.
    Gateway,
}

/// The body of a request on its way through the gateway.
#[derive(Debug, Default)]
pub enum RequestBody {
    /// There is none.
    #[default]
    Empty,
    /// Not read yet.
    Incoming(Incoming),
    /// Read or replaced by a plugin.
    Buffered(Bytes),
    /// Read in part by a plugin that then found it too large: what was read, and the rest.
    Partial(Bytes, Incoming),
}

/// What goes upstream beside headers and body.
#[derive(Debug, Clone, Default)]
pub struct UpstreamTarget {
    /// Escaped for the request line.
    pub path: String,
    /// Without `?`.
    pub query: Option<String>,
    /// What the target speaks.
    pub version: Version,
}

/// What the route and its service are called, and what logs say of them.
#[derive(Debug, Default)]
pub struct RouteFacts {
    /// Id of the route.
    pub route_id: Option<Arc<str>>,
    /// Name of the route.
    pub route_name: Option<Arc<str>>,
    /// Id of the service.
    pub service_id: Option<Arc<str>>,
    /// Name of the service.
    pub service_name: Option<Arc<str>>,
    /// The route as JSON, for access records.
    pub route_json: Option<Arc<str>>,
    /// The service as JSON, for access records.
    pub service_json: Option<Arc<str>>,
}

/// One attempt to reach a target.
#[derive(Debug, Clone)]
pub struct Try {
    /// Address that was tried.
    pub address: SocketAddr,
    /// When it began.
    pub started_at: SystemTime,
    /// What picking the address took.
    pub balancer: Duration,
    /// Status it was answered with, or that the failure stands for.
    pub status: Option<StatusCode>,
    /// Whether it failed before an answer.
    pub failed: bool,
}

/// When things happened.
#[derive(Debug, Clone)]
pub struct Timing {
    /// The request's head had been read.
    pub started: Instant,
    /// The same on the calendar.
    pub started_at: SystemTime,
    /// The request phases were over and the balancer began.
    pub upstream_started: Option<Instant>,
    /// The upstream's head had been read.
    pub upstream_answered: Option<Instant>,
    /// The whole answer had been handed to the connection.
    pub finished: Option<Instant>,
}

/// What the client asks the request to say about itself.
#[derive(Debug)]
pub struct Asked {
    /// What its route and service are called.
    pub names: bool,
    /// Where the time goes: the calls so far.
    pub calls: Option<Vec<PluginCall>>,
}

/// A call of a plugin, when somebody wants to know how long it takes.
#[derive(Debug)]
pub struct PluginCall {
    /// When it was.
    pub phase: Phase,
    /// Name of the plugin.
    pub plugin: Arc<str>,
    /// From the call to its answer.
    pub took: Duration,
}

/// What of a request plugins are called for, in Kong's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The request.
    Access,
    /// The head of the answer.
    HeaderFilter,
}

/// One request and its answer.
#[derive(Debug)]
pub struct Exchange {
    /// Connection that carries it.
    pub connection: Arc<Connection>,
    /// Number of the request on its connection, from 1.
    pub number: u64,
    /// Given to the upstream, the client and the logs.
    pub id: RequestId,
    /// The same, for headers.
    pub id_value: HeaderValue,
    /// When things happened.
    pub timing: Timing,
    /// Address of the client after `trusted_ips`.
    pub client: IpAddr,
    /// The client's method, whatever plugins made of it.
    pub client_method: Method,
    /// The client's Host or `:authority`, as sent.
    pub host: Arc<str>,
    /// Request line and headers.
    pub request: RequestHead,
    /// Canonical path.
    pub path: Arc<str>,
    /// Path and query that go upstream.
    pub upstream: UpstreamTarget,
    /// Host header for the upstream, when a plugin set one.
    pub upstream_host: Option<http::HeaderValue>,
    /// Request body, until it is sent.
    pub body: RequestBody,
    /// Whether a plugin replaced or may change the body, so that Content-Length must follow.
    pub body_changed: bool,
    /// The client asks for WebSocket in place of HTTP.
    pub switches: bool,
    /// What matched.
    pub route: Arc<RouteFacts>,
    /// What the client wants to hear of it.
    pub asked: Option<Box<Asked>>,
    /// Groups of the regex path that matched: name or number, text.
    pub captures: Vec<(String, String)>,
    /// Consumers and credentials of the snapshot that serves the request.
    pub directory: Arc<Directory>,
    /// The consumer that a plugin settled on.
    pub consumer: Option<Arc<ConsumerEntry>>,
    /// The credential that a plugin settled on.
    pub credential: Option<Arc<Credential>>,
    /// Plugins that take part, as the chain selected them.
    pub selected: SmallVec<[Arc<Plugin>; 6]>,
    /// Text that plugins leave for each other.
    pub notes: Vec<(String, String)>,
    /// Members that plugins added to the access record: name and JSON.
    pub log_fields: Vec<(String, String)>,
    /// Header changes for whatever answer there will be.
    pub response_changes: Vec<HeaderChange>,
    /// The answer's head, once there is one.
    pub response: Option<ResponseHead>,
    /// Attempts to reach targets.
    pub tries: SmallVec<[Try; 1]>,
    /// Bytes of the request, head and body, as far as read.
    pub bytes_in: u64,
    /// Bytes of the answer, head and body, as far as sent.
    pub bytes_out: u64,
    /// The access record, once a plugin asked for it: JSON.
    pub record: Option<Arc<[u8]>>,
}

/// A checked change to a header map.
#[derive(Debug, Clone)]
pub enum HeaderChange {
    /// Replaces every value.
    Set(http::HeaderName, http::HeaderValue),
    /// Adds a value.
    Append(http::HeaderName, http::HeaderValue),
    /// Removes every value.
    Remove(http::HeaderName),
}

impl HeaderChange {
    /// Applies it.
    pub fn apply(self, headers: &mut HeaderMap) {
        match self {
            Self::Set(name, value) => drop(headers.insert(name, value)),
            Self::Append(name, value) => drop(headers.append(name, value)),
            Self::Remove(name) => drop(headers.remove(name)),
        }
    }
}

/// An exchange that can be lent to a plugin call. It is away only inside `Chain`'s own functions; a call that is dropped
/// takes the exchange with it, and so the request it belonged to.
#[derive(Debug)]
pub struct Held(Option<Box<Exchange>>);

impl Held {
    /// Holds an exchange.
    pub fn new(exchange: Exchange) -> Self {
        Self(Some(Box::new(exchange)))
    }

    /// Whether a plugin call took it along when it was dropped: the request is gone.
    pub fn is_away(&self) -> bool {
        self.0.is_none()
    }

    /// Now, if the client wants to hear how long calls take.
    pub(super) fn asks_for_times(&self) -> Option<Instant> {
        self.asked.as_ref().filter(|asked| asked.calls.is_some()).map(|_| Instant::now())
    }

    /// Notes a call that began then.
    pub(super) fn took(&mut self, began: Option<Instant>, phase: Phase, plugin: &Arc<str>) {
        let Some(began) = began.filter(|_| !self.is_away()) else { return };
        if let Some(calls) = self.asked.as_mut().and_then(|asked| asked.calls.as_mut()) {
            calls.push(PluginCall { phase, plugin: plugin.clone(), took: began.elapsed() });
        }
    }

    pub(super) fn lend(&mut self) -> Box<Exchange> {
        self.0.take().expect("an exchange is lent to one call at a time")
    }

    pub(super) fn give_back(&mut self, exchange: Box<Exchange>) {
        self.0 = Some(exchange);
    }
}

impl std::ops::Deref for Held {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        self.0.as_ref().expect("an exchange is away only inside a plugin call")
    }
}

impl std::ops::DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Exchange {
        self.0.as_mut().expect("an exchange is away only inside a plugin call")
    }
}
