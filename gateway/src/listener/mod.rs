//! Sockets → connections → requests, and the drain. Knows neither proxy nor admin: it takes a [`Service`]. Everything
//! here runs on one worker; only the sockets and the counters are made elsewhere.

mod bind;
mod connection;
mod frames;
mod handshakes;
mod head;
mod inherit;
mod io;
pub mod proxy_protocol;
mod rules;
mod service;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    cell::RefCell,
    future::Future,
    io as std_io,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch::Receiver as Changes,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};

use crate::{
    clock::unix_now,
    shutdown::{Drain, Ending},
    telemetry::Throttle,
    tls::ServerTls,
};
use rules::{Rules, Worker};
use watch::Registry;

pub use bind::{BindError, Bound, Entry, Place, Probes, bind};
pub use frames::FrameScan;
pub use handshakes::{HandshakeFailure, Handshakes};
pub use head::HeadScan;
pub use inherit::{Inherited, bequeath, inherit};
pub use service::{Accepted, Afterwards, Duplex, Handshake, Malformed, Service};

/// How long accepting pauses when the system has no more descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection may take to bring the request whose answer asks the client to leave, when another process took the
/// sockets over.
const RETIREMENT: Duration = Duration::from_secs(5);

/// How long a connection that was accepted just now, or waited for it, may take to say something when the gateway ends and
/// nobody else accepts.
pub const NEWCOMER: Duration = Duration::from_secs(1);

/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 256;

/// Bytes of an answer that wait for an HTTP/2 client whose window is open and whose connection is not: 16 MiB a connection.
const SEND_BUFFER: usize = 64 << 10;

/// Limits of connections. Seconds are counted, so limits are met within a second.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Certificates and protocols of listeners with TLS.
    pub tls: Option<ServerTls>,
    /// For a TLS handshake, and for a PROXY header. Default 60 s.
    pub handshake_timeout: Duration,
    /// For a request head. Default 60 s.
    pub head_timeout: Duration,
    /// Between two requests. Default 75 s.
    pub idle_timeout: Duration,
    /// For a client that takes no bytes. Default 60 s.
    pub send_timeout: Duration,
    /// For an HTTP/2 client that asked for answers and never opened a window for any. Default 3 s.
    pub http2_window_timeout: Duration,
    /// For a refused client to stop sending. Default 5 s.
    pub linger_timeout: Duration,
    /// Bytes of a request's head, HTTP/1 request line included.
    pub head_bytes: usize,
    /// Bytes of a request's target.
    pub uri_bytes: usize,
    /// Number of a request's headers. 100 is the cheapest.
    pub header_count: usize,
    /// Open connections of this worker; more are closed at once. Default: no limit.
    pub connections: usize,
    /// HTTP/2 frames of one connection in a second that bring nothing: PING, SETTINGS, PRIORITY, RST_STREAM, empty DATA and
    /// CONTINUATION. Default 1,000.
    pub http2_control_frames: u32,
    /// How long a new connection may take to say something after the end was asked for.
    pub newcomer_timeout: Duration,
    /// How long open requests may go on after the end was asked for.
    pub grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tls: None,
            handshake_timeout: Duration::from_secs(60),
            head_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            send_timeout: Duration::from_secs(60),
            http2_window_timeout: Duration::from_secs(3),
            linger_timeout: Duration::from_secs(5),
            head_bytes: 32 << 10,
            uri_bytes: 8 << 10,
            header_count: 100,
            connections: usize::MAX,
            http2_control_frames: 1000,
            newcomer_timeout: NEWCOMER,
            grace: Duration::from_secs(30),
        }
    }
}

/// What happened to connections of one worker. Read from other threads.
#[derive(Debug, Default)]
pub struct Counters {
    /// Accepted by the system.
    pub accepted: AtomicU64,
    /// Handed to the service, as Kong counts: equal to `accepted` unless the gateway had to refuse.
    pub handled: AtomicU64,
    /// Ended.
    pub closed: AtomicU64,
    /// Requests whose head was read.
    pub requests: AtomicU64,
    /// Times that a connection over HTTP/1 gave its buffers back while it waited for the next request.
    pub slept: AtomicU64,
    /// Ended because the client broke a rule or crossed a limit, by the place of the reason in [`Refusal::ALL`].
    pub refused: [AtomicU64; Refusal::ALL.len()],
    /// TLS handshakes.
    pub handshakes: Handshakes,
    /// How often the log tells of each reason.
    told: [Throttle; Refusal::ALL.len()],
}

