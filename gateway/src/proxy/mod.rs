//! One request from its head to its log line: routes it, runs its plugins, forwards it, answers it. One [`Proxy`] a worker;
//! it serves from the snapshot and never reads the store. Called by the listener.

mod access_log;
mod answer;
mod begin;
mod body;
mod debug;
mod exchange;
mod explain;
mod failure;
mod filter;
mod forward;
mod hashing;
mod headers;
mod linger;
mod logging;
mod payload;
mod refusals;
mod routing;
mod templates;
#[cfg(test)]
mod tests;
mod upgrade;
mod words;

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    ops::Deref,
    rc::Rc,
    sync::Arc,
};

use arc_swap::{ArcSwap, Cache};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio::sync::watch;

use logging::Logs;

use crate::{
    config::{AnswerHeaders, Debugging, Naming, PortMaps, Trusted},
    listener::{Accepted, Afterwards, Malformed, Service},
    plugin::{Connection, RequestId, RouteFacts, TlsFacts},
    snapshot::{Manner, Snapshot},
    telemetry::AccessLog,
    upstream,
};

pub use body::Body;
pub use explain::{Supposed, explain};
pub use failure::{Failure, Party};
pub use refusals::{Reason, Refusals};
pub use templates::{ErrorWords, TemplateError};
pub use upgrade::is_websocket;
use words::Words;

/// What the proxy needs to know of the node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of a request's target; more is answered with 414. Default 8 KiB.
    pub uri_bytes: usize,
    /// Bytes of a request's body; more is answered with 413. Default: no limit.
    pub body_bytes: u64,
    /// Peers whose `X-Forwarded-*` and real-IP headers are believed. Default none.
    pub trusted: Trusted,
    /// How they name the client. Default `X-Real-IP`.
    pub naming: Naming,
    /// The client is the last address of the header that is not trusted; otherwise the last address.
    pub real_ip_recursive: bool,
    /// Headers of answers. Default all but `X-Kong-Upstream-Status`.
    pub headers: AnswerHeaders,
    /// Whether targets hear the id of a request. Default yes.
    pub tells_upstream: bool,
    /// What clients may ask for.
    pub debugging: Debugging,
    /// How errors are worded. Default the gateway's own words.
    pub errors: Arc<ErrorWords>,
    /// The ports that clients know. Default those that are listened on.
    pub ports: PortMaps,
    /// Where each request leaves a line.
    pub access_log: Option<AccessLog>,
    /// How targets are treated beyond what their upstreams say. Default: not at all.
    pub manner: Manner,
    /// How connections to targets are kept.
    pub upstream: upstream::Settings,
    /// Counts the requests that are refused.
    pub refusals: Arc<Refusals>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            uri_bytes: 8 << 10,
            body_bytes: u64::MAX,
            trusted: Trusted::default(),
            naming: Naming::Header(HeaderName::from_static("x-real-ip")),
            real_ip_recursive: false,
            headers: AnswerHeaders::default(),
            tells_upstream: true,
            debugging: Debugging::default(),
            errors: Arc::default(),
            ports: PortMaps::default(),
            access_log: None,
            manner: Manner::default(),
            upstream: upstream::Settings::default(),
            refusals: Arc::default(),
        }
    }
}

/// The proxy of one worker.
pub struct Proxy {
    settings: RefCell<Rc<Settings>>,
    changes: RefCell<watch::Receiver<Settings>>,
    words: Words,
    upstream: upstream::Client,
    source: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    /// The worker's own handle to the current snapshot: counting its users here keeps workers off each other's caches.
    current: RefCell<Rc<Served>>,
    ids: Cell<[u64; 2]>,
    /// What requests without a route have.
    no_route: Arc<RouteFacts>,
    logs: Rc<Logs>,
}

