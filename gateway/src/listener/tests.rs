//! A listener with a service of its own, over real sockets.

use std::{
    cell::Cell,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::{rules::Local, *};
use crate::{
    shutdown::{Drain, Ending},
    tls::{self, DefaultCertificate, Resolver},
};

/// Says what it knows of a request; `/panic` panics, `/wait` takes half a second.
struct Describe {
    panics: Cell<u32>,
}

struct Said(Full<Bytes>);

impl From<Bytes> for Said {
    fn from(bytes: Bytes) -> Self {
        Self(Full::new(bytes))
    }
}

impl hyper::body::Body for Said {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx).map_err(|never| match never {})
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.0.size_hint()
    }
}

impl Service for Describe {
    type Body = Said;
    type Session = Accepted;

    fn open(&self, accepted: Accepted) -> Accepted {
        accepted
    }

    async fn serve(self: Rc<Self>, session: Rc<Accepted>, request: Box<Request<Incoming>>) -> Response<Said> {
        match request.uri().path() {
            "/panic" => {
                self.panics.set(self.panics.get() + 1);
                panic!("on purpose");
            }
            "/wait" => std::future::pending().await,
            _ => {}
        }
        let tls = session.tls.as_ref().map_or("plain", |tls| tls.version);
        let name = session.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).unwrap_or("-");
        let text = format!("{:?} {tls} {name} {}", request.version(), self.panics.get());
        Response::new(Bytes::from(text).into())
    }

    fn refuse(&self, _session: &Accepted, malformed: Malformed) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::from(format!("{malformed:?}")));
        *answer.status_mut() = StatusCode::IM_A_TEAPOT;
        answer
    }
}

struct Running {
    plain: SocketAddr,
    tls: SocketAddr,
    counters: Arc<Counters>,
    end: Drain,
    worker: thread::JoinHandle<Drained>,
}

fn start(settings: Settings) -> Running {
    serving(sockets(), with_tls(settings))
}

/// One for clear text, one for TLS.
fn sockets() -> Vec<Bound> {
    let place = Place::Tcp("127.0.0.1:0".parse().unwrap());
    let entry = |tls| Entry { tls, http2: tls, ..Entry::new(place.clone()) };
    bind("proxy", &[entry(false), entry(true)], 1, &mut Inherited::default()).unwrap().remove(0)
}

fn with_tls(mut settings: Settings) -> Settings {
    let resolver = Resolver::new(&DefaultCertificate::generate().unwrap());
    settings.tls = Some(tls::server_tls(Arc::new(resolver)).unwrap());
    settings
}

fn serving(sockets: Vec<Bound>, settings: Settings) -> Running {
    run(sockets, settings, false)
}

/// With `closing`, the end was asked for before anything is served.
fn run(sockets: Vec<Bound>, settings: Settings, closing: bool) -> Running {
    let (plain, tls) = (sockets[0].address(), sockets[sockets.len() - 1].address());
    let (end, counters) = (Drain::default(), Arc::<Counters>::default());
    if closing {
        end.advance(Ending::Close);
    }
    let (signal, counted) = (end.clone(), counters.clone());
    let worker = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        let service = Rc::new(Describe { panics: Cell::new(0) });
        let serving =
            async move { serve(sockets, service, watch::channel(settings).1, counted, signal).await.unwrap() };
        runtime.unwrap().block_on(serving)
    });
    Running { plain, tls, counters, end, worker }
}

