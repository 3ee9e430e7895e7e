use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Gateway, Peer, TestGateway, TestTarget, exchange, read_until};

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Of: target\r\n\r\n";

/// A gateway before a WebSocket server of others.
async fn before_websockets() -> (Gateway, Peer) {
    let (gateway, server, _) = beside_websockets().await;
    (gateway, server)
}

/// The same, and the address of the server.
async fn beside_websockets() -> (Gateway, Peer, String) {
    let mut server = Peer::script("websocket_server.py", &[]).await;
    let address = format!("127.0.0.1:{}", server.line().await);
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "ws", "url": format!("http://{address}") })).await;
    gateway.admin.create("/services/ws/routes", json!({ "name": "ws", "paths": ["/"] })).await;
    gateway.applied().await;
    (gateway, server, address)
}

/// A gateway before a target whose bytes the test writes itself.
async fn before_bytes(service: serde_json::Value) -> (Gateway, TcpListener) {
    before_bytes_with("3s", service).await
}

/// As `before_bytes`, with so much time for open connections at the end.
async fn before_bytes_with(grace: &str, service: serde_json::Value) -> (Gateway, TcpListener) {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_PROXY_ACCESS_LOG", "access.log");
    let gateway = gateway.setting("SANDGATE_DRAIN_GRACE_PERIOD", grace).start().await;
    let mut service = service;
    (service["name"], service["url"]) = ("ws".into(), format!("http://{}", target.local_addr().unwrap()).into());
    gateway.admin.create("/services", service).await;
    gateway.admin.create("/services/ws/routes", json!({ "name": "ws", "paths": ["/"] })).await;
    gateway.applied().await;
    (gateway, target)
}

/// Both ends of an upgraded connection.
async fn switched(gateway: &Gateway, target: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(gateway.proxy()).await.unwrap();
    client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let (mut upstream, _) = target.accept().await.unwrap();
    read_until(&mut upstream, "\r\n\r\n").await;
    upstream.write_all(SWITCHED.as_bytes()).await.unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    (client, upstream)
}

#[tokio::test]
async fn frames_pass_as_between_client_and_server() {
    let (gateway, _server) = before_websockets().await;
    let url = format!("ws://{}/echo", gateway.proxy());
    let cases = [
        "text",
        "binary",
        "fragments",
        "control_between_fragments",
        "ping",
        "pipelined",
        "close",
        "broken_frame",
        "subprotocol",
    ];
    for case in cases {
        println!("{case}");
        Peer::script("websocket_client.py", &[&url, case]).await.succeeds().await;
    }
}

#[tokio::test]
async fn the_server_can_close_and_refuse() {
    let (gateway, _server) = before_websockets().await;
    for (path, case) in [("close/4002", "closed_by_server"), ("refused", "refused")] {
        let url = format!("ws://{}/{path}", gateway.proxy());
        Peer::script("websocket_client.py", &[&url, case]).await.succeeds().await;
    }
}

#[tokio::test]
async fn broken_frames_and_closes_come_out_as_without_a_gateway() {
    let (gateway, _server, direct) = beside_websockets().await;
    for case in ["violations", "closings", "cut"] {
        for address in [direct.clone(), gateway.proxy().to_string()] {
            println!("{case} at {address}");
            Peer::script("websocket_client.py", &[&format!("ws://{address}/echo"), case]).await.succeeds().await;
        }
    }
}

#[tokio::test]
async fn websocket_works_over_tls() {
    let (gateway, _server) = before_websockets().await;
    let url = format!("wss://{}/echo", gateway.proxy_tls());
    for case in ["text", "binary", "close"] {
        Peer::script("websocket_client.py", &[&url, case]).await.succeeds().await;
    }
}

