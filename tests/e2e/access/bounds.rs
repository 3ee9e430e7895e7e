//! What strangers and the clumsy can use up.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{BOOTSTRAP, close};
use crate::harness::{Call, TestGateway, Wire, exchange, read_until};

#[tokio::test]
async fn after_ten_failures_a_client_is_told_to_wait_but_a_valid_token_works() {
    let gateway = TestGateway::new().setting("SANDGATE_ADMIN_TOKEN", BOOTSTRAP).start().await;
    let guesser = gateway.admin.with_token("sgt_0123456789ab_guess");
    for _ in 0..10 {
        guesser.get("/").await.expect(401);
    }
    let answer = guesser.get("/").await.expect(429);
    assert!((1..=60).contains(&answer.header("retry-after").parse::<u32>().unwrap()));
    assert_eq!(answer.json(), json!({ "message": "too many failed attempts" }));
    gateway.admin.with_token(BOOTSTRAP).get("/").await.expect(200);
    gateway.process.log.lines("was denied", 10, Duration::from_secs(30)).await.unwrap();
    let log = gateway.process.log.all();
    assert_eq!(log.matches("was denied").count(), 10, "{log}");
}

#[tokio::test]
async fn a_head_that_comes_in_drops_is_cut_off() {
    let gateway = TestGateway::new().setting("SANDGATE_ADMIN_HEADER_TIMEOUT", "1s").start().await;
    for begin in ["", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        let (mut stream, start) = (TcpStream::connect(gateway.admin.address).await.unwrap(), Instant::now());
        stream.write_all(begin.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "no such text").await;
        assert!(start.elapsed() < Duration::from_secs(15), "{begin:?} {answer}");
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let gateway = TestGateway::new().setting("SANDGATE_ADMIN_BODY_TIMEOUT", "1s").start().await;
    let head = "POST /services HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let answer = exchange(gateway.admin.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn headers_and_bodies_that_are_too_long_are_refused() {
    let gateway = TestGateway::new()
        .setting("SANDGATE_ADMIN_BODY_LIMIT", "64KiB")
        .setting("SANDGATE_ADMIN_HEADER_LIMIT", "8KiB")
        .start()
        .await;
    let long = json!({ "host": "a.test", "name": "a".repeat(70_000) });
    gateway.admin.post("/services", long).await.expect(413);
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(20_000));
    let answer = exchange(gateway.admin.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_at_once() {
    let gateway = TestGateway::new().setting("SANDGATE_ADMIN_CONNECTIONS", "2").start().await;
    let held = [TcpStream::connect(gateway.admin.address).await, TcpStream::connect(gateway.admin.address).await];
    gateway.until(async || gateway.admin.call("GET /").try_send().await.is_err()).await;
    drop(held);
    gateway.until(async || gateway.admin.call("GET /").try_send().await.is_ok()).await;
    let metrics = Call::new(gateway.process.at.status, "GET /metrics").send().await.text();
    assert!(metrics.contains("sandgate_admin_connections_refused_total{api=\"admin\"}"), "{metrics}");
}

#[tokio::test]
async fn a_stranger_is_answered_before_a_body_is_read() {
    let gateway = TestGateway::new().start().await;
    close(&gateway).await;
    let head = "POST /modules HTTP/1.1\r\nhost: a\r\ncontent-length: 60000000\r\nexpect: 100-continue\r\n\r\n";
    let answer = exchange(gateway.admin.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test]
async fn the_admin_api_speaks_tls_with_a_certificate_of_its_own_making() {
    let gateway = TestGateway::new().setting("SANDGATE_ADMIN_LISTEN", "127.0.0.1:0 ssl http2").start().await;
    for wire in [Wire::Tls, Wire::TlsHttp2] {
        gateway.admin.call("GET /services").over(wire).send().await.expect(200);
    }
    assert!(gateway.admin.call("GET /services").try_send().await.is_err());
    let root = gateway.admin.call("POST /services").over(Wire::TlsHttp2).json(&json!({ "host": "a.test" }));
    root.send().await.expect(201);
}