impl Proxy {
    /// A proxy that serves whatever `snapshot` holds when a request begins. Changes of the settings are met within a second.
    pub fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        upstream: upstream::Client,
        mut changes: watch::Receiver<Settings>,
    ) -> Self {
        let settings = RefCell::new(Rc::new(changes.borrow_and_update().clone()));
        let current = RefCell::new(Rc::new(Served(snapshot.load_full())));
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self {
            settings,
            changes: RefCell::new(changes),
            words: Words::new(),
            upstream,
            source: RefCell::new(Cache::new(snapshot)),
            current,
            ids: Cell::new([high, low]),
            no_route: Arc::default(),
            logs: Rc::default(),
        }
    }

    /// Waits until what is over is logged.
    pub async fn logged(&self) {
        self.logs.settled().await;
    }

    /// The connections to targets, for metrics.
    pub fn upstream(&self) -> &upstream::Client {
        &self.upstream
    }

    fn settings(&self) -> Rc<Settings> {
        self.settings.borrow().clone()
    }

    fn follow_settings(&self) {
        let mut changes = self.changes.borrow_mut();
        if changes.has_changed().unwrap_or(false) {
            let settings = changes.borrow_and_update().clone();
            self.upstream.configure(settings.upstream);
            *self.settings.borrow_mut() = Rc::new(settings);
        }
    }

    fn snapshot(&self) -> Rc<Served> {
        let mut source = self.source.borrow_mut();
        let newest = source.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(newest, &current.0) {
            *current = Rc::new(Served(newest.clone()));
        }
        current.clone()
    }

    /// 128 bits that no other request has: a random start for each worker, mixed well (splitmix64). They name a request,
    /// they protect nothing.
    fn next_id(&self) -> RequestId {
        let mut state = self.ids.get();
        let mut next = |place: usize| {
            state[place] = state[place].wrapping_add(0x9e37_79b9_7f4a_7c15);
            let word = (state[place] ^ (state[place] >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            u128::from(word ^ (word >> 31))
        };
        let bits = next(0) << 64 | next(1);
        self.ids.set(state);
        RequestId::new(bits)
    }
}

/// A snapshot as one worker holds it.
struct Served(Arc<Snapshot>);

impl Deref for Served {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// What is kept for a client connection.
pub struct Session {
    connection: Arc<Connection>,
    peer: HeaderValue,
    /// What the client connected to, with the port that clients know.
    reached: SocketAddr,
    port: HeaderValue,
    is_trusted: bool,
    /// The client, as the PROXY header of a peer that is believed says; else the peer.
    client: SocketAddr,
    requests: Cell<u64>,
    /// Hosts rarely change from one request of a connection to the next; this one is valid.
    last_host: RefCell<Arc<str>>,
    /// What follows HTTP, once a target has switched.
    switched: Cell<Option<Box<upgrade::Switched>>>,
}

impl Session {
    fn new(accepted: Accepted, settings: &Settings) -> Self {
        let is_trusted = match accepted.is_local_file() {
            true => settings.trusted.files,
            false => settings.trusted.contains(accepted.peer.ip()),
        };
        let Accepted { serial, peer, local, passed, tls } = accepted;
        let named = passed.filter(|_| is_trusted && settings.naming == Naming::ProxyProtocol);
        let facts = |tls: crate::listener::Handshake| TlsFacts {
            version: tls.version,
            cipher: tls.cipher,
            sni: tls.server_name,
            client: tls.client,
        };
        let reached = settings.ports.known_as(local);
        Self {
            peer: words::text(&peer.ip().to_canonical().to_string()),
            reached,
            port: HeaderValue::from(reached.port()),
            is_trusted,
            client: named.map_or(peer, |passed| passed.source),
            requests: Cell::new(0),
            last_host: RefCell::default(),
            switched: Cell::default(),
            connection: Arc::new(Connection { serial, peer, local, tls: tls.map(facts) }),
        }
    }

    /// The number of the request that begins.
    fn count(&self) -> u64 {
        let number = self.requests.get() + 1;
        self.requests.set(number);
        number
    }

    /// The host of a request, which none has over HTTP/1.0.
    fn host(&self, host: Option<&HeaderValue>) -> Result<Arc<str>, Failure> {
        let mut last = self.last_host.borrow_mut();
        if last.as_bytes() != host.map_or(&[][..], HeaderValue::as_bytes) {
            *last = host.map_or(Ok(""), begin::valid_host)?.into();
        }
        Ok(last.clone())
    }
}

impl Service for Proxy {
    type Body = Body;
    type Session = Session;

    fn open(&self, accepted: Accepted) -> Session {
        Session::new(accepted, &self.settings())
    }

    fn serve(
        self: Rc<Self>,
        session: Rc<Session>,
        request: Box<Request<Incoming>>,
    ) -> impl Future<Output = Response<Body>> + 'static {
        exchange::serve(self, session, request)
    }

    fn refuse(&self, session: &Session, malformed: Malformed) -> Response<Bytes> {
        answer::malformed(self, session, malformed)
    }

    fn afterwards(&self, session: &Session) -> Option<Afterwards> {
        upgrade::afterwards(session)
    }

    fn tick(&self) {
        self.follow_settings();
        self.upstream.tick();
    }
}
