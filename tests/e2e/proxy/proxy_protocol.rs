//! Connections that begin with a PROXY header: from load balancers, from strangers, and from those who never get there.

use std::time::Duration;

use http::Request;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

use crate::harness::{Client, Gateway, TestGateway, TestTarget, Wire, connect_tls, exchange, full, read_until};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n";
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x2b\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\
\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\x12\x67\x01\xbb\x04\0\x04more";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nx-real-ip: 6.6.6.6\r\nconnection: close\r\n\r\n";

async fn behind_a_balancer(target: &TestTarget, trusted: &str) -> Gateway {
    behind_an_impatient_balancer(target, trusted, "60s").await
}

/// As `behind_a_balancer`, with so much time for a header.
async fn behind_an_impatient_balancer(target: &TestTarget, trusted: &str, time: &str) -> Gateway {
    let gateway = TestGateway::new()
        .setting("SANDGATE_PROXY_LISTEN", "127.0.0.1:0 proxy_protocol, 127.0.0.1:0 ssl http2 proxy_protocol")
        .setting("SANDGATE_TRUSTED_IPS", trusted)
        .setting("SANDGATE_REAL_IP_HEADER", "proxy_protocol")
        .setting("SANDGATE_CLIENT_HANDSHAKE_TIMEOUT", time)
        .route("/", [target])
        .start()
        .await;
    gateway.applied().await;
    gateway
}

/// Whether the echo of a target has this header.
fn saw(answer: &str, name: &str, value: &str) -> bool {
    answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("[\"{name}\",\"{value}\"]"))
}

#[tokio::test]
async fn a_trusted_peer_names_the_client() {
    let target = TestTarget::echoing().await;
    let gateway = behind_a_balancer(&target, "127.0.0.1").await;
    for (header, client) in [(LINE, "192.0.2.1"), (BINARY, "2001:db8::1"), (LOCAL, "127.0.0.1")] {
        let answer = exchange(gateway.proxy(), &[header, REQUEST].concat()).await;
        assert!(saw(&answer, "x-real-ip", client), "{client}: {answer}");
        assert!(saw(&answer, "x-forwarded-for", "127.0.0.1"), "the peer itself: {answer}");
    }
}

#[tokio::test]
async fn what_a_stranger_says_is_read_and_not_believed() {
    let target = TestTarget::echoing().await;
    let gateway = behind_a_balancer(&target, "10.0.0.0/8").await;
    let answer = exchange(gateway.proxy(), &[LINE, REQUEST].concat()).await;
    assert!(saw(&answer, "x-real-ip", "127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_header_comes_before_tls() {
    let target = TestTarget::echoing().await;
    let gateway = behind_a_balancer(&target, "127.0.0.1").await;
    let mut stream = TcpStream::connect(gateway.proxy_tls()).await.unwrap();
    stream.write_all(LINE).await.unwrap();
    let mut stream = connect_tls(stream, "http/1.1").await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(saw(&answer, "x-real-ip", "192.0.2.1"), "{answer}");
}

#[tokio::test]
async fn a_header_may_come_in_pieces() {
    let target = TestTarget::echoing().await;
    let gateway = behind_a_balancer(&target, "127.0.0.1").await;
    for header in [LINE, BINARY] {
        let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in [header, REQUEST].concat().chunks(7) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = read_until(&mut stream, "no such text").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn without_a_valid_header_there_is_no_answer() {
    let target = TestTarget::echoing().await;
    let gateway = behind_a_balancer(&target, "127.0.0.1").await;
    let cases: [&[u8]; 4] =
        [b"", b"PROXY TCP4 192.0.2.1 192.0.2.9 4711\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c", b"\n"];
    for (number, header) in cases.into_iter().enumerate() {
        let answer = exchange(gateway.proxy(), &[header, REQUEST].concat()).await;
        assert_eq!(answer, "", "{header:?}");
        gateway.refused("bad-proxy-header", number as u64 + 1).await;
    }
    // Whoever only looks whether anybody listens crosses no limit.
    drop(TcpStream::connect(gateway.proxy()).await.unwrap());
    exchange(gateway.proxy(), &[LINE, REQUEST].concat()).await;
    gateway.refused("bad-proxy-header", cases.len() as u64).await;
    assert_eq!(target.count(), 1);
}

#[tokio::test]
async fn a_slow_header_is_not_waited_for() {
    let target = TestTarget::echoing().await;
    let gateway = behind_an_impatient_balancer(&target, "127.0.0.1", "1s").await;
    let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
    stream.write_all(&LINE[..20]).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0])).await;
    assert!(matches!(waited.expect("it is closed in time"), Ok(0) | Err(_)));
    gateway.refused("proxy-header-timeout", 1).await;
}

#[tokio::test]
async fn a_header_of_a_request_names_nobody_where_the_protocol_does() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new()
        .setting("SANDGATE_TRUSTED_IPS", "127.0.0.1")
        .setting("SANDGATE_REAL_IP_HEADER", "proxy_protocol")
        .route("/", [&target])
        .start()
        .await;
    gateway.applied().await;
    let mut client = Client::connect(gateway.proxy(), Wire::Http1).await.unwrap();
    let request = Request::get("/").header("x-real-ip", "6.6.6.6").header("proxy_protocol", "6.6.6.6");
    let echo = client.send(request.body(full("")).unwrap()).await.unwrap().echo();
    assert_eq!(echo.header("x-real-ip"), "127.0.0.1");
}

#[tokio::test]
async fn peers_at_a_socket_in_the_file_system_can_be_trusted() {
    let target = TestTarget::echoing().await;
    for (trusted, client) in [("unix:", "192.0.2.7"), ("127.0.0.1", "127.0.0.1")] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("proxy.sock");
        let listen = format!("127.0.0.1:0, 127.0.0.1:0 ssl, unix:{}", socket.display());
        let gateway = TestGateway::new()
            .setting("SANDGATE_PROXY_LISTEN", &listen)
            .setting("SANDGATE_TRUSTED_IPS", trusted)
            .route("/", [&target])
            .start()
            .await;
        gateway.applied().await;
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nx-real-ip: 192.0.2.7:4711\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(saw(&answer, "x-real-ip", client), "{trusted}: {answer}");
    }
}
