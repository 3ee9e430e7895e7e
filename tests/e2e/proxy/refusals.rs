//! Each refusal has a status, a counter by its reason and a line in the log, though never so many lines that they fill it.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Gateway, TestGateway, TestTarget, Wire, exchange};

const PATIENCE: Duration = Duration::from_secs(30);

/// How many requests or connections were refused for this reason.
pub(super) async fn refused(gateway: &Gateway, what: &str, reason: &str) -> u64 {
    let text = gateway.admin.get("/metrics").await.expect(200).text();
    let start = format!("sandgate_{what}_refused_total{{reason=\"{reason}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {start} in {text}")).parse().unwrap()
}

async fn gateway(target: &TestTarget) -> Gateway {
    let gateway = TestGateway::new().setting("SANDGATE_REQUEST_BODY_LIMIT", "10");
    let gateway = gateway.setting("SANDGATE_REQUEST_HEADER_COUNT", "20");
    let gateway = gateway.route("/", [target]).start().await;
    gateway.admin.patch("/services/service-0", json!({ "write_timeout": 300 })).await.expect(200);
    gateway.applied().await;
    gateway
}

/// Requests, the status that each gets, and the reason by which it is counted.
fn cases() -> Vec<(String, u16, &'static str)> {
    let get = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let post = |lines: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}");
    let many: String = (0..30).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = "a".repeat(60_000);
    vec![
        (get("X : 1\r\n"), 400, "malformed"),
        (post("Content-Length: 0x5\r\n", "hello"), 400, "malformed"),
        (post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400, "two-lengths"),
        (post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 400, "transfer-coding"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "bad-host"),
        ("GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".to_owned(), 400, "bad-target"),
        ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400, "ambiguous-path"),
        (get(&format!("X: {long}\r\n")), 400, "headers-too-large"),
        (get(&many), 400, "headers-too-large"),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..9_000]), 414, "uri-too-long"),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414, "uri-too-long"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405, "method-not-allowed"),
        (post("Content-Length: 11\r\n", "hello world"), 413, "body-too-large"),
        (post("Transfer-Encoding: chunked\r\n", "b\r\nhello world\r\n0\r\n\r\n"), 413, "body-too-large"),
        (post("Content-Length: 5\r\n", "hell"), 408, "body-timeout"),
        (post("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n"), 400, "bad-chunk"),
    ]
}