fn ask(address: SocketAddr, raw: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(raw.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The answer to a GET over HTTP/2 on this stream.
async fn ask_http2<T>(io: T, uri: &str) -> String
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let handshake = hyper::client::conn::http2::Builder::new(Local).handshake(TokioIo::new(io)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::task::spawn_local(connection);
    let request = Request::get(uri).body(Full::<Bytes>::default()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap().block_on(future)
}

async fn tls_stream(address: SocketAddr, protocol: &[u8]) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    shake_hands(tokio::net::TcpStream::connect(address).await.unwrap(), protocol).await
}

async fn shake_hands(
    stream: tokio::net::TcpStream,
    protocol: &[u8],
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let mut config = tls::client_config(false).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("some.test").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

#[test]
fn clear_text_is_http_1_or_http_2_with_prior_knowledge() {
    let running = start(Settings::default());
    let answer = ask(running.plain, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\nHTTP/1.1 plain - 0"), "{answer}");
    // Begins like HTTP/2 and is not.
    let answer = ask(running.plain, "PRI /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\nHTTP/1.1 plain - 0"), "{answer}");
    let answer = block_on(async {
        let stream = tokio::net::TcpStream::connect(running.plain).await.unwrap();
        ask_http2(stream, "http://a/").await
    });
    assert_eq!(answer, "HTTP/2.0 plain - 0");
}

#[test]
fn tls_settles_the_protocol_and_tells_the_name() {
    let running = start(Settings::default());
    let answer = block_on(async { ask_http2(tls_stream(running.tls, b"h2").await, "https://a/").await });
    assert_eq!(answer, "HTTP/2.0 TLSv1.3 some.test 0");
    let answer = block_on(async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tls_stream(running.tls, b"http/1.1").await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    assert!(answer.ends_with("\r\n\r\nHTTP/1.1 TLSv1.3 some.test 0"), "{answer}");
}

#[test]
fn a_panic_ends_one_connection_and_nothing_else() {
    let running = start(Settings::default());
    let answer = ask(running.plain, "GET /panic HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 418 ") && answer.ends_with("\r\n\r\nCrashed"), "{answer}");
    let answer = ask(running.plain, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(answer.ends_with(" 1"), "{answer}");
}

#[test]
fn the_answer_to_a_broken_request_survives_what_the_client_still_sends() {
    let running = start(Settings::default());
    let mut stream = TcpStream::connect(running.plain).unwrap();
    let flood = format!("GARBAGE\r\n\r\n{}", "x".repeat(300_000));
    stream.write_all(flood.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(50));
    let _ = stream.write_all(b"even more");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 418 ") && answer.ends_with("\r\n\r\nRequest"), "{answer}");
}

#[test]
fn idle_silent_and_unfinished_connections_end_at_their_limits() {
    let second = Duration::from_secs(1);
    let running = start(Settings { idle_timeout: second, head_timeout: second, ..Settings::default() });
    for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let begun = Instant::now();
        ask(running.plain, sent);
        let took = begun.elapsed();
        assert!((second..second * 20).contains(&took), "{sent:?} took {took:?}");
    }
    until("no connection is left", || running.counters.active() == 0);
}

/// Waits until this holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `count` connections slept.
fn await_sleep(running: &Running, count: u64) {
    until("somebody slept", || running.counters.slept.load(Ordering::Relaxed) >= count);
}

/// The next answer, whose body is `HTTP/1.1 plain - 0`.
fn next_answer(stream: &mut impl std::io::Read) -> String {
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b" - 0") {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_connection_that_slept_takes_its_next_request_like_any_other() {
    let running = start(Settings::default());
    let mut stream = TcpStream::connect(running.plain).unwrap();
    for count in 1..=2 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        assert!(next_answer(&mut stream).starts_with("HTTP/1.1 200 "));
        await_sleep(&running, count);
    }
    // Byte by byte, to go through every way of waking up.
    for byte in b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("plain - 0"), "{answer}");
}

#[test]
fn half_a_request_that_came_with_the_one_before_is_kept_and_has_its_limit() {
    let running = start(Settings { head_timeout: Duration::from_secs(6), ..Settings::default() });
    for rest in ["host: a\r\nconnection: close\r\n\r\n", ""] {
        let slept = running.counters.slept.load(Ordering::Relaxed);
        let mut stream = TcpStream::connect(running.plain).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\n").unwrap();
        next_answer(&mut stream);
        await_sleep(&running, slept + 1);
        stream.write_all(rest.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.ends_with("plain - 0"), !rest.is_empty(), "{answer}");
    }
    // Counted when the connection is gone.
    let refused = || running.counters.refused[Refusal::HeadTimeout as usize].load(Ordering::Relaxed);
    until("it is counted", || refused() > 0);
    assert_eq!(refused(), 1);
}

#[test]
fn a_drain_ends_connections_that_sleep() {
    let running = start(Settings::default());
    let mut stream = TcpStream::connect(running.plain).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    next_answer(&mut stream);
    await_sleep(&running, 1);
    running.end.advance(Ending::Close);
    assert_eq!(running.worker.join().unwrap(), Drained { finished: 1, cut: 0 });
    assert_eq!(stream.read(&mut [0; 64]).unwrap(), 0);
}

#[test]
fn a_client_that_leaves_while_its_connection_sleeps_is_noticed_with_tls_too() {
    let running = start(Settings::default());
    block_on(async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tls_stream(running.tls, b"http/1.1").await;
        for count in 1..=2 {
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            await_sleep(&running, count);
        }
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 0);
    });
    until("no connection is left", || running.counters.active() == 0);
}

