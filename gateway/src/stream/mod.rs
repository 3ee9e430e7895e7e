//! Streams: connections and datagrams that are no HTTP, from a listener to a target, byte for byte. Decides which route
//! takes one and what becomes of it; never looks into what is said beyond the first handshake of TLS. Each worker has its
//! own: called by the worker, serves from the snapshot, never reads the store.

mod connection;
mod counters;
mod datagrams;
mod failure;
pub mod hello;
mod prefixed;
mod record;
mod target;

use std::{
    cell::{Cell, RefCell},
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::{
    config::{Introductions, PortMaps, Trusted},
    listener::{self, Bound, Door, Drained, Entry, Refusal},
    shutdown::{Drain, Ending},
    snapshot::{Manner, Snapshot},
    telemetry::AccessLog,
    tls::ServerTls,
    upstream,
};

pub use counters::{Counters, End};
use failure::Failure;

/// How long accepting pauses when the system has no more descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// What streams need to know of the node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// TLS of listeners that end it.
    pub tls: ServerTls,
    /// For a PROXY header, and for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Open connections of this worker; more are closed at once.
    pub connections: usize,
    /// Clients of UDP that this worker serves at once.
    pub udp_sessions: usize,
    /// Peers whose PROXY headers are believed.
    pub trusted: Trusted,
    /// Which targets hear of their clients.
    pub introductions: Introductions,
    /// How targets are treated beyond what their upstreams say.
    pub manner: Manner,
    /// The ports that clients know.
    pub ports: PortMaps,
    /// Where each stream leaves a line.
    pub access_log: Option<AccessLog>,
    /// How long streams may go on after the end was asked for.
    pub grace: Duration,
}

/// The TLS of a listener for streams: whatever is spoken inside is between client and target.
fn tls(server: &ServerTls, entry: &Entry) -> Arc<ServerConfig> {
    let mut config = ServerConfig::clone(&server.config(false, entry.client_certificate));
    config.alpn_protocols.clear();
    Arc::new(config)
}

/// The streams of one worker.
pub struct Streams {
    settings: RefCell<Rc<Settings>>,
    changes: RefCell<watch::Receiver<Settings>>,
    current: Arc<ArcSwap<Snapshot>>,
    upstream: upstream::Client,
    counters: Arc<Counters>,
    /// Every connection and every client of UDP.
    open: RefCell<JoinSet<()>>,
    connections: Cell<usize>,
    sessions: Cell<usize>,
    /// Nothing new is heard any more.
    closed: Cell<bool>,
    closing: Notify,
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Streams").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Both ends of a stream as the gateway sees it.
#[derive(Debug, Clone, Copy)]
struct Ends {
    peer: SocketAddr,
    local: SocketAddr,
}

/// What of a listener with connections is needed.
type Accepting = (JoinHandle<()>, Rc<Door>, Rc<Entry>);

impl Streams {
    /// Serves whatever `current` holds when a stream begins, by the settings of that moment.
    pub fn new(
        current: Arc<ArcSwap<Snapshot>>,
        upstream: upstream::Client,
        mut changes: watch::Receiver<Settings>,
        counters: Arc<Counters>,
    ) -> Self {
        let settings = RefCell::new(Rc::new(changes.borrow_and_update().clone()));
        let changes = RefCell::new(changes);
        let (open, connections, sessions, closed, closing) = Default::default();
        Self { settings, changes, current, upstream, counters, open, connections, sessions, closed, closing }
    }

    fn settings(&self) -> Rc<Settings> {
        let mut changes = self.changes.borrow_mut();
        if changes.has_changed().unwrap_or(false) {
            *self.settings.borrow_mut() = Rc::new(changes.borrow_and_update().clone());
        }
        self.settings.borrow().clone()
    }

    /// An address of this node with the port that clients know.
    fn known_as(&self, local: SocketAddr) -> SocketAddr {
        self.settings().ports.known_as(local)
    }

    /// Runs until the gateway ends, or the stream does.
    fn spawn(&self, serving: impl Future<Output = ()> + 'static) {
        let mut open = self.open.borrow_mut();
        // Those that ended are forgotten on the way; one that panicked took nothing along.
        while open.try_join_next().is_some() {}
        open.spawn_local(serving);
    }

    fn start(self: &Rc<Self>, stream: listener::Stream, peer: SocketAddr, entry: &Rc<Entry>) {
        let counted = &self.counters.listener;
        counted.accepted.fetch_add(1, Relaxed);
        if self.connections.get() >= self.settings().connections {
            return listener::refuse(counted, peer, Refusal::Connections);
        }
        counted.handled.fetch_add(1, Relaxed);
        let (streams, entry) = (self.clone(), entry.clone());
        let place = Place::take(self);
        match stream {
            listener::Stream::Tcp(stream) => {
                let local = listener::local_address(&stream, &entry);
                self.spawn(attend(place, peer, async move {
                    connection::run(&streams, stream, Ends { peer, local }, &entry).await
                }));
            }
            listener::Stream::Unix(stream) => {
                let local = entry.address();
                self.spawn(attend(place, peer, async move {
                    connection::run(&streams, stream, Ends { peer, local }, &entry).await
                }));
            }
        }
    }

