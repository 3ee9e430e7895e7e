//! One connection from its first byte to its last: TLS, the choice of protocol, HTTP.

use std::{
    convert::Infallible,
    error::Error,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Refusal, Worker,
    bind::Entry,
    io::ClientIo,
    proxy_protocol,
    service::{Accepted, Handshake, Malformed, Service},
    watch::{Offence, Open, Order, Place, Watch},
};
use crate::tls::ClientChain;

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the TLS handshake took too long")]
    HandshakeTimeout,
    #[error("the connection has no valid PROXY header")]
    ProxyHeader(#[source] proxy_protocol::ReadError),
    #[error("the PROXY header took too long")]
    ProxyHeaderTimeout,
    #[error("reading from the client failed")]
    Read(#[source] io::Error),
    #[error("the HTTP exchange broke off")]
    Http(#[from] hyper::Error),
    #[error("no request came in time")]
    HeadTimeout,
    #[error("the client takes no bytes")]
    SendTimeout,
    #[error("the client sends too many frames that bring nothing")]
    FrameFlood,
    #[error("the connection was cut")]
    Cut,
}

impl ConnectionError {
    fn of(offence: Option<Offence>) -> Self {
        match offence {
            Some(Offence::Head) => Self::HeadTimeout,
            Some(Offence::Send) => Self::SendTimeout,
            Some(Offence::Frames) => Self::FrameFlood,
            None => Self::Cut,
        }
    }

    /// The reason by which it is counted, where the client crossed a limit.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::HandshakeTimeout => Some(Refusal::HandshakeTimeout),
            Self::HeadTimeout => Some(Refusal::HeadTimeout),
            Self::SendTimeout => Some(Refusal::SendTimeout),
            Self::FrameFlood => Some(Refusal::FrameFlood),
            // What is no TLS at all, not a client that went away.
            Self::Handshake(error) => (error.kind() == io::ErrorKind::InvalidData).then_some(Refusal::Handshake),
            Self::Http(error) => of_http2(error),
            Self::ProxyHeader(proxy_protocol::ReadError::Malformed(_)) => Some(Refusal::ProxyHeader),
            Self::ProxyHeaderTimeout => Some(Refusal::ProxyHeaderTimeout),
            // Load balancers look whether anybody listens, and go.
            Self::ProxyHeader(proxy_protocol::ReadError::Io(_)) => None,
            Self::Read(_) | Self::Cut => None,
        }
    }
}

/// What the HTTP/2 engine ended the connection for. That of HTTP/1 has its own answer to a broken request.
fn of_http2(error: &hyper::Error) -> Option<Refusal> {
    let error = error.source()?.downcast_ref::<h2::Error>()?;
    match error.reason()? {
        _ if !error.is_library() => None,
        h2::Reason::NO_ERROR | h2::Reason::INTERNAL_ERROR => None,
        h2::Reason::ENHANCE_YOUR_CALM => Some(Refusal::FrameFlood),
        _ => Some(Refusal::Frames),
    }
}

/// Serves an accepted connection until it ends.
/// `ends` are the client's address and the one that it connected to.
pub(super) async fn run<S: Service, T: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker<S>>,
    place: Place,
    stream: T,
    ends: (SocketAddr, SocketAddr),
    entry: Rc<Entry>,
) -> Result<(), ConnectionError> {
    let (watch, counters) = (place.watch.clone(), worker.counters.clone());
    let mut serving = pin!(secure(&worker, stream, ends, &entry, watch.clone()));
    let mut is_known = false;
    let ended = poll_fn(|cx| {
        if !is_known {
            watch.keep_waker(cx);
            is_known = true;
        }
        match watch.order() {
            Order::Cut => Poll::Ready(Err(ConnectionError::of(watch.offence()))),
            Order::None | Order::Retire | Order::Finish => serving.as_mut().poll(cx),
        }
    })
    .await;
    if let refused @ 1.. = watch.unserved() {
        super::refuse_streams(&counters, ends.0, refused);
    }
    ended
}

async fn secure<S: Service, T: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: &Rc<Worker<S>>,
    mut stream: T,
    (peer, local): (SocketAddr, SocketAddr),
    entry: &Entry,
    watch: Rc<Watch>,
) -> Result<(), ConnectionError> {
    // Boxed, both: those on clear text and without a proxy before them need no room for it.
    let limit = worker.rules().settings.handshake_timeout;
    let passed = if entry.proxied { Box::pin(introduced(&mut stream, limit)).await? } else { None };
    let accepted = Accepted { serial: super::next_serial(), peer, local, passed, tls: None };
    let tls = worker
        .rules()
        .settings
        .tls
        .as_ref()
        .filter(|_| entry.tls)
        .map(|tls| tls.config(entry.http2, entry.client_certificate));
    match tls {
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            Box::pin(shake_hands(worker, handshake, (accepted, entry), watch)).await
        }
        None => converse(worker, stream, accepted, watch, Protocol::Unknown).await,
    }
}