/// The limit of connections that a client crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too many connections are open.
    Connections,
    /// The TLS handshake took too long.
    HandshakeTimeout,
    /// No request head came in time.
    HeadTimeout,
    /// The client takes no bytes.
    SendTimeout,
    /// Too many HTTP/2 frames that bring nothing, or requests that were taken back.
    FrameFlood,
    /// HTTP/2 that breaks the rules of its connection.
    Frames,
    /// Streams of HTTP/2 that never became requests: their headers were too large or broke the rules, or too many were open.
    /// Each is counted; the connection goes on.
    Streams,
    /// A TLS handshake that breaks the rules.
    Handshake,
    /// What must begin with a PROXY header does not.
    ProxyHeader,
    /// The PROXY header took too long.
    ProxyHeaderTimeout,
    /// What must begin with a TLS handshake does not.
    ClientHello,
    /// No route takes the stream.
    NoStreamRoute,
    /// Too many clients of UDP are served.
    UdpSessions,
}

impl Refusal {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 13] = [
        Self::Connections,
        Self::HandshakeTimeout,
        Self::HeadTimeout,
        Self::SendTimeout,
        Self::FrameFlood,
        Self::Frames,
        Self::Streams,
        Self::Handshake,
        Self::ProxyHeader,
        Self::ProxyHeaderTimeout,
        Self::ClientHello,
        Self::NoStreamRoute,
        Self::UdpSessions,
    ];

    /// Stable: the label `reason` of the metric.
    pub fn code(self) -> &'static str {
        match self {
            Self::Connections => "too-many-connections",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::HeadTimeout => "header-timeout",
            Self::SendTimeout => "send-timeout",
            Self::FrameFlood => "http2-flood",
            Self::Frames => "http2-malformed",
            Self::Streams => "http2-stream",
            Self::Handshake => "handshake-failed",
            Self::ProxyHeader => "bad-proxy-header",
            Self::ProxyHeaderTimeout => "proxy-header-timeout",
            Self::ClientHello => "bad-client-hello",
            Self::NoStreamRoute => "no-stream-route",
            Self::UdpSessions => "too-many-udp-sessions",
        }
    }
}

impl Counters {
    /// Open now.
    pub fn active(&self) -> u64 {
        self.handled.load(Ordering::Relaxed).saturating_sub(self.closed.load(Ordering::Relaxed))
    }
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that ended by themselves.
    pub finished: usize,
    /// Connections that were cut at the end of the grace period.
    pub cut: usize,
}

/// Serves the sockets of one worker until the end is asked for, then drains. Must run on a current-thread runtime that has
/// local tasks. Other settings are met within a second: timeouts by every connection, what a head may hold by new ones.
///
/// # Cancel safety
/// Not safe: connections would go on without limits and without a drain.
pub async fn serve<S: Service>(
    sockets: Vec<Bound>,
    service: Rc<S>,
    mut changes: Changes<Settings>,
    counters: Arc<Counters>,
    end: Drain,
) -> std_io::Result<Drained> {
    let registry = Rc::<Registry>::default();
    let rules = RefCell::new(Rules::new(changes.borrow_and_update().clone()));
    let worker = Rc::new(Worker { service, rules, changes: RefCell::new(changes), counters, registry });
    let mut accepting = Vec::with_capacity(sockets.len());
    for Bound { socket, entry, .. } in sockets {
        let (door, entry) = (Rc::new(Door::open(socket, &entry)?), Rc::new(entry));
        let task = tokio::task::spawn_local(accept(worker.clone(), door.clone(), entry.clone()));
        accepting.push((task, door, entry));
    }
    tick_until(&worker, end.reached(Ending::Retire)).await;
    if end.step() == Ending::Retire {
        retire(&worker, &accepting, &end).await;
        // Its queue is another process's now.
        accepting.clear();
        worker.registry.cut_fresh();
    }
    Ok(drain(&worker, accepting, &end).await)
}

