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
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Worker,
    bind::Entry,
    io::ClientIo,
    service::{Accepted, Handshake, Malformed, Service},
    watch::{Open, Order, Watch},
};

/// Why a connection ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the TLS handshake took too long")]
    HandshakeTimeout,
    #[error("reading from the client failed")]
    Read(#[source] io::Error),
    #[error("the HTTP exchange broke off")]
    Http(#[from] hyper::Error),
    #[error("the connection was cut")]
    Cut,
}

/// Serves an accepted connection until it ends.
pub(super) async fn run<S: Service>(
    worker: Rc<Worker<S>>,
    stream: TcpStream,
    peer: SocketAddr,
    entry: Entry,
) -> Result<(), ConnectionError> {
    let place = worker.registry.enter();
    let watch = place.watch.clone();
    let mut serving = pin!(secure(&worker, stream, peer, entry, watch.clone()));
    let mut is_known = false;
    poll_fn(|cx| {
        if !is_known {
            watch.keep_waker(cx);
            is_known = true;
        }
        match watch.order() {
            Order::Cut => Poll::Ready(Err(ConnectionError::Cut)),
            Order::None | Order::Finish => serving.as_mut().poll(cx),
        }
    })
    .await
}

async fn secure<S: Service>(
    worker: &Rc<Worker<S>>,
    stream: TcpStream,
    peer: SocketAddr,
    entry: Entry,
    watch: Rc<Watch>,
) -> Result<(), ConnectionError> {
    let local = local_address(&stream, &entry).map_err(ConnectionError::Read)?;
    let accepted = Accepted { serial: super::next_serial(), peer, local, tls: None };
    let Some(tls) = worker.settings.tls.as_ref().filter(|_| entry.tls) else {
        return converse(worker, stream, accepted, watch, Protocol::Unknown).await;
    };
    let handshake = TlsAcceptor::from(tls.config(entry.http2)).accept(stream);
    let stream = tokio::time::timeout(worker.settings.handshake_timeout, handshake).await;
    let stream = stream.map_err(|_| ConnectionError::HandshakeTimeout)?.map_err(ConnectionError::Handshake)?;
    let protocol = if stream.get_ref().1.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
    let accepted = Accepted { tls: Some(settled(&stream)), ..accepted };
    converse(worker, Box::new(stream), accepted, watch, protocol).await
}

/// The address that the client connected to; the system is asked only where the listener has many.
fn local_address(stream: &TcpStream, entry: &Entry) -> io::Result<SocketAddr> {
    if entry.address.ip().is_unspecified() { stream.local_addr() } else { Ok(entry.address) }
}

fn settled(stream: &TlsStream<TcpStream>) -> Handshake {
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    };
    let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
    let cipher = suite.and_then(|suite| suite.as_str()).unwrap_or_default().to_owned();
    Handshake { version, cipher, server_name: session.server_name().map(Arc::from) }
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
    let mut io = ClientIo::new(io, watch.clone(), worker.settings.uri_bytes, refuse);
    let is_http2 = match protocol {
        Protocol::Unknown => io.speaks_http2().await.map_err(ConnectionError::Read)?,
        Protocol::Http1 => false,
        Protocol::Http2 => true,
    };
    let (follows, of) = (service.clone(), session.clone());
    let service = {
        let (watch, counters) = (watch.clone(), worker.counters.clone());
        service_fn(move |request| {
            counters.requests.fetch_add(1, Ordering::Relaxed);
            answer(service.clone(), session.clone(), watch.clone(), request)
        })
    };
    if is_http2 {
        watch.multiplex();
        drive(pin!(worker.http2.serve_connection(TokioIo::new(io), service)), &watch).await
    } else {
        let mut connection = worker.http1.serve_connection(TokioIo::new(io), service);
        drive(Pin::new(&mut connection), &watch).await?;
        if let Some(afterwards) = follows.afterwards(&of) {
            watch.leave_http();
            let parts = connection.into_parts();
            afterwards(Box::new(parts.io.into_inner().into_io()), parts.read_buf).await;
        }
        Ok(())
    }
}

/// A connection that can be told to end after its open requests.
trait Graceful: Future<Output = hyper::Result<()>> {
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
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

async fn drive<C: Graceful>(mut connection: Pin<&mut C>, watch: &Watch) -> Result<(), ConnectionError> {
    let mut was_told = false;
    let ended = poll_fn(|cx| {
        if !was_told && watch.order() != Order::None {
            was_told = true;
            connection.as_mut().finish();
        }
        connection.as_mut().poll(cx)
    });
    Ok(ended.await?)
}

async fn answer<S: Service>(
    service: Rc<S>,
    session: Rc<S::Session>,
    watch: Rc<Watch>,
    request: Request<Incoming>,
) -> Result<Response<Tracked<S::Body>>, Infallible> {
    let open = watch.begin();
    let two_lengths = watch.head.take().has_two_lengths() && request.headers().contains_key(header::TRANSFER_ENCODING);
    let answer = if two_lengths {
        closing(service.refuse(&session, Malformed::Request))
    } else {
        let serving = pin!(service.clone().serve(session.clone(), request));
        match Caught(serving).await {
            Some(answer) => answer,
            None => closing(service.refuse(&session, Malformed::Crashed)),
        }
    };
    Ok(answer.map(|body| Tracked { body, _open: open }))
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
    _open: Open,
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
