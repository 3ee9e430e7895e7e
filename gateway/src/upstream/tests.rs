//! The client against targets in threads.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    pin::Pin,
    sync::Arc,
    thread,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;

use super::*;
use crate::tls::{ClientCertificate, DefaultCertificate, Depth, NodeClient, Resolver, Trust, server_tls};

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap().block_on(future)
}

fn client(settings: Settings) -> Client {
    Client::new(settings)
}

fn key(address: SocketAddr) -> PoolKey {
    PoolKey { address, tls: None, protocol: Protocol::Http1 }
}

fn timeouts(read: u64) -> Timeouts {
    let long = Duration::from_secs(60);
    Timeouts { connect: long, write: long, read: Duration::from_millis(read) }
}

fn get() -> Request<RequestBody> {
    Request::get("/").header("host", "a").body(RequestBody::Empty).unwrap()
}

/// Runs `serve` for each connection, in a thread of its own.
fn target(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    address
}

fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return false;
        }
        head.push(byte[0]);
    }
    true
}

/// Answers every request on a connection with these bytes.
fn answering(answer: &'static str) -> SocketAddr {
    target(move |mut stream| {
        while read_head(&mut stream) {
            stream.write_all(answer.as_bytes()).unwrap();
        }
    })
}

async fn text(answer: Response<ResponseBody>) -> Result<String, BodyError> {
    Ok(String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec()).unwrap())
}

#[test]
fn connections_are_used_again_whatever_the_framing() {
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", "ok"),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok"),
    ];
    for (answer, expected) in cases {
        let (address, client) = (answering(answer), client(Settings::default()));
        block_on(async {
            for _ in 0..5 {
                let answer = client.send(&key(address), get(), &timeouts(60_000)).await.unwrap();
                assert_eq!(text(answer).await.unwrap(), expected);
            }
        });
        assert_eq!(client.status(), PoolStatus { idle: 1, reused: 4, stale: 0 }, "{answer}");
    }
}

#[test]
fn connections_that_cannot_be_used_again_are_not_kept() {
    let cases = [
        ("it says so", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", Settings::default()),
        ("it is old", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", Settings::default()),
        (
            "it is worn out",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            Settings { requests_per_connection: 1, ..Settings::default() },
        ),
        (
            "none is kept",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            Settings { pool_size: 0, ..Settings::default() },
        ),
    ];
    for (label, answer, settings) in cases {
        let (address, client) = (answering(answer), client(settings));
        block_on(async {
            let answer = client.send(&key(address), get(), &timeouts(60_000)).await.unwrap();
            assert_eq!(text(answer).await.unwrap(), "ok");
        });
        assert_eq!(client.status().idle, 0, "{label}");
    }
}

#[test]
fn a_body_that_is_not_read_to_its_end_costs_the_connection() {
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\nok");
    let client = client(Settings::default());
    block_on(async { drop(client.send(&key(address), get(), &timeouts(60_000)).await.unwrap()) });
    assert_eq!(client.status().idle, 0);
}

#[test]
fn an_idle_connection_that_its_target_closed_is_noticed() {
    let (close, waits) = std::sync::mpsc::channel();
    let waits = std::sync::Mutex::new(waits);
    let address = target(move |mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        // Closes only when the answer has been taken.
        waits.lock().unwrap().recv().unwrap();
    });
    let client = client(Settings::default());
    block_on(async {
        let answer = client.send(&key(address), get(), &timeouts(60_000)).await.unwrap();
        text(answer).await.unwrap();
        assert_eq!(client.status().idle, 1);
        close.send(()).unwrap();
        while client.status().idle > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            client.tick();
        }
        assert_eq!(client.status(), PoolStatus { idle: 0, reused: 0, stale: 1 });
    });
}

#[test]
fn an_idle_connection_ends_at_its_limit() {
    let address = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let client = client(Settings { idle_timeout: Duration::from_secs(2), ..Settings::default() });
    block_on(async {
        text(client.send(&key(address), get(), &timeouts(60_000)).await.unwrap()).await.unwrap();
        client.tick();
        client.tick();
        assert_eq!(client.status().idle, 1);
        client.tick();
        assert_eq!(client.status(), PoolStatus { idle: 0, reused: 0, stale: 0 });
    });
}

#[test]
fn a_target_that_stops_in_the_middle_of_a_body_times_out() {
    let address = target(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").unwrap();
        thread::sleep(Duration::from_secs(60));
    });
    let client = client(Settings::default());
    let error = block_on(async {
        let answer = client.send(&key(address), get(), &timeouts(2000)).await.unwrap();
        text(answer).await.unwrap_err()
    });
    assert!(matches!(error, BodyError::Timeout(_)), "{error:?}");
}

#[test]
fn a_target_that_breaks_off_a_body_is_an_error() {
    let address = target(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").unwrap();
    });
    let client = client(Settings::default());
    let error = block_on(async {
        let answer = client.send(&key(address), get(), &timeouts(60_000)).await.unwrap();
        text(answer).await.unwrap_err()
    });
    assert!(matches!(error, BodyError::Broken(_)), "{error:?}");
}

/// Two bytes, then nothing more.
struct Stalling(Option<Bytes>);

impl hyper::body::Body for Stalling {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        match self.0.take() {
            Some(bytes) => std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes)))),
            None => std::task::Poll::Pending,
        }
    }
}

#[test]
fn an_upload_that_stalls_is_the_clients_fault_and_one_that_is_not_taken_the_targets() {
    let address = target(|mut stream| {
        read_head(&mut stream);
        thread::sleep(Duration::from_secs(60));
    });
    let client = client(Settings::default());
    let limits = Timeouts { write: Duration::from_millis(50), ..timeouts(60_000) };
    let post = |length| {
        let body = Stalling(Some(Bytes::from(vec![0; length])));
        Request::post("/").header("host", "a").body(RequestBody::Stream(Upload::new(body))).unwrap()
    };
    let stalled = block_on(client.send(&key(address), post(2), &limits)).unwrap_err();
    assert!(matches!(stalled, SendError::Upload(UploadError::Stalled(_))), "{stalled:?}");
    let blocked = block_on(client.send(&key(address), post(64 << 20), &limits)).unwrap_err();
    assert!(matches!(blocked, SendError::WriteTimeout(..)), "{blocked:?}");
}

#[test]
fn tls_targets_need_no_certificate_that_leads_anywhere_unless_asked_for() {
    let resolver = Arc::new(Resolver::new(&DefaultCertificate::generate().unwrap()));
    let config = server_tls(resolver).unwrap().config(false, ClientCertificate::Off);
    let address = target(move |stream| {
        let session = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut stream = rustls::StreamOwned::new(session, stream);
        let mut request = [0; 1024];
        if stream.read(&mut request).is_ok() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let client = client(Settings::default());
    let over_tls = |trust| {
        let settings = TargetTls::new(&trust, None, &NodeClient::default()).unwrap();
        let tls = Some(TlsIdentity { server_name: "localhost".try_into().unwrap(), settings });
        PoolKey { tls, ..key(address) }
    };
    block_on(async {
        let answer = client.send(&over_tls(Trust::Anyone), get(), &timeouts(60_000)).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "ok");
        let refused =
            client.send(&over_tls(Trust::System(Depth::default())), get(), &timeouts(60_000)).await.unwrap_err();
        assert!(matches!(refused, SendError::Connect(..)), "{refused:?}");
    });
}