    /// What a client says before it is passed on. It has as long as for a handshake, and not much longer than the gateway.
    async fn hear<T>(&self, saying: impl Future<Output = T>, late: Failure) -> Result<T, Failure> {
        let (limit, closing) = (self.settings().handshake_timeout, self.closing.notified());
        if self.closed.get() {
            return Err(Failure::Ending);
        }
        // Dropping either arm loses what was said so far, with the stream.
        tokio::select! {
            said = timeout(limit, saying) => said.map_err(|_| late),
            () = closing => Err(Failure::Ending),
        }
    }

    /// Closes streams that were not passed on by now.
    fn close(&self) {
        self.closed.set(true);
        self.closing.notify_waiters();
    }

    /// Whether the word of this peer counts. One from the file system has no port.
    fn trusts(&self, peer: SocketAddr) -> bool {
        let trusted = &self.settings().trusted;
        if peer.port() == 0 { trusted.files } else { trusted.contains(peer.ip()) }
    }
}

/// A connection counts as open until this is dropped, also when it panics.
struct Place(Rc<Streams>);

impl Place {
    fn take(streams: &Rc<Streams>) -> Self {
        streams.connections.set(streams.connections.get() + 1);
        Self(streams.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.counters.listener.closed.fetch_add(1, Relaxed);
    }
}

async fn attend(place: Place, peer: SocketAddr, serving: impl Future<Output = Result<(), Failure>>) {
    if let Err(failure) = serving.await {
        tell(&place.0.counters, peer, &failure);
    }
}

/// Says why a stream was not passed on, and counts a client that crossed a limit.
fn tell(counters: &Counters, peer: SocketAddr, failure: &Failure) {
    match failure.refusal() {
        Some(refusal) => listener::refuse(&counters.listener, peer, refusal),
        None if failure.end() == End::Client => {
            tracing::debug!(%peer, error = failure as &dyn std::error::Error, "a stream ended early");
        }
        None => tracing::warn!(%peer, error = failure as &dyn std::error::Error, "a stream could not be passed on"),
    }
}

/// Serves the sockets of one worker until the end is asked for, then drains. Must run on a current-thread runtime that has
/// local tasks.
///
/// # Errors
/// When the runtime cannot watch a socket.
///
/// # Cancel safety
/// Not safe: streams would be cut without a word.
pub async fn serve(sockets: Vec<Bound>, streams: Rc<Streams>, end: Drain) -> io::Result<Drained> {
    let (mut accepting, mut receiving) = (Vec::<Accepting>::new(), JoinSet::new());
    for bound in sockets {
        let entry = bound.entry().clone();
        if entry.datagrams {
            let socket = Rc::new(bound.into_datagrams()?);
            receiving.spawn_local(datagrams::receive(streams.clone(), socket, entry.address(), end.clone()));
            continue;
        }
        let (door, entry) = (Rc::new(Door::new(bound)?), Rc::new(entry));
        let task = tokio::task::spawn_local(accept(streams.clone(), door.clone(), entry.clone()));
        accepting.push((task, door, entry));
    }
    end.reached(Ending::Retire).await;
    receiving.shutdown().await;
    stop(&streams, accepting, end.step());
    Ok(drain(&streams, &end).await)
}

async fn accept(streams: Rc<Streams>, door: Rc<Door>, entry: Rc<Entry>) {
    loop {
        match door.accept().await {
            Ok((stream, peer)) => streams.start(stream, peer, &entry),
            // The client went away while it waited in the queue.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, address = %entry.place, "accepting a stream failed");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Stops accepting. What the system had accepted already is another process's, or is served here still.
fn stop(streams: &Rc<Streams>, accepting: Vec<Accepting>, step: Ending) {
    for (task, door, entry) in accepting {
        task.abort();
        if step == Ending::Retire {
            continue;
        }
        for (stream, peer) in door.waiting(&entry) {
            streams.start(stream, peer, &entry);
        }
    }
}

/// Waits for what is open, and cuts what outlasts the grace period.
async fn drain(streams: &Streams, end: &Drain) -> Drained {
    let mut open = streams.open.take();
    while open.try_join_next().is_some() {}
    let all = open.len();
    let gone = async { while open.join_next().await.is_some() {} };
    let grace = streams.settings().grace;
    let lapse = async {
        sleep(listener::NEWCOMER).await;
        streams.close();
        std::future::pending::<()>().await;
    };
    // Dropping any arm loses nothing: what is still open is counted and cut.
    tokio::select! {
        _ = timeout(grace, gone) => {}
        () = lapse => {}
        () = end.reached(Ending::Cut) => {}
    }
    let cut = open.len();
    open.shutdown().await;
    Drained { finished: all.saturating_sub(cut), cut }
}

/// What consistent hashing goes by: a stream has no more than the address of its client.
fn address_bytes(client: IpAddr) -> Vec<u8> {
    client.to_canonical().to_string().into_bytes()
}
