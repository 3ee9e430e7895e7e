//! Answers and requests that come piece by piece, and what surrounds them.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Gateway, TestGateway, TestTarget, exchange, read_until};

/// A gateway before a target whose bytes the test writes itself.
async fn before_bytes() -> (Gateway, TcpListener) {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = TestGateway::new().start().await;
    let url = format!("http://{}", target.local_addr().unwrap());
    gateway.admin.create("/services", json!({ "name": "a", "url": url })).await;
    gateway.admin.create("/services/a/routes", json!({ "name": "a", "paths": ["/"] })).await;
    gateway.applied().await;
    (gateway, target)
}

/// Sends a request and accepts it at the target: both connections, and the head that the target got.
async fn ask(gateway: &Gateway, target: &TcpListener, request: &str) -> (TcpStream, TcpStream, String) {
    let mut client = TcpStream::connect(gateway.proxy()).await.unwrap();
    client.set_nodelay(true).unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let (mut upstream, _) = target.accept().await.unwrap();
    upstream.set_nodelay(true).unwrap();
    let head = read_until(&mut upstream, "\r\n\r\n").await;
    (client, upstream, head)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[tokio::test]
async fn events_are_passed_on_as_they_come() {
    let (gateway, target) = before_bytes().await;
    let (mut client, mut upstream, _) = ask(&gateway, &target, GET).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    upstream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").await.contains("text/event-stream"), "the head comes before any event");
    let mut took = Vec::new();
    for number in 0..20 {
        let event = format!("data: {number}\n\n");
        let begun = Instant::now();
        upstream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
        assert!(read_until(&mut client, "\n\n\r\n").await.contains(&event));
        took.push(begun.elapsed());
    }
    took.sort();
    // What holds events back does so to all but the first; a busy machine only to some.
    assert!(took[4] < Duration::from_millis(20), "most events took longer than {:?}", took[4]);
}

#[tokio::test]
async fn trailers_of_an_answer_reach_clients_that_take_them() {
    let (gateway, target) = before_bytes().await;
    let answer =
        "HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n";
    for (te, takes) in [("TE: trailers\r\nConnection: TE\r\n", true), ("", false)] {
        let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{te}\r\n");
        let (mut client, mut upstream, head) = ask(&gateway, &target, &request).await;
        assert_eq!(head.to_lowercase().contains("\r\nte: trailers\r\n"), takes, "{head}");
        upstream.write_all(answer.as_bytes()).await.unwrap();
        let told = read_until(&mut client, if takes { "42\r\n\r\n" } else { "0\r\n\r\n" }).await.to_lowercase();
        assert_eq!(told.contains("\r\n0\r\nx-sum: 42\r\n"), takes, "{told}");
        assert_eq!(told.contains("\r\ntrailer: x-sum\r\n"), takes, "{told}");
    }
}

#[tokio::test]
async fn trailers_of_a_request_reach_the_target() {
    for buffering in [true, false] {
        let (gateway, target) = before_bytes().await;
        let route = json!({ "name": "b", "paths": ["/b"], "request_buffering": buffering });
        gateway.admin.create("/services/a/routes", route).await;
        gateway.applied().await;
        let request = "POST /b HTTP/1.1\r\nHost: a.test\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n";
        let (_client, mut upstream, head) = ask(&gateway, &target, request).await;
        let body =
            if head.ends_with("42\r\n\r\n") { head } else { head + &read_until(&mut upstream, "42\r\n\r\n").await };
        let body = body.to_lowercase();
        assert!(body.ends_with("3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n"), "{buffering}: {body}");
    }
}

#[tokio::test]
async fn interim_answers_of_a_target_are_not_the_answer() {
    let (gateway, target) = before_bytes().await;
    let request = "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let mut client = TcpStream::connect(gateway.proxy()).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"abc").await.unwrap();
    let (mut upstream, _) = target.accept().await.unwrap();
    let head = read_until(&mut upstream, "abc").await.to_lowercase();
    assert!(!head.contains("expect"), "{head}");
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    upstream.write_all(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").as_bytes()).await.unwrap();
    let told = read_until(&mut client, "ok").await;
    assert!(told.starts_with("HTTP/1.1 200 OK") && !told.contains("Early"), "{told}");
}

#[tokio::test]
async fn a_refused_request_is_not_asked_for_its_body() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.plugin("a", "key-auth", json!({})).await;
    gateway.applied().await;
    let request = "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    let mut client = TcpStream::connect(gateway.proxy()).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let told = read_until(&mut client, "\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 401"), "{told}");
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let cases = [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "content-length: 5"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "x-kong-upstream-latency"),
        ("GET", "HTTP/1.1 204 No Content\r\nETag: \"a\"\r\n\r\n", "etag: \"a\""),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n", "etag: \"a\""),
        ("GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", "content-length: 0"),
    ];
    let (gateway, target) = before_bytes().await;
    for (method, answer, expected) in cases {
        // A second request on the connection shows that nothing of a body was sent.
        let request = format!("{method} /one HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let (mut client, mut upstream, _) = ask(&gateway, &target, &request).await;
        upstream.write_all(answer.as_bytes()).await.unwrap();
        let told = read_until(&mut client, "\r\n\r\n").await.to_lowercase();
        assert!(told.contains(expected) && told.ends_with("\r\n\r\n"), "{method} {answer}: {told}");
        assert!(!answer.contains(" 204 ") || !told.contains("content-length"), "{told}");
        client.write_all(b"GET /two HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await.unwrap();
        let again = async {
            let mut first = [0];
            // The gateway goes on with this connection, or makes another.
            tokio::select! {
                Ok(1) = upstream.read(&mut first) => upstream,
                Ok((other, _)) = target.accept() => other,
            }
        };
        let mut upstream = again.await;
        read_until(&mut upstream, "\r\n\r\n").await;
        upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await.unwrap();
        let told = read_until(&mut client, "ok").await;
        assert!(told.starts_with("HTTP/1.1 200 OK"), "{method} {answer}: {told}");
    }
}

#[tokio::test]
async fn http_1_0_clients_get_a_body_that_ends_with_the_connection() {
    let (gateway, target) = before_bytes().await;
    let (mut client, mut upstream, _) = ask(&gateway, &target, "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n").await;
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    upstream.write_all(answer.as_bytes()).await.unwrap();
    let mut told = String::new();
    client.read_to_string(&mut told).await.unwrap();
    assert!(told.ends_with("\r\n\r\nabc") && !told.to_lowercase().contains("transfer-encoding"), "{told}");
}

#[tokio::test]
async fn a_streamed_request_reaches_the_target_before_it_ends() {
    let (gateway, target) = before_bytes().await;
    let route = json!({ "name": "b", "paths": ["/b"], "request_buffering": false });
    gateway.admin.create("/services/a/routes", route).await;
    gateway.applied().await;
    let request = "POST /b HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
    let (mut client, mut upstream, head) = ask(&gateway, &target, request).await;
    let head = if head.contains("one") { head } else { read_until(&mut upstream, "one").await };
    assert!(head.contains("one"), "{head}");
    client.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    assert!(read_until(&mut upstream, "0\r\n\r\n").await.contains("two"));
    upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    assert!(read_until(&mut client, "ok").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_target_may_answer_before_it_has_read_everything() {
    let (gateway, target) = before_bytes().await;
    let request = format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", 1 << 20);
    let mut client = TcpStream::connect(gateway.proxy()).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    client.write_all(&vec![b'x'; 100 << 10]).await.unwrap();
    let (mut upstream, _) = target.accept().await.unwrap();
    read_until(&mut upstream, "\r\n\r\n").await;
    upstream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    let told = read_until(&mut client, "\r\n\r\nno").await;
    assert!(told.starts_with("HTTP/1.1 413"), "{told}");
}

#[tokio::test]
async fn a_long_body_survives_targets_that_cannot_be_reached() {
    let (dead, alive) = (TestTarget::refusing(), TestTarget::swallowing().await);
    let gateway = TestGateway::new().route("/", [&dead, &alive]).start().await;
    for _ in 0..4 {
        let answer = gateway.call("POST /").await.body(vec![b'x'; 1 << 20]).send().await;
        assert_eq!(answer.expect(200).text(), (1 << 20).to_string());
    }
}

#[tokio::test]
async fn a_websocket_target_that_is_asked_plainly_is_answered_for() {
    let target =
        TestTarget::raw(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let told = exchange(gateway.proxy(), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 426"), "{told}");
}