#[tokio::test]
async fn plugins_see_the_request_and_the_log_comes_at_the_close() {
    let (gateway, mut server) = before_websockets().await;
    gateway.plugin("ws", "key-auth", json!({})).await;
    gateway.consumer("anna", "secret").await;
    let path = gateway.file("log");
    gateway.plugin("ws", "file-log", json!({ "path": path.to_str().unwrap() })).await;
    gateway.applied().await;
    let refused = exchange(gateway.proxy(), HANDSHAKE.replace("Upgrade\r\n", "Upgrade, close\r\n").as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    gateway.lines("log", 1).await;
    let url = format!("ws://{}/echo?apikey=secret", gateway.proxy());
    let mut client = Peer::script("websocket_client.py", &[&url, "wait"]).await;
    assert_eq!(client.line().await, "open");
    let opened = server.line().await;
    assert!(opened.starts_with("open /echo?apikey=secret ") && opened.ends_with("1.1 sandgate/0.1.0"), "{opened}");
    assert_eq!(gateway.lines("log", 1).await.len(), 1, "it is open");
    drop(client);
    let line: serde_json::Value = serde_json::from_str(&gateway.lines("log", 2).await[1]).unwrap();
    assert_eq!((&line["response"]["status"], &line["consumer"]["username"]), (&json!(101), &json!("anna")));
}

#[tokio::test]
async fn nothing_is_forwarded_before_the_target_has_switched() {
    let (gateway, target) = before_bytes(json!({})).await;
    let mut client = TcpStream::connect(gateway.proxy()).await.unwrap();
    client.write_all(format!("{HANDSHAKE}early").as_bytes()).await.unwrap();
    let (mut upstream, _) = target.accept().await.unwrap();
    let head = read_until(&mut upstream, "\r\n\r\n").await.to_lowercase();
    assert!(head.ends_with("\r\n\r\n") && head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    assert!(head.contains("\r\nconnection: keep-alive, upgrade\r\n"), "{head}");
    let early = tokio::time::timeout(Duration::from_millis(200), upstream.read_u8()).await;
    assert!(early.is_err(), "the target heard {early:?}");
    upstream.write_all(format!("{SWITCHED}at once").as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut upstream, "early").await, "early");
    let answer = read_until(&mut client, "at once").await;
    assert!(answer.contains("x-of: target") && answer.ends_with("\r\n\r\nat once"), "{answer}");
    assert!(answer.contains("\r\nupgrade: websocket\r\n") && !answer.contains("content-length"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_is_no_101_leaves_the_connection_to_http() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let answers = exchange(gateway.proxy(), format!("{HANDSHAKE}{smuggled}").as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert_eq!(target.seen().iter().map(|seen| &*seen.target).collect::<Vec<_>>(), ["/chat", "/smuggled"]);
}

#[tokio::test]
async fn upgrades_to_anything_else_are_plain_requests() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let lines = ["h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", "websocket, h2c", "websocket\r\nUpgrade: h2c", "TLS/1.2"];
    for upgrade in lines {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: {upgrade}\r\n\r\n"
        );
        let answer = exchange(gateway.proxy(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{upgrade}: {answer}");
        let seen = target.seen().pop().unwrap().headers;
        assert!(!seen.contains_key("upgrade") && !seen.contains_key("http2-settings"), "{upgrade}: {seen:?}");
    }
}

#[tokio::test]
async fn a_target_that_switches_unasked_is_not_believed() {
    let answers = [
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", SWITCHED),
        (HANDSHAKE, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
        (HANDSHAKE, "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ];
    for (request, answer) in answers {
        let target = TestTarget::raw(answer.as_bytes()).await;
        let gateway = TestGateway::new().route("/", [&target]).start().await;
        gateway.applied().await;
        let mut client = TcpStream::connect(gateway.proxy()).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let told = read_until(&mut client, "\r\n\r\n").await;
        assert!(told.starts_with("HTTP/1.1 502"), "{answer}: {told}");
    }
}

#[tokio::test]
async fn each_side_may_end_first() {
    let (gateway, target) = before_bytes(json!({})).await;
    let (mut client, mut upstream) = switched(&gateway, &target).await;
    client.write_all(b"last words").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = String::new();
    upstream.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "last words");
    upstream.write_all(b"an answer").await.unwrap();
    drop(upstream);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "an answer");
}

#[tokio::test]
async fn silence_beyond_the_read_timeout_ends_an_upgraded_connection() {
    let (gateway, target) = before_bytes(json!({ "read_timeout": 3000 })).await;
    let (mut client, mut upstream) = switched(&gateway, &target).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(upstream.read_u8().await.unwrap(), b'x', "words keep it open");
    }
    let begun = std::time::Instant::now();
    assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(upstream.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_target_from_writing() {
    let (gateway, target) = before_bytes(json!({})).await;
    let (_client, mut upstream) = switched(&gateway, &target).await;
    let (piece, mut written) = (vec![b'x'; 1 << 20], 0);
    let flood = async {
        while written < 1 << 30 {
            written += upstream.write(&piece).await.unwrap();
        }
    };
    _ = tokio::time::timeout(Duration::from_secs(1), flood).await;
    assert!(written < 64 << 20, "the sockets took {written} bytes");
}

#[tokio::test]
async fn a_drain_cuts_upgraded_connections_after_the_grace_period() {
    let (mut gateway, target) = before_bytes(json!({})).await;
    let (mut client, mut upstream) = switched(&gateway, &target).await;
    gateway.process.terminate().unwrap();
    gateway.process.log.line("being drained", Duration::from_secs(30)).await.unwrap();
    client.write_all(b"still here").await.unwrap();
    assert_eq!(read_until(&mut upstream, "still here").await, "still here");
    upstream.write_all(b"so am I").await.unwrap();
    assert_eq!(read_until(&mut client, "so am I").await, "so am I");
    assert_eq!(gateway.terminate().await.code(), Some(0));
    let lines = gateway.lines("access.log", 1).await;
    assert!(lines[0].contains("\"GET /chat HTTP/1.1\" 101 7 "), "{lines:?}");
    assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(upstream.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn an_upgraded_connection_outlives_a_handover_for_the_grace_period() {
    let (mut gateway, target) = before_bytes_with("6s", json!({})).await;
    let (mut client, mut upstream) = switched(&gateway, &target).await;
    let patience = Duration::from_secs(60);
    let before = gateway.process.take_over(patience).await.unwrap();
    client.write_all(b"still here").await.unwrap();
    assert_eq!(read_until(&mut upstream, "still here").await, "still here");
    upstream.write_all(b"so am I").await.unwrap();
    assert_eq!(read_until(&mut client, "so am I").await, "so am I");
    gateway.process.gone(before, patience).await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    switched(&gateway, &target).await;
}