#[tokio::test]
async fn each_refusal_of_a_request_is_answered_counted_and_told() {
    let target = TestTarget::echoing().await;
    let gateway = gateway(&target).await;
    for (request, status, reason) in cases() {
        let before = refused(&gateway, "requests", reason).await;
        let answer = exchange(gateway.proxy(), request.as_bytes()).await;
        let begin = &request[..request.len().min(100)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{begin}: {answer}");
        gateway.until(async || refused(&gateway, "requests", reason).await > before).await;
        assert_eq!(refused(&gateway, "requests", reason).await, before + 1, "{reason}: {begin}");
        let line = format!("\"reason\":\"{reason}\",\"status\":{status}");
        gateway.process.log.line(&line, PATIENCE).await.unwrap_or_else(|error| panic!("{line}: {error:#}"));
    }
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn a_flood_of_refusals_leaves_few_lines_and_a_true_number() {
    let gateway = TestGateway::new().start().await;
    let begun = Instant::now();
    for _ in 0..200 {
        assert!(exchange(gateway.proxy(), b"nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    }
    gateway.until(async || refused(&gateway, "requests", "malformed").await >= 200).await;
    assert_eq!(refused(&gateway, "requests", "malformed").await, 200);
    gateway.process.log.line("a request was refused", PATIENCE).await.unwrap();
    let (lines, seconds) =
        (gateway.process.log.all().matches("a request was refused").count(), begun.elapsed().as_secs());
    assert!(lines as u64 <= 5 * (seconds + 2), "{lines} lines in {seconds} s");
}

/// Sends bytes of HTTP/2 behind a preface, and reads until they are answered or the connection ends.
async fn frames(gateway: &Gateway, frames: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], frames].concat();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    let read =
        async { while !has_reaction(&answer) && stream.read_buf(&mut answer).await.is_ok_and(|count| count > 0) {} };
    _ = tokio::time::timeout(PATIENCE, read).await;
    answer
}

/// Whether there is more than what every connection begins with: an answer, a reset or a farewell (RFC 9113 §6).
fn has_reaction(mut frames: &[u8]) -> bool {
    while let [a, b, c, kind, rest @ ..] = frames {
        if [1, 3, 7].contains(kind) {
            return true;
        }
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        frames = rest.get(5 + length..).unwrap_or_default();
    }
    false
}

/// Headers of a request that ends its stream, coded without a table (RFC 7541 §6.2.2).
fn headers(stream: u8, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let mut block = Vec::new();
    for (name, value) in usual.iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name)).chain(more) {
        block.extend([0, u8::try_from(name.len()).unwrap()]);
        block.extend(name.as_bytes());
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    let mut frame = vec![0, 0, u8::try_from(block.len()).unwrap(), 1, 5, 0, 0, 0, stream];
    frame.extend(block);
    frame
}

/// Headers that would say something else over HTTP/1.1.
const HEADERS: &[(&str, &[(&str, &str)])] = &[
    ("a line break in a value", &[("x", "a\r\nContent-Length: 5")]),
    ("LF in a value", &[("x", "a\nb")]),
    ("a null in a value", &[("x", "a\0b")]),
    ("a line break in a name", &[("x: 1\r\ny", "b")]),
    ("a colon in a name", &[("x:y", "b")]),
    ("capitals in a name", &[("X-Capital", "b")]),
    ("chunks", &[("transfer-encoding", "chunked")]),
    ("a connection", &[("connection", "keep-alive")]),
    ("a break in the path", &[(":path", "/ HTTP/1.1\r\nX: 1")]),
    ("a space in the path", &[(":path", "/a b")]),
    ("a break in the method", &[(":method", "GET / HTTP/1.1\r\nX: 1")]),
    ("a break in the host", &[(":authority", "a\r\nX: 1")]),
    ("another host", &[("host", "b")]),
    ("a length without a body", &[("content-length", "5")]),
    ("no path", &[(":path", "")]),
];

#[tokio::test]
async fn no_header_of_http2_becomes_another_one_of_http1() {
    let target = TestTarget::echoing().await;
    let gateway = gateway(&target).await;
    for (label, more) in HEADERS {
        let before = total(&gateway).await;
        let answer = frames(&gateway, &headers(1, more)).await;
        assert_eq!(target.count(), 0, "{label}: {:?}", target.seen());
        assert!(has_reaction(&answer), "{label}: {answer:?}");
        gateway.until(async || total(&gateway).await > before).await;
    }
    gateway.call("GET /").await.over(Wire::Http2).send().await.expect(200);
}

/// All that was refused of HTTP/2, whether a stream, a connection or a request.
async fn total(gateway: &Gateway) -> u64 {
    let mut sum = 0;
    for (what, reason) in [
        ("connections", "http2-stream"),
        ("connections", "http2-malformed"),
        ("requests", "bad-host"),
        ("requests", "bad-chunk"),
    ] {
        sum += refused(gateway, what, reason).await;
    }
    sum
}

#[tokio::test]
async fn what_the_http2_engine_refuses_by_itself_is_counted_too() {
    let gateway = TestGateway::new().start().await;
    let call = gateway.call("GET /").await.over(Wire::Http2).header("x-long", "a".repeat(40_000));
    _ = call.try_send().await;
    gateway.until(async || refused(&gateway, "connections", "http2-stream").await == 1).await;
    // Data of a stream that was never opened.
    frames(&gateway, &[0, 0, 1, 0, 0, 0, 0, 0, 7, b'x']).await;
    gateway.until(async || refused(&gateway, "connections", "http2-malformed").await == 1).await;
    gateway.process.log.line("\"reason\":\"http2-malformed\"", PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_is_none_is_counted() {
    let gateway = TestGateway::new().start().await;
    exchange(gateway.proxy_tls(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    gateway.refused("handshake-failed", 1).await;
}
