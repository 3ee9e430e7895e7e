//! HTTP/2 connections to targets: many requests share one, so each has a task that moves it. One worker's, as all here.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::{Future, poll_fn},
    hash::BuildHasherDefault,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use http::{HeaderValue, Request, Response, Uri, header, uri::PathAndQuery};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http2::{self, SendRequest},
    },
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Mutex;

use super::{
    PoolKey, RequestBody, SendError, Settings, Timeouts, UploadError, connect::TargetIo, deadline::Deadline,
    link::Wait, pool::KeyHasher,
};

/// How many bytes of one answer may wait for a client that is slow.
const STREAM_WINDOW: u32 = 128 << 10;
/// Requests that are open on one connection, if the target allows as many.
const STREAMS: usize = 128;
/// How many bytes of all answers on a connection may: as many as of every stream, so that no client holds up another.
const CONNECTION_WINDOW: u32 = STREAMS as u32 * STREAM_WINDOW;
/// After so long a silence a target is asked whether it is there, and has as long for the answer: one that is gone without a
/// word would keep its requests, and get new ones, until the system gives it up.
const PING: Duration = Duration::from_secs(20);
/// Places, each an address and a TLS identity, whose idle connections are kept. Clients may choose names (`preserve_host`).
const PLACES: usize = 4096;

/// The HTTP/2 connections of a worker, by where they lead.
#[derive(Debug)]
pub(super) struct Trunks {
    settings: Rc<Cell<Settings>>,
    places: RefCell<HashMap<PoolKey, Rc<Place>, BuildHasherDefault<KeyHasher>>>,
    clock: Cell<u32>,
}

/// The connections to one place.
#[derive(Debug, Default)]
struct Place {
    trunks: RefCell<Vec<Rc<Trunk>>>,
    /// Held by the one that connects: those who come meanwhile share what it made.
    connecting: Mutex<()>,
}

/// A connection.
struct Trunk {
    sender: RefCell<SendRequest<RequestBody>>,
    /// Requests that are open on it.
    open: Cell<usize>,
    /// How many the target allows.
    limit: Rc<Cell<usize>>,
    requests: Cell<u32>,
    idle_since: Cell<u32>,
}

impl std::fmt::Debug for Trunk {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Trunk").field("open", &self.open).field("requests", &self.requests).finish_non_exhaustive()
    }
}

/// A request's place on a connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    trunk: Rc<Trunk>,
    pub(super) deadline: Deadline,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.trunk.open.set(self.trunk.open.get() - 1);
    }
}

impl Trunks {
    pub(super) fn new(settings: Rc<Cell<Settings>>) -> Self {
        Self { settings, places: RefCell::default(), clock: Cell::new(0) }
    }

    /// A place on a connection: one that is open, or a new one that `connect` makes.
    pub(super) async fn take(
        &self,
        key: &PoolKey,
        connect: impl Future<Output = Result<TargetIo, SendError>>,
    ) -> Result<Stream, SendError> {
        let place = self.places.borrow_mut().entry(key.clone()).or_default().clone();
        if let Some(stream) = self.find(&place) {
            return Ok(stream);
        }
        let _turn = place.connecting.lock().await;
        if let Some(stream) = self.find(&place) {
            return Ok(stream);
        }
        let trunk = Rc::new(start(connect.await?, key).await?);
        place.trunks.borrow_mut().push(trunk.clone());
        Ok(Stream::on(trunk))
    }

    fn find(&self, place: &Place) -> Option<Stream> {
        let trunks = place.trunks.borrow();
        let has_room = |trunk: &&Rc<Trunk>| {
            let is_fresh = trunk.requests.get() < self.settings.get().requests_per_connection;
            is_fresh && trunk.open.get() < trunk.limit.get().min(STREAMS) && trunk.sender.borrow().is_ready()
        };
        trunks.iter().find(has_room).cloned().map(Stream::on)
    }

    /// A second went by: connections that have ended, are worn out, or were idle for too long, go.
    pub(super) fn tick(&self) {
        let now = self.clock.get().wrapping_add(1);
        self.clock.set(now);
        let mut places = self.places.borrow_mut();
        let is_crowded = places.len() > PLACES;
        places.retain(|_, place| {
            let mut trunks = place.trunks.borrow_mut();
            trunks.retain(|trunk| self.is_kept(trunk, now, is_crowded));
            // Whoever connects just now holds the place, too.
            !trunks.is_empty() || Rc::strong_count(place) > 1
        });
    }

