//! Messages that two servers could read in two ways: refused from clients, refused from targets, and no others are made of
//! what passes.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::harness::{Answer, Gateway, TestGateway, TestTarget, exchange, read_until};

/// A request that must never be seen by a target.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Header lines and a body of a POST, which get 400.
const POSTS: &[(&str, &str, &str)] = &[
    ("a length, then chunks", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("chunks, then a length", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"),
    ("+5", "Content-Length: +5\r\n", "hello"),
    ("0x5", "Content-Length: 0x5\r\n", "hello"),
    ("5_0", "Content-Length: 5_0\r\n", "hello"),
    ("5 5", "Content-Length: 5 5\r\n", "hello"),
    ("a list", "Content-Length: 5, 5\r\n", "hello"),
    ("no number", "Content-Length: \r\n", ""),
    ("beyond 64 bits", "Content-Length: 99999999999999999999999\r\n", "hello"),
    ("a space before the colon", "Content-Length : 5\r\n", "hello"),
    ("gzip and chunks", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
    ("chunks of chunks", "Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
    ("chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("an empty coding", "Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"),
    ("identity", "Transfer-Encoding: identity\r\nContent-Length: 5\r\n", "hello"),
    ("a parameter", "Transfer-Encoding: chunked;a=1\r\n", "0\r\n\r\n"),
    ("a vertical tab", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
    ("a signed chunk", "Transfer-Encoding: chunked\r\n", "+3\r\nabc\r\n0\r\n\r\n"),
    ("a chunk of 0x3", "Transfer-Encoding: chunked\r\n", "0x3\r\nabc\r\n0\r\n\r\n"),
    ("a chunk of 3_0", "Transfer-Encoding: chunked\r\n", "3_0\r\nabc\r\n0\r\n\r\n"),
    ("a space before a chunk", "Transfer-Encoding: chunked\r\n", " 3\r\nabc\r\n0\r\n\r\n"),
    ("a chunk without a size", "Transfer-Encoding: chunked\r\n", "\r\nabc\r\n0\r\n\r\n"),
    ("a chunk of 68 bits", "Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    ("chunks that end lines with LF", "Transfer-Encoding: chunked\r\n", "3\nabc\n0\n\n"),
    ("a chunk longer than it says", "Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n"),
    ("LF in an extension", "Transfer-Encoding: chunked\r\n", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
    ("a trailer without a colon", "Transfer-Encoding: chunked\r\n", "0\r\nX T\r\n\r\n"),
];

/// Whole heads, which get 400.
const HEADS: &[(&str, &str)] = &[
    (
        "a GET with both lengths",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("chunks in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a line that LF ends", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"),
    ("lines that LF ends", "GET / HTTP/1.1\nHost: a\n\n"),
    ("a line that CR ends", "GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n"),
    ("CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
    ("a control byte in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n"),
    ("DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n"),
    ("a tab before a colon", "GET / HTTP/1.1\r\nHost: a\r\nX\t: 1\r\n\r\n"),
    ("a null in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0: 1\r\n\r\n"),
    ("a line without a colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
    ("a fold at the start", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("a target of another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a target with a user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a target that is a host", "GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    ("equal hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    ("a control byte in a path", "GET /%0d%0aX:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("tabs for spaces", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"),
];

fn cases() -> Vec<(&'static str, String)> {
    let posts = POSTS
        .iter()
        .map(|(label, lines, body)| (*label, format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}{SMUGGLED}")));
    let long = "a".repeat(20_000);
    let extension =
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;{long}\r\nabc\r\n0\r\n\r\n");
    let trailers = "X: a\r\n".repeat(2_000);
    let trailers = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{trailers}\r\n");
    let heads = HEADS.iter().map(|(label, head)| (*label, format!("{head}{SMUGGLED}")));
    posts.chain(heads).chain([("a long extension", extension), ("many trailers", trailers)]).collect()
}

async fn gateway(target: &TestTarget) -> Gateway {
    let gateway = TestGateway::new().route("/", [target]).start().await;
    gateway.applied().await;
    gateway
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_gets_400_and_the_end() {
    let target = TestTarget::echoing().await;
    let gateway = gateway(&target).await;
    for (label, request) in cases() {
        let answer = exchange(gateway.proxy(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{label}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{label}: one answer, then the end");
    }
    let seen: Vec<_> = target.seen().into_iter().map(|seen| seen.target).collect();
    assert!(!seen.iter().any(|target| target.contains("smuggled")), "{seen:?}");
}

#[tokio::test]
async fn lengths_are_found_however_they_are_cut() {
    let target = TestTarget::echoing().await;
    let gateway = gateway(&target).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for end in [50, 55, 62, 70, 80] {
        let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&request.as_bytes()[..end]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(&request.as_bytes()[end..]).await.unwrap();
        let answer = read_until(&mut stream, "no such text").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "cut at {end}: {answer}");
    }
}

#[tokio::test]
async fn bodies_that_look_like_heads_harm_no_later_request() {
    let target = TestTarget::echoing().await;
    let gateway = gateway(&target).await;
    let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
    let body = "a\nContent-Length: 3\nTransfer-Encoding: chunked\n\n";
    let requests = [
        format!("POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        format!(
            "POST /two HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ),
        "GET /three HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
    ];
    for (request, path) in requests.iter().zip(["/one", "/two", "/three"]) {
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    assert_eq!(target.seen()[1].body, body.as_bytes(), "framed anew");
}

#[tokio::test]
async fn a_body_that_nobody_reads_ends_the_connection() {
    let gateway = TestGateway::new().start().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n";
    let answer = exchange(gateway.proxy(), format!("{head}{SMUGGLED}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[tokio::test]
async fn no_other_protocol_is_switched_to() {
    let target = TestTarget::raw(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    )
    .await;
    let gateway = gateway(&target).await;
    let asks = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let answer = exchange(gateway.proxy(), asks.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
}

/// Answers that get 502.
const ANSWERS: &[(&str, &[u8])] = &[
    ("two ways", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    ("equal lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    ("a list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc"),
    ("+3", b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc"),
    ("0x3", b"HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc"),
    ("another coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc"),
    ("codings", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("chunks not last", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("chunks in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("CR in a value", b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n"),
    ("a null in a value", b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"),
    ("a control byte in a value", b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n"),
    ("a fold", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    ("a space before a colon", b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n"),
    ("no HTTP", b"hello\r\n\r\n"),
];

#[tokio::test]
async fn answers_that_could_be_read_in_two_ways_become_502() {
    let gateway = TestGateway::new().start().await;
    for (number, (label, answer)) in ANSWERS.iter().enumerate() {
        let got = ask(&gateway, number, answer).await;
        assert_eq!(got.status, 502, "{label}: {got:?}");
    }
}

/// What the gateway makes of such an answer.
async fn ask(gateway: &Gateway, number: usize, answer: &'static [u8]) -> Answer {
    let target = TestTarget::raw(answer).await;
    gateway.route(&format!("route-{number}"), &format!("/{number}/"), &target).await;
    gateway.get(&format!("/{number}/")).await
}

#[tokio::test]
async fn heads_of_answers_are_bounded() {
    let long: &'static [u8] = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(1 << 20)).leak().as_bytes();
    let interim: &'static [u8] = "HTTP/1.1 100 Continue\r\n\r\n".repeat(200_000).leak().as_bytes();
    let gateway = TestGateway::new().start().await;
    for (number, (label, answer)) in [("a long line", long), ("endless interim answers", interim)].iter().enumerate() {
        let got = ask(&gateway, number, answer).await;
        assert_eq!(got.status, 502, "{label}: {got:?}");
    }
}

/// A server whose first answer brings another one along, on a connection that stays open.
async fn talkative(listener: TcpListener) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let mut kept = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        kept.spawn(async move {
            let mut head = [0; 4096];
            while stream.read(&mut head).await.is_ok_and(|length| length > 0) {
                stream.write_all(ANSWER).await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn what_follows_an_answer_answers_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = JoinSet::new();
    server.spawn(talkative(listener));
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").start().await;
    let service = serde_json::json!({ "name": "a", "url": format!("http://127.0.0.1:{port}") });
    gateway.admin.create("/services", service).await;
    gateway.admin.create("/services/a/routes", serde_json::json!({ "paths": ["/"] })).await;
    for _ in 0..10 {
        let answer = gateway.get("/").await;
        assert_eq!((answer.status, &*answer.text()), (200, "first"));
    }
}