async fn shake_hands<S: Service, T: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: &Rc<Worker<S>>,
    handshake: tokio_rustls::Accept<T>,
    (accepted, entry): (Accepted, &Entry),
    watch: Rc<Watch>,
) -> Result<(), ConnectionError> {
    let stream = tokio::time::timeout(worker.rules().settings.handshake_timeout, handshake).await;
    let handshakes = &worker.counters.handshakes;
    let stream = stream.map_err(|_| ConnectionError::HandshakeTimeout)?.map_err(|error| {
        handshakes.fail(&error);
        ConnectionError::Handshake(error)
    })?;
    handshakes.complete(stream.get_ref().1);
    let protocol = if stream.get_ref().1.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
    let accepted = Accepted { tls: Some(settled(&stream, entry)), ..accepted };
    converse(worker, Box::new(stream), accepted, watch, protocol).await
}

/// What the peer says of the client that it speaks for.
async fn introduced(
    stream: &mut (impl AsyncRead + Unpin),
    limit: Duration,
) -> Result<Option<proxy_protocol::Passed>, ConnectionError> {
    let header = tokio::time::timeout(limit, proxy_protocol::receive(stream)).await;
    let header = header.map_err(|_| ConnectionError::ProxyHeaderTimeout)?.map_err(ConnectionError::ProxyHeader)?;
    Ok(match header {
        proxy_protocol::Header::Passed(passed) => Some(passed),
        proxy_protocol::Header::Local | proxy_protocol::Header::Unknown => None,
    })
}

fn settled<T>(stream: &TlsStream<T>, entry: &Entry) -> Handshake {
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    };
    let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
    let cipher = suite.and_then(|suite| suite.as_str()).unwrap_or_default().to_owned();
    let client = session.peer_certificates().map(|chain| {
        let certificates = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Arc::new(ClientChain { certificates, verified: entry.client_certificate.is_verified() })
    });
    Handshake { version, cipher, server_name: session.server_name().map(Arc::from), client }
}

/// What the client speaks, as far as TLS settled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Unknown,
    Http1,
    Http2,
}

async fn converse<S: Service, T: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: &Rc<Worker<S>>,
    io: T,
    accepted: Accepted,
    watch: Rc<Watch>,
    protocol: Protocol,
) -> Result<(), ConnectionError> {
    let service = worker.service.clone();
    let session = Rc::new(service.open(accepted));
    let refuse = {
        let (service, session) = (service.clone(), session.clone());
        Box::new(move |malformed| service.refuse(&session, malformed))
    };
    let mut io = ClientIo::new(io, watch.clone(), worker.rules().settings.uri_bytes, refuse);
    let is_http2 = match protocol {
        Protocol::Unknown => io.speaks_http2().await.map_err(ConnectionError::Read)?,
        Protocol::Http1 => false,
        Protocol::Http2 => true,
    };
    let (follows, of, counters) = (service.clone(), session.clone(), worker.counters.clone());
    let serve = {
        let watch = watch.clone();
        move |request: Request<Incoming>| {
            counters.requests.fetch_add(1, Ordering::Relaxed);
            answer(service.clone(), session.clone(), watch.clone(), Box::new(request))
        }
    };
    if is_http2 {
        let rules = worker.rules();
        watch.multiplex(rules.settings.http2_control_frames);
        let connection = rules.http2.serve_connection(TokioIo::new(io), service_fn(serve));
        return Box::pin(async move { drive(pin!(connection), &watch).await.map(drop) }).await;
    }
    loop {
        let connection = worker.rules().http1.serve_connection(TokioIo::new(io), service_fn(serve.clone()));
        let mut connection = Box::new(connection);
        let end = drive(Pin::new(&mut *connection), &watch).await?;
        let parts = connection.into_parts();
        io = parts.io.into_inner();
        if end == End::Closed {
            if let Some(afterwards) = follows.afterwards(&of) {
                watch.leave_http();
                afterwards(Box::new(io.into_io()), parts.read_buf).await;
            }
            return Ok(());
        }
        worker.counters.slept.fetch_add(1, Ordering::Relaxed);
        if !io.sleep(parts.read_buf).await.map_err(ConnectionError::Read)? {
            return Ok(());
        }
    }
}

