//! Sockets → connections → requests, and the drain. Knows neither proxy nor admin: it takes a [`Service`]. Everything
//! here runs on one worker; only the sockets and the counters are made elsewhere.

mod bind;
mod connection;
mod head;
mod io;
mod service;
#[cfg(test)]
mod tests;
mod watch;

use std::{
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

use hyper::server::conn::{http1, http2};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::MissedTickBehavior,
};

use crate::tls::ServerTls;
use watch::Registry;

pub use bind::{BindError, Bound, Entry, bind};
pub use service::{Accepted, Afterwards, Duplex, Handshake, Malformed, Service};

/// How long accepting pauses when the system has no more descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Streams that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 256;

/// Limits of connections. Seconds are counted, so limits are met within a second.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Certificates and protocols of listeners with TLS.
    pub tls: Option<ServerTls>,
    /// For a TLS handshake. Default 60 s.
    pub handshake_timeout: Duration,
    /// For a request head. Default 60 s.
    pub head_timeout: Duration,
    /// Between two requests. Default 75 s.
    pub idle_timeout: Duration,
    /// For a client that takes no bytes. Default 60 s.
    pub send_timeout: Duration,
    /// For a refused client to stop sending. Default 5 s.
    pub linger_timeout: Duration,
    /// Bytes of a request's head, HTTP/1 request line included.
    pub head_bytes: usize,
    /// Bytes of a request's target.
    pub uri_bytes: usize,
    /// Number of a request's headers. 100 is the cheapest.
    pub header_count: usize,
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
            linger_timeout: Duration::from_secs(5),
            head_bytes: 32 << 10,
            uri_bytes: 8 << 10,
            header_count: 100,
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

struct Worker<S> {
    service: Rc<S>,
    settings: Settings,
    counters: Arc<Counters>,
    registry: Rc<Registry>,
    http1: http1::Builder,
    http2: http2::Builder<Local>,
}

/// Serves the sockets of one worker until `shutdown` is over, then drains. Must run on a current-thread runtime that has
/// local tasks.
///
/// # Cancel safety
/// Not safe: connections would go on without limits and without a drain.
pub async fn serve<S: Service>(
    sockets: Vec<Bound>,
    service: Rc<S>,
    settings: Settings,
    counters: Arc<Counters>,
    shutdown: impl Future<Output = ()>,
) -> std_io::Result<Drained> {
    let registry = Rc::<Registry>::default();
    let (http1, http2) = (http1_builder(&settings), http2_builder(&settings));
    let worker = Rc::new(Worker { service, settings, counters, registry, http1, http2 });
    let mut accepting = Vec::with_capacity(sockets.len());
    for Bound { socket, entry } in sockets {
        let socket = Rc::new(TcpListener::from_std(socket)?);
        let task = tokio::task::spawn_local(accept(worker.clone(), socket.clone(), entry));
        accepting.push((task, socket, entry));
    }
    tick_until(&worker, shutdown).await;
    Ok(drain(&worker, accepting).await)
}

fn http1_builder(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.half_close(false).max_header_size(settings.head_bytes);
    builder.max_buf_size((settings.head_bytes + settings.uri_bytes).max(8192));
    if settings.header_count != 100 {
        // Any other number costs two allocations a request.
        builder.max_headers(settings.header_count);
    }
    builder
}

fn http2_builder(settings: &Settings) -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder.max_concurrent_streams(MAX_STREAMS);
    builder.max_header_list_size(u32::try_from(settings.head_bytes).unwrap_or(u32::MAX));
    builder
}

/// Streams of HTTP/2 connections run beside them on the worker.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(async move {
            stream.await;
        });
    }
}

/// Number of a connection in this process, from 1.
fn next_serial() -> u64 {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

async fn accept<S: Service>(worker: Rc<Worker<S>>, socket: Rc<TcpListener>, entry: Entry) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => start(&worker, stream, peer, entry),
            // The client went away while it waited in the queue.
            Err(error) if error.kind() == std_io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, address = %entry.address, "accepting a connection failed");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

fn start<S: Service>(worker: &Rc<Worker<S>>, stream: TcpStream, peer: SocketAddr, entry: Entry) {
    let counters = worker.counters.clone();
    counters.accepted.fetch_add(1, Ordering::Relaxed);
    counters.handled.fetch_add(1, Ordering::Relaxed);
    let serving = connection::run(worker.clone(), stream, peer, entry);
    tokio::task::spawn_local(async move {
        let _closed = Closed(counters);
        if let Err(error) = serving.await {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a connection ended early");
        }
    });
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
            _ = seconds.tick() => {
                worker.registry.tick(&worker.settings);
                worker.service.tick();
            }
            () = &mut shutdown => return,
        }
    }
}

type Accepting = (JoinHandle<()>, Rc<TcpListener>, Entry);

/// Stop accepting → tell the connections → wait → cut.
async fn drain<S: Service>(worker: &Rc<Worker<S>>, accepting: Vec<Accepting>) -> Drained {
    for (task, socket, entry) in accepting {
        task.abort();
        // What the system had accepted already would be reset with the socket.
        while let Some(Ok((stream, peer))) = now_or_never(socket.accept()).await {
            start(worker, stream, peer, entry);
        }
    }
    // New connections take their place in the registry when they run first.
    tokio::task::yield_now().await;
    let open = worker.registry.open();
    worker.registry.finish();
    let waited = tick_until(worker, worker.registry.emptied());
    let is_empty = tokio::time::timeout(worker.settings.grace, waited).await.is_ok();
    let cut = if is_empty { 0 } else { worker.registry.open() };
    worker.registry.cut();
    worker.registry.emptied().await;
    Drained { finished: open.saturating_sub(cut), cut }
}

/// The answer of a future that is ready at once.
async fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