/// Number of a connection in this process, from 1.
fn next_serial() -> u64 {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// A socket of either kind, on the worker's runtime.
#[derive(Debug)]
pub enum Door {
    /// IP.
    Tcp(TcpListener),
    /// In the file system.
    Unix(UnixListener),
}

/// A connection of either kind.
#[derive(Debug)]
pub enum Stream {
    /// Through an IP socket.
    Tcp(TcpStream),
    /// Through a socket of the file system.
    Unix(UnixStream),
}

impl Door {
    /// Accepts on this runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn new(bound: Bound) -> std_io::Result<Self> {
        Self::open(bound.socket, &bound.entry)
    }

    fn open(socket: socket2::Socket, entry: &Entry) -> std_io::Result<Self> {
        Ok(match entry.place {
            Place::Tcp(_) => Self::Tcp(TcpListener::from_std(socket.into())?),
            Place::Unix(_) => Self::Unix(UnixListener::from_std(socket.into())?),
        })
    }

    /// The next connection and who made it.
    ///
    /// # Errors
    /// What the system says; accepting may go on.
    ///
    /// # Cancel safety
    /// Safe: dropping the future loses no connection.
    pub async fn accept(&self) -> std_io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(socket) => socket.accept().await.map(|(stream, peer)| (Stream::Tcp(stream), peer)),
            Self::Unix(socket) => socket.accept().await.map(|(stream, _)| (Stream::Unix(stream), bind::NOWHERE)),
        }
    }

    /// What waits to be accepted, and would be reset if the socket were closed. Unlike [`Door::accept`], asks the system whatever
    /// the runtime has heard. No more than the queue holds: what comes after that came too late.
    pub fn waiting(&self, entry: &Entry) -> impl Iterator<Item = (Stream, SocketAddr)> {
        (0..entry.backlog).map_while(|_| self.take().ok())
    }

    fn take(&self) -> std_io::Result<(Stream, SocketAddr)> {
        let queue = match self {
            Self::Tcp(socket) => SockRef::from(socket),
            Self::Unix(socket) => SockRef::from(socket),
        };
        let (stream, peer) = loop {
            match queue.accept() {
                Err(error) if error.kind() == std_io::ErrorKind::ConnectionAborted => {}
                taken => break taken?,
            }
        };
        stream.set_nonblocking(true)?;
        let peer = peer.as_socket().unwrap_or(bind::NOWHERE);
        Ok(match self {
            Self::Tcp(_) => (Stream::Tcp(TcpStream::from_std(stream.into())?), peer),
            Self::Unix(_) => (Stream::Unix(UnixStream::from_std(stream.into())?), peer),
        })
    }
}

async fn accept<S: Service>(worker: Rc<Worker<S>>, socket: Rc<Door>, entry: Rc<Entry>) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => start(&worker, stream, peer, &entry),
            // The client went away while it waited in the queue.
            Err(error) if error.kind() == std_io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, address = %entry.place, "accepting a connection failed");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

fn start<S: Service>(worker: &Rc<Worker<S>>, stream: Stream, peer: SocketAddr, entry: &Rc<Entry>) {
    let counters = &worker.counters;
    counters.accepted.fetch_add(1, Ordering::Relaxed);
    if worker.registry.open() >= worker.rules().settings.connections {
        return refuse(counters, peer, Refusal::Connections);
    }
    counters.handled.fetch_add(1, Ordering::Relaxed);
    let (worker, entry) = (worker.clone(), entry.clone());
    match stream {
        Stream::Tcp(stream) => {
            let local = local_address(&stream, &entry);
            attend(worker, stream, (peer, local), entry);
        }
        Stream::Unix(stream) => {
            let local = entry.address();
            attend(worker, stream, (peer, local), entry);
        }
    }
}

