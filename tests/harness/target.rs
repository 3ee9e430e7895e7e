//! Targets: what the gateway proxies to.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::CertificateDer;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{
    client::{Body, full},
    tls,
};

/// Requests that a target remembers.
const REMEMBERED: usize = 1_000;
/// Bytes in a chunk of a long answer.
const CHUNK: u64 = 64 * 1024;

/// A server in this process; it ends with its value.
pub struct TestTarget {
    pub address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
    /// Keeps the port of a target that refuses.
    _bound: Option<TcpSocket>,
}

#[derive(Debug)]
struct State {
    seen: Mutex<VecDeque<Seen>>,
    count: AtomicU64,
    connections: AtomicU64,
    /// Bytes of bodies received, or sent.
    bytes: AtomicU64,
    /// A permit for each request that has come.
    arrived: Semaphore,
    /// A permit for each request that may be answered.
    released: Semaphore,
}

/// A request as the target saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

type Reply = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>, Arc<State>) -> Reply + Send + Sync>;

impl TestTarget {
    /// Answers every request with this text.
    pub async fn answering(text: &'static str) -> Self {
        Self::replying(move |_| Response::new(full(text))).await
    }

    /// Answers with what it was asked, as JSON.
    pub async fn echoing() -> Self {
        Self::replying(echo).await
    }

    /// As `echoing`, over TLS, with a certificate that nobody vouches for.
    pub async fn echoing_over_tls() -> Self {
        Self::echoing_behind(tls::acceptor().expect("a certificate can be made")).await
    }

    /// As `echoing`, over TLS with this certificate; clients must show one of this authority if there is one.
    pub async fn echoing_as(own: tls::ClientKey, clients: Option<CertificateDer<'static>>) -> Self {
        Self::echoing_behind(tls::acceptor_as(own, clients).expect("settings that fit")).await
    }