/// New connections have as long as a busy machine may take.
fn patient() -> Settings {
    Settings { newcomer_timeout: Duration::from_secs(60), grace: Duration::from_secs(60), ..Settings::default() }
}

#[test]
fn what_waits_to_be_accepted_at_the_end_is_answered() {
    let sockets = sockets();
    let address = sockets[0].address();
    let ask = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        stream
    };
    // More than a task of the runtime may do at once.
    let waiting: Vec<_> = (0..150).map(ask).collect();
    let running = run(sockets, with_tls(patient()), true);
    for mut stream in waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(running.worker.join().unwrap(), Drained { finished: 150, cut: 0 });
}

#[test]
fn a_handshake_that_has_begun_at_the_end_leads_to_one_answer() {
    for protocol in [&b"http/1.1"[..], b"h2"] {
        let sockets = sockets();
        let stream = TcpStream::connect(sockets[1].address()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let running = run(sockets, with_tls(patient()), true);
        let answer = block_on(async {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let mut stream = shake_hands(tokio::net::TcpStream::from_std(stream).unwrap(), protocol).await;
            if protocol == b"h2" {
                return ask_http2(stream, "https://a/").await;
            }
            stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        });
        assert!(answer.ends_with("TLSv1.3 some.test 0"), "{answer}");
        running.worker.join().unwrap();
    }
}

#[test]
fn what_outlasts_the_grace_period_is_cut() {
    let running = start(Settings { grace: Duration::from_millis(100), ..Settings::default() });
    let mut stream = TcpStream::connect(running.plain).unwrap();
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    until("a request is begun", || running.counters.requests.load(Ordering::Relaxed) > 0);
    running.end.advance(Ending::Close);
    assert_eq!(running.worker.join().unwrap(), Drained { finished: 0, cut: 1 });
    assert_eq!(stream.read(&mut [0; 64]).unwrap_or(0), 0);
}

#[test]
fn a_connection_that_retires_is_asked_to_leave_with_its_next_answer() {
    let running = start(Settings::default());
    let mut stream = TcpStream::connect(running.plain).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert!(!next_answer(&mut stream).contains("close"));
    running.end.advance(Ending::Retire);
    // The worker may hear of it only after some answers.
    loop {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let answer = next_answer(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        if answer.contains("connection: close\r\n") {
            break;
        }
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert_eq!(running.worker.join().unwrap(), Drained { finished: 0, cut: 0 });
}

#[test]
fn a_second_order_cuts_what_is_open() {
    let running = start(Settings::default());
    let mut stream = TcpStream::connect(running.plain).unwrap();
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    until("a request is begun", || running.counters.requests.load(Ordering::Relaxed) > 0);
    running.end.advance(Ending::Close);
    running.end.advance(Ending::Cut);
    assert_eq!(running.worker.join().unwrap(), Drained { finished: 0, cut: 1 });
}

#[test]
fn a_unix_socket_serves_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.sock");
    let mut sockets = bind("proxy", &[Entry::new(Place::Unix(path.clone()))], 1, &mut Inherited::default()).unwrap();
    let running = serving(sockets.remove(0), Settings::default());
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nHTTP/1.1 plain - 0"), "{answer}");
    running.end.advance(Ending::Close);
    running.worker.join().unwrap();
}