/// The address that the client connected to; the system is asked only where the listener has many.
pub fn local_address(stream: &TcpStream, entry: &Entry) -> SocketAddr {
    let address = entry.address();
    if address.ip().is_unspecified() { stream.local_addr().unwrap_or(address) } else { address }
}

/// The future of `run` is made within the task: given to it, it would be stored twice.
fn attend<S: Service>(
    worker: Rc<Worker<S>>,
    stream: impl Duplex + 'static,
    ends: (SocketAddr, SocketAddr),
    entry: Rc<Entry>,
) {
    // Not by the task, which may run for the first time when the others have got their orders.
    let place = worker.registry.enter();
    tokio::task::spawn_local(async move {
        let closed = Closed(worker.counters.clone());
        if let Err(error) = connection::run(worker, place, stream, ends, entry).await {
            let peer = ends.0;
            if let Some(refusal) = error.refusal() {
                return refuse(&closed.0, peer, refusal);
            }
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a connection ended early");
        }
    });
}

/// Counts and tells of a client that broke a rule or crossed a limit.
pub fn refuse(counters: &Counters, peer: SocketAddr, refusal: Refusal) {
    counters.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
    if let Some(left_out) = counters.told[refusal as usize].admit(unix_now().as_secs()) {
        tracing::info!(%peer, reason = refusal.code(), left_out, "a connection was refused");
    }
}

/// Counts and tells of streams of a connection that never became requests.
fn refuse_streams(counters: &Counters, peer: SocketAddr, streams: u32) {
    let place = Refusal::Streams as usize;
    counters.refused[place].fetch_add(streams.into(), Ordering::Relaxed);
    if let Some(left_out) = counters.told[place].admit(unix_now().as_secs()) {
        tracing::info!(%peer, reason = Refusal::Streams.code(), streams, left_out, "streams were refused");
    }
}

/// Counts the end of a connection, also when it panics.
struct Closed(Arc<Counters>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

async fn tick_until<S: Service>(worker: &Worker<S>, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            // Dropping a tick loses nothing: the next one comes on time.
            _ = seconds.tick() => worker.tick(),
            () = &mut shutdown => return,
        }
    }
}

type Accepting = (JoinHandle<()>, Rc<Door>, Rc<Entry>);

/// Stop accepting → ask clients to leave with their next answer → wait for them, or for an order to go on.
async fn retire<S: Service>(worker: &Rc<Worker<S>>, accepting: &[Accepting], end: &Drain) {
    accepting.iter().for_each(|(task, ..)| task.abort());
    tokio::task::yield_now().await;
    worker.registry.retire();
    let gone = tick_until(worker, worker.registry.emptied());
    // Dropping any arm loses nothing: the connections go on.
    tokio::select! {
        () = gone => {}
        () = tokio::time::sleep(RETIREMENT.min(worker.rules().settings.grace)) => {}
        () = end.reached(Ending::Close) => {}
    }
}

/// Stop accepting → tell the connections → wait → cut.
async fn drain<S: Service>(worker: &Rc<Worker<S>>, accepting: Vec<Accepting>, end: &Drain) -> Drained {
    for (task, socket, entry) in accepting {
        task.abort();
        for (stream, peer) in socket.waiting(&entry) {
            start(worker, stream, peer, &entry);
        }
    }
    // The sockets close with the tasks that accepted.
    tokio::task::yield_now().await;
    let open = worker.registry.open();
    worker.registry.finish();
    let (newcomers, grace) = {
        let settings = &worker.rules().settings;
        (settings.newcomer_timeout, settings.grace)
    };
    let last = Instant::now() + grace;
    let gone = async {
        if tokio::time::timeout(newcomers, worker.registry.emptied()).await.is_err() {
            worker.registry.cut_fresh();
            worker.registry.emptied().await;
        }
    };
    // Dropping any arm loses nothing: what is still open is counted and cut.
    tokio::select! {
        () = tick_until(worker, gone) => {}
        () = tokio::time::sleep_until(last) => {}
        () = end.reached(Ending::Cut) => {}
    }
    let cut = worker.registry.open();
    worker.registry.cut();
    worker.registry.emptied().await;
    Drained { finished: open.saturating_sub(cut), cut }
}