    fn is_kept(&self, trunk: &Trunk, now: u32, is_crowded: bool) -> bool {
        if trunk.open.get() > 0 {
            trunk.idle_since.set(now);
            return true;
        }
        let is_worn_out = trunk.requests.get() >= self.settings.get().requests_per_connection;
        let idle = u64::from(now.wrapping_sub(trunk.idle_since.get()));
        let keeps_idle =
            self.settings.get().pool_size > 0 && !is_crowded && idle <= self.settings.get().idle_timeout.as_secs();
        keeps_idle && !is_worn_out && !trunk.sender.borrow().is_closed()
    }
}

/// Starts HTTP/2 on a new connection.
async fn start(io: TargetIo, key: &PoolKey) -> Result<Trunk, SendError> {
    let mut builder = http2::Builder::new(Local);
    builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    builder.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PING);
    let address = key.address;
    let broken = |source| SendError::Broken { address, reused: false, sent: false, source: Some(source) };
    let (sender, mut connection) = builder.handshake(TokioIo::new(io)).await.map_err(broken)?;
    let limit = Rc::new(Cell::new(connection.current_max_send_streams()));
    let told = limit.clone();
    tokio::task::spawn_local(async move {
        let driven = poll_fn(|cx| {
            let polled = Pin::new(&mut connection).poll(cx);
            told.set(connection.current_max_send_streams());
            polled
        });
        if let Err(error) = driven.await {
            tracing::debug!(%address, error = &error as &dyn std::error::Error, "a connection to a target broke");
        }
        told.set(0);
    });
    let (sender, open, requests, idle_since) = (RefCell::new(sender), Cell::new(0), Cell::new(0), Cell::new(0));
    Ok(Trunk { sender, open, limit, requests, idle_since })
}

impl Stream {
    fn on(trunk: Rc<Trunk>) -> Self {
        trunk.open.set(trunk.open.get() + 1);
        Self { trunk, deadline: Deadline::new() }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        mut request: Request<RequestBody>,
        timeouts: &Timeouts,
        key: &PoolKey,
    ) -> Result<Response<Incoming>, SendError> {
        name_authority(&mut request, key.tls.is_some());
        let (upload, address) = (request.body().progress(), key.address);
        let reused = self.trunk.requests.get() > 0;
        self.trunk.requests.set(self.trunk.requests.get() + 1);
        let answer = self.trunk.sender.borrow_mut().try_send_request(request);
        let mut answer = pin!(answer);
        let mut wait = Wait::new(upload, timeouts, address);
        wait.begin(&mut self.deadline);
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer.map_err(|error| failure(error, &wait, reused))),
            Poll::Pending => wait.poll(0, &mut self.deadline, cx).map(Err),
        })
        .await
    }
}

/// HTTP/2 names the host in the target, and has no header for it.
fn name_authority(request: &mut Request<RequestBody>, is_tls: bool) {
    let host = request.headers_mut().remove(header::HOST);
    let target = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let host = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    let uri = Uri::builder().scheme(if is_tls { "https" } else { "http" }).authority(host).path_and_query(target);
    if let Ok(uri) = uri.build() {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = http::Version::HTTP_2;
}

fn failure(mut error: TrySendError<Request<RequestBody>>, wait: &Wait<'_>, reused: bool) -> SendError {
    let (is_unsent, address) = (error.take_message().is_some(), wait.address);
    let source = error.into_error();
    if wait.has_failed_upload() {
        return SendError::Upload(UploadError::Failed(source));
    }
    let is_refused = was_refused(&source);
    // A target that ends a stream, refused or not, goes on doing so: that counts as an attempt.
    let reused = reused && !is_refused && !was_reset(&source);
    SendError::Broken { address, reused, sent: !(is_unsent || is_refused), source: Some(source) }
}

/// Whether the target ended this stream, and not its connection.
fn was_reset(error: &hyper::Error) -> bool {
    cause(error).is_some_and(h2::Error::is_reset)
}

fn cause(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref())
}

/// Whether the target says that it did nothing about the request (RFC 9113 §8.7).
fn was_refused(error: &hyper::Error) -> bool {
    cause(error).is_some_and(|cause| {
        let is_late = cause.is_go_away() && cause.is_remote();
        is_late || cause.reason() == Some(h2::Reason::REFUSED_STREAM)
    })
}

/// Connections and their uploads run beside the requests on the worker.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}