/// A connection that can be told to end after its open requests.
trait Graceful: Future<Output = hyper::Result<()>> {
    /// The first order at which to tell it. HTTP/2 can say which requests it still answers; HTTP/1 can only close.
    const TOLD_AT: Order;

    fn finish(self: Pin<&mut Self>);
}

impl<I, B, S> Graceful for http1::Connection<I, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    const TOLD_AT: Order = Order::Finish;

    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, B, S, E> Graceful for http2::Connection<I, S, E>
where
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
{
    const TOLD_AT: Order = Order::Retire;

    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// How a connection came out of its HTTP engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It has ended, or left HTTP.
    Closed,
    /// It waits for the next request, and its engine takes more memory than it is worth.
    Asleep,
}

async fn drive<C: Graceful>(mut connection: Pin<&mut C>, watch: &Watch) -> Result<End, ConnectionError> {
    let mut was_told = false;
    let ended = poll_fn(|cx| {
        if watch.is_asleep() {
            return Poll::Ready(Ok(End::Asleep));
        }
        loop {
            let polled = connection.as_mut().poll(cx).map_ok(|()| End::Closed);
            // An engine that is told before it has read anything closes, though the first request may be on its way.
            if polled.is_ready() || was_told || watch.order() < C::TOLD_AT || watch.is_fresh() {
                return polled;
            }
            was_told = true;
            connection.as_mut().finish();
        }
    });
    Ok(ended.await?)
}

async fn answer<S: Service>(
    service: Rc<S>,
    session: Rc<S::Session>,
    watch: Rc<Watch>,
    request: Box<Request<Incoming>>,
) -> Result<Response<Tracked<S::Body>>, Infallible> {
    let open = watch.begin();
    let flaw = watch.head.borrow_mut().judge().or_else(|| flaw_of_coding(&request));
    let mut answer = if let Some(flaw) = flaw {
        closing(service.refuse(&session, flaw))
    } else {
        let serving = pin!(service.clone().serve(session.clone(), request));
        match Caught(serving).await {
            Some(answer) => answer,
            None => closing(service.refuse(&session, Malformed::Crashed)),
        }
    };
    if watch.order() == Order::Retire && !watch.is_multiplexed() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer.map(|body| Tracked::new(body, open)))
}

/// Whether something else than one `chunked` was done to the body. Targets are not told of codings, so there must be none.
fn flaw_of_coding(request: &Request<Incoming>) -> Option<Malformed> {
    if request.body().size_hint().upper().is_some() {
        return None;
    }
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    let is_fit = codings.next().is_none_or(is_chunked) && codings.next().is_none();
    (!is_fit).then_some(Malformed::Coding)
}

/// After this answer the connection closes.
fn closing<B: From<Bytes>>(mut answer: Response<Bytes>) -> Response<B> {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer.map(B::from)
}

/// A future whose panic becomes `None`. What it had borrowed is not used again: it is dropped with its request.
struct Caught<'a, F>(Pin<&'a mut F>);

impl<F: Future> Future for Caught<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Some),
            Err(_) => {
                tracing::error!("answering a request panicked");
                Poll::Ready(None)
            }
        }
    }
}

/// The body of an answer; its request is open until it is dropped.
struct Tracked<B> {
    body: B,
    /// Whether it waits for the window of an HTTP/2 client: before it is asked at all, and with a piece that was handed over.
    /// The engine asks again when that piece has left.
    is_held: bool,
    /// Whether a piece was handed over, and whether it was the last.
    gave: bool,
    ended: bool,
    open: Open,
}

impl<B: Body> Tracked<B> {
    fn new(body: B, open: Open) -> Self {
        let is_held = open.is_multiplexed() && !body.is_end_stream();
        if is_held {
            open.hold();
        }
        Self { body, is_held, gave: false, ended: false, open }
    }
}

impl<B> Tracked<B> {
    /// It was asked, and gave a piece or none.
    fn note(&mut self, gives: bool, ended: bool) {
        if self.gave {
            self.open.went_on();
        }
        match (self.is_held, gives) {
            (false, true) => self.open.hold(),
            (true, false) => self.open.release(),
            (false, false) | (true, true) => {}
        }
        (self.is_held, self.gave, self.ended) = (gives, gives, ended);
    }
}

impl<B> Drop for Tracked<B> {
    fn drop(&mut self) {
        if self.gave && self.ended {
            self.open.went_on();
        }
        if self.is_held {
            self.open.release();
        }
    }
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if this.open.is_multiplexed() {
            this.note(matches!(polled, Poll::Ready(Some(Ok(_)))), this.body.is_end_stream());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