    async fn echoing_behind(acceptor: TlsAcceptor) -> Self {
        Self::listening(move |stream, state| {
            let acceptor = acceptor.clone();
            Box::pin(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(
                        stream,
                        Arc::new(|request, state| Box::pin(async move { echo(&state.see(request).await) })),
                        state,
                    )
                    .await;
                }
            })
        })
        .await
    }

    /// Speaks HTTP/2 alone, and gRPC's health protocol in it.
    pub async fn grpc_health(serving: Arc<AtomicBool>) -> Self {
        Self::listening(move |stream, state| Box::pin(serve_health(stream, state, serving.clone()))).await
    }

    /// As `grpc_health`, over TLS as `echoing_as`, to clients who offer HTTP/2.
    pub async fn grpc_health_as(
        serving: Arc<AtomicBool>,
        own: tls::ClientKey,
        clients: Option<CertificateDer<'static>>,
    ) -> Self {
        let acceptor = tls::acceptor_as(own, clients).expect("settings that fit");
        let mut config = (**acceptor.config()).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::listening(move |stream, state| {
            let (acceptor, serving) = (acceptor.clone(), serving.clone());
            Box::pin(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    serve_health(stream, state, serving).await;
                }
            })
        })
        .await
    }

    /// Answers with this status and no body.
    pub async fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status");
        Self::replying(move |_| Response::builder().status(status).body(full("")).expect("a response")).await
    }

    /// Answers with what a function makes of each request.
    pub async fn replying(reply: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static) -> Self {
        let reply = Arc::new(reply);
        Self::serving(Arc::new(move |request, state| {
            let reply = reply.clone();
            Box::pin(async move {
                let seen = state.see(request).await;
                reply(&seen)
            })
        }))
        .await
    }

    /// Answers `done`, but each request only after a `release`.
    pub async fn waiting() -> Self {
        Self::serving(Arc::new(move |request, state| {
            Box::pin(async move {
                state.see(request).await;
                state.released.acquire().await.expect("the semaphore stays open").forget();
                Response::new(full("done"))
            })
        }))
        .await
    }

    /// Answers with so many bytes, as fast as they are taken; no length is announced.
    pub async fn pouring(bytes: u64) -> Self {
        Self::serving(Arc::new(move |request, state| {
            Box::pin(async move {
                state.see(request).await;
                Response::new(Pour { left: bytes, state }.boxed_unsync())
            })
        }))
        .await
    }

    /// Takes bodies without keeping them and answers with their length.
    pub async fn swallowing() -> Self {
        Self::serving(Arc::new(move |request, state| {
            Box::pin(async move {
                let (mut body, mut length) = (request.into_body(), 0);
                while let Some(Ok(frame)) = body.frame().await {
                    length += frame.data_ref().map_or(0, Bytes::len);
                }
                state.bytes.fetch_add(length as u64, Relaxed);
                state.count.fetch_add(1, Relaxed);
                Response::new(full(length.to_string()))
            })
        }))
        .await
    }

    /// Writes these bytes for every request that it gets, whatever it is, and closes.
    pub async fn raw(bytes: &'static [u8]) -> Self {
        Self::listening(move |stream, state| Box::pin(answer_raw(stream, state, bytes))).await
    }

    /// Closes every connection when it has read a request.
    pub async fn closing() -> Self {
        Self::raw(b"").await
    }

    /// Answers the first request of every connection, keeps it open, and closes when the next one comes.
    pub async fn closing_after_one(text: &'static str) -> Self {
        Self::listening(move |stream, state| Box::pin(answer_once(stream, state, text))).await
    }

    /// A port where nobody listens.
    pub fn refusing() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = socket.local_addr().expect("a bound socket");
        Self { address, state: Arc::default(), _tasks: JoinSet::new(), _bound: Some(socket) }
    }

    /// Listen on one port of several addresses; each answers with its address.
    pub async fn neighbours<const N: usize>(addresses: [&'static str; N]) -> [Self; N] {
        let mut listeners = Vec::new();
        while listeners.len() < N {
            // Another process may have the port on one of the addresses.
            listeners.clear();
            let mut port = 0;
            for address in addresses {
                let Ok(listener) = TcpListener::bind((address, port)).await else { break };
                port = listener.local_addr().expect("a bound socket").port();
                listeners.push(listener);
            }
        }
        let mut listeners = listeners.into_iter();
        addresses.map(|text| {
            let handler: Handler = Arc::new(move |request, state| {
                Box::pin(async move {
                    state.see(request).await;
                    Response::new(full(text))
                })
            });
            let serve = move |stream, state| -> Pin<Box<dyn Future<Output = ()> + Send>> {
                Box::pin(serve(stream, handler.clone(), state))
            };
            Self::listening_on(listeners.next().expect("one each"), serve)
        })
    }

    async fn serving(handler: Handler) -> Self {
        Self::listening(move |stream, state| Box::pin(serve(stream, handler.clone(), state))).await
    }

    async fn listening<F>(serve: F) -> Self
    where
        F: Fn(TcpStream, Arc<State>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + 'static,
    {
        Self::listening_on(TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port"), serve)
    }

    fn listening_on<F>(listener: TcpListener, serve: F) -> Self
    where
        F: Fn(TcpStream, Arc<State>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + 'static,
    {
        let (address, state) = (listener.local_addr().expect("a bound socket"), Arc::new(State::default()));
        let (mut tasks, shared) = (JoinSet::new(), state.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Relaxed);
                connections.spawn(serve(stream, shared.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, state, _tasks: tasks, _bound: None }
    }

    /// `http://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests so far.
    pub fn count(&self) -> u64 {
        self.state.count.load(Relaxed)
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Relaxed)
    }

    /// Bytes of bodies so far, of those targets that count them.
    pub fn bytes(&self) -> u64 {
        self.state.bytes.load(Relaxed)
    }

    /// The latest requests.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("no handler panics").iter().cloned().collect()
    }

    /// Waits for the next request that nobody waited for yet.
    pub async fn arrived(&self) {
        let wait = tokio::time::timeout(std::time::Duration::from_secs(30), self.state.arrived.acquire());
        wait.await.expect("a request comes").expect("the semaphore stays open").forget();
    }

    /// Lets one request be answered.
    pub fn release(&self) {
        self.state.released.add_permits(1);
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            count: AtomicU64::default(),
            connections: AtomicU64::default(),
            bytes: AtomicU64::default(),
            arrived: Semaphore::new(0),
            released: Semaphore::new(0),
        }
    }
}

impl State {
    async fn see(&self, request: Request<Incoming>) -> Seen {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        self.remember(Seen { method: head.method, target: head.uri.to_string(), headers: head.headers, body })
    }

    fn remember(&self, seen: Seen) -> Seen {
        let mut all = self.seen.lock().expect("no handler panics");
        if all.len() == REMEMBERED {
            all.pop_front();
        }
        all.push_back(seen.clone());
        self.count.fetch_add(1, Relaxed);
        self.arrived.add_permits(1);
        seen
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, handler: Handler, state: Arc<State>) {
    let service = service_fn(|request| {
        let reply = handler(request, state.clone());
        async { Ok::<_, Infallible>(reply.await) }
    });
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn serve_health<S>(stream: S, state: Arc<State>, serving: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (state, serving) = (state.clone(), serving.clone());
        async move {
            let asked = state.see(request).await;
            assert!(asked.target.ends_with("/grpc.health.v1.Health/Check"), "{asked:?}");
            Ok::<_, Infallible>(health_answer(serving.load(Relaxed)))
        }
    });
    let server = http2::Builder::new(TokioExecutor::new());
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

/// `HealthCheckResponse`, framed, with the status of the call behind it.
fn health_answer(serving: bool) -> Response<Body> {
    let message = Bytes::from(vec![0, 0, 0, 0, 2, 8, if serving { 1 } else { 2 }]);
    let status = HeaderMap::from_iter([(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Full::new(message).with_trailers(async { Some(Ok(status)) }).boxed_unsync();
    Response::builder().header("content-type", "application/grpc").body(body).expect("a response")
}

fn echo(seen: &Seen) -> Response<Body> {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
    };
    let echo = json!({
        "method": seen.method.as_str(),
        "target": seen.target,
        "headers": seen.headers.iter().map(header).collect::<Vec<_>>(),
        "body": String::from_utf8_lossy(&seen.body),
    });
    let response = Response::builder().header("content-type", "application/json").header("x-target", "echo");
    response.body(full(echo.to_string())).expect("a response")
}

/// Bytes that are made, and counted, when hyper wants them.
struct Pour {
    left: u64,
    state: Arc<State>,
}

impl http_body::Body for Pour {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let size = self.left.min(CHUNK);
        if size == 0 {
            return Poll::Ready(None);
        }
        self.left -= size;
        self.state.bytes.fetch_add(size, Relaxed);
        Poll::Ready(Some(Ok(Frame::data(vec![b'x'; usize::try_from(size).expect("a chunk")].into()))))
    }
}

/// Reads to the end of the next head; `None` when the connection ended.
async fn read_head(stream: &mut TcpStream, state: &State) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    state.remember(Seen { method: Method::GET, target, headers: HeaderMap::new(), body: Bytes::new() });
    Some(())
}

async fn answer_raw(mut stream: TcpStream, state: Arc<State>, bytes: &'static [u8]) {
    if read_head(&mut stream, &state).await.is_some() {
        _ = stream.write_all(bytes).await;
        _ = stream.shutdown().await;
    }
}

async fn answer_once(mut stream: TcpStream, state: Arc<State>, text: &'static str) {
    if read_head(&mut stream, &state).await.is_some() {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        _ = stream.write_all(answer.as_bytes()).await;
        _ = stream.read(&mut [0]).await;
    }
}
