use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::harness::{Client, TestGateway, TestTarget, Wire, exchange, full, read_until};

const MIB: u64 = 1 << 20;
/// Long enough that a gateway that kept it would show.
const LONG: u64 = 64 * MIB;

#[tokio::test]
async fn a_chunked_body_arrives_whole() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
    let request =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "}").await;
    assert!(answer.contains(r#""body":"abcdefg""#), "{answer}");
}

#[tokio::test]
async fn an_answer_without_a_length_is_chunked() {
    let target =
        TestTarget::raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let answer = gateway.get("/").await.expect(200);
    assert_eq!((answer.text().as_str(), answer.header("transfer-encoding")), ("abc", "chunked"));
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_arrives_whole() {
    let target = TestTarget::raw(b"HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    assert_eq!(gateway.get("/").await.expect(200).text(), "until the end");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_as_whole() {
    let target = TestTarget::raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    assert!(gateway.call("GET /").await.try_send().await.is_err());
}

#[tokio::test]
async fn a_long_answer_needs_little_memory() {
    let target = TestTarget::pouring(LONG).await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let before = gateway.process.memory("VmHWM").unwrap();
    let mut client = Client::connect(gateway.proxy(), Wire::Http1).await.unwrap();
    let answer = client.begin(http::Request::get("/").body(full("")).unwrap()).await.unwrap();
    let (mut body, mut length) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().data_ref().map_or(0, Bytes::len) as u64;
    }
    let grown = gateway.process.memory("VmHWM").unwrap() - before;
    assert_eq!(length, LONG);
    assert!(grown < LONG / 4, "{grown} bytes more for {LONG}");
}

#[tokio::test]
async fn a_long_request_needs_little_memory() {
    let target = TestTarget::swallowing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let before = gateway.process.memory("VmHWM").unwrap();
    let answer = gateway.call("POST /").await.body(vec![b'x'; LONG as usize]).send().await;
    let grown = gateway.process.memory("VmHWM").unwrap() - before;
    assert_eq!(answer.expect(200).text(), LONG.to_string());
    assert!(grown < LONG / 4, "{grown} bytes more for {LONG}");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_target_back() {
    let target = TestTarget::pouring(512 * MIB).await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    target.arrived().await;
    let mut before = u64::MAX;
    while before != target.bytes() {
        before = target.bytes();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert!(before < 64 * MIB, "{before} bytes are on their way to nobody");
}

#[tokio::test]
async fn expect_100_continue_is_answered() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 100 Continue"), "{answer}");
    stream.write_all(b"abc").await.unwrap();
    assert!(read_until(&mut stream, "}").await.contains(r#""body":"abc""#));
}

#[tokio::test]
async fn head_has_headers_and_no_body() {
    let target = TestTarget::answering("twelve bytes").await;
    let gateway = TestGateway::new().route("/a", [&target]).start().await;
    let answer = gateway.call("HEAD /a").await.send().await.expect(200);
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("", "12"));
    let answer = gateway.call("HEAD /nothing").await.send().await.expect(404);
    assert_eq!(answer.text(), "");
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused_however_they_say_their_length() {
    let target = TestTarget::echoing().await;
    let gateway =
        TestGateway::new().setting("SANDGATE_REQUEST_BODY_LIMIT", "100KiB").route("/", [&target]).start().await;
    let unbuffered = serde_json::json!({ "name": "now", "paths": ["/now"], "request_buffering": false });
    gateway.admin.create("/services/service-0/routes", unbuffered).await;
    gateway.applied().await;
    let chunked =
        |size: usize| format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{}\r\n0\r\n\r\n", "a".repeat(size));
    let known = |size: usize| format!("Content-Length: {size}\r\n\r\n{}", "a".repeat(size));
    let cases = [(chunked(90_000), "200"), (known(90_000), "200"), (chunked(110_000), "413"), (known(110_000), "413")];
    for path in ["/", "/now"] {
        for (rest, expected) in &cases {
            let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{rest}");
            let answer = exchange(gateway.proxy(), request.as_bytes()).await;
            let status = answer.split(' ').nth(1).unwrap_or_default();
            assert_eq!(status, *expected, "{path} {}: {answer:.300}", &rest[..30]);
        }
    }
}

#[tokio::test]
async fn a_body_that_a_plugin_has_read_has_its_limit_too() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().setting("SANDGATE_REQUEST_BODY_LIMIT", "1KiB").route("/", [&target]).start().await;
    let reads = serde_json::json!({ "name": "key-auth", "config": { "key_in_body": true } });
    gateway.admin.create("/services/service-0/plugins", reads).await;
    gateway.admin.create("/consumers", serde_json::json!({ "username": "a" })).await;
    gateway.admin.create("/consumers/a/key-auth", serde_json::json!({ "key": "k" })).await;
    gateway.applied().await;
    for (size, expected) in [(1000, "200"), (2000, "413")] {
        let form = format!("apikey=k&pad={}", "a".repeat(size - 13));
        let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded";
        let request = format!("{head}\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{form}\r\n0\r\n\r\n");
        let answer = exchange(gateway.proxy(), request.as_bytes()).await;
        assert_eq!(answer.split(' ').nth(1).unwrap_or_default(), expected, "{answer:.300}");
    }
}
