use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::harness::{TestGateway, TestTarget, Wire, exchange, read_until};

/// What no server should take, and the status that it gets.
fn cases() -> Vec<(&'static str, String, u16)> {
    let long = "a".repeat(100_000);
    vec![
        ("no HTTP", "hello\r\n\r\n".into(), 400),
        ("no host", "GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), 400),
        (
            "a length and chunks",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
                .into(),
            400,
        ),
        ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".into(), 400),
        ("a length that is none", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".into(), 400),
        ("an unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".into(), 400),
        ("a length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na".into(), 400),
        ("chunks and another coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n".into(), 400),
        ("nearly chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n".into(), 400),
        ("a null in a header", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n".into(), 400),
        ("a space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n".into(), 400),
        ("a folded header", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n".into(), 400),
        ("a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), 400),
        ("an encoding cut short", "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("headers without end", format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 400),
        ("a URI without end", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..20_000]), 414),
    ]
}

#[tokio::test]
async fn requests_that_break_the_rules_are_refused_and_the_connection_is_closed() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    for (label, request, status) in cases() {
        let answer = exchange(gateway.proxy(), request.as_bytes()).await;
        let line = answer.lines().next().unwrap_or_default();
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{label}: {line:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{label}: one answer, then the end");
    }
    assert_eq!(target.count(), 0, "none of it reaches the target");
}

#[tokio::test]
async fn refusals_are_worded_as_kongs() {
    let gateway = TestGateway::new().start().await;
    let answer = exchange(gateway.proxy(), b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(answer.contains("\r\n\r\nBad request\nrequest_id: "), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nserver: sandgate/"), "{answer}");
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let gateway = TestGateway::new().setting("SANDGATE_REQUEST_HEADER_COUNT", "20").start().await;
    let headers: String = (0..30).map(|number| format!("x-{number}: 1\r\n")).collect();
    let answer = exchange(gateway.proxy(), format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    gateway.get("/").await.expect(404);
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let target = TestTarget::answering("again").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let answer = read_until(&mut stream, "again").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
    let requests = "GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(requests.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "no such text").await;
    let (one, two) = (answer.find("\"/one\""), answer.find("\"/two\""));
    assert!(one.is_some() && one < two, "{answer}");
}

#[tokio::test]
async fn http_1_0_gets_an_answer_and_the_end() {
    let target = TestTarget::answering("old").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let answer = exchange(gateway.proxy(), b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.contains(" 200 OK\r\n") && answer.ends_with("\r\n\r\nold"), "{answer}");
}

/// Request lines that few clients send.
const ODD_LINES: &[&str] = &[
    "GET * HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "CONNECT a.test:80 HTTP/1.1",
    "GET http:// HTTP/1.1",
    "GET http://b.test HTTP/1.1",
    "GET ?x=1 HTTP/1.1",
    "GET /%ff%fe HTTP/1.1",
    "GET /% HTTP/1.1",
    "GET /\u{e4} HTTP/1.1",
    "GET /../../../etc/passwd HTTP/1.1",
    "GET /a\\..\\b HTTP/1.1",
    "MADEUP / HTTP/1.1",
    "get / HTTP/1.1",
    "GET / HTTP/3.0",
    "GET / HTTP/1.1 more",
    "GET  / HTTP/1.1",
    "PRI * HTTP/2.0",
];

#[tokio::test]
async fn odd_requests_are_answered_or_refused_and_break_nothing() {
    let target = TestTarget::echoing().await;
    let mut gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    for line in ODD_LINES {
        let answer =
            exchange(gateway.proxy(), format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        assert!(
            ["2", "4", ""].iter().any(|class| status.starts_with(class)) && !status.starts_with('5'),
            "{line}: {answer}"
        );
    }
    assert!(gateway.process.is_alive());
    assert_eq!(gateway.get("/after").await.echo().target(), "/after");
}

#[tokio::test]
async fn too_large_headers_over_http2_are_refused() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let call = gateway.call("GET /").await.over(Wire::Http2).header("x-long", "a".repeat(40_000));
    match call.try_send().await {
        Ok(answer) => assert!([400, 431].contains(&answer.status), "{answer:?}"),
        Err(error) => assert!(format!("{error:#}").contains("http2"), "{error:#}"),
    }
    assert_eq!(target.count(), 0);
    gateway.call("GET /").await.over(Wire::Http2).send().await.expect(200);
}
