//! Answers that begin before the request has ended, on routes whose plugins see the request's body piece by piece.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::harness::{Gateway, TestGateway, read_until};

/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
const HEAD: &str = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
const BEGUN: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A gateway with plugins before a target whose bytes the test writes itself.
async fn between(plugins: &[(&str, Value)]) -> (Gateway, TcpListener) {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = TestGateway::new().start().await;
    let url = format!("http://{}", target.local_addr().unwrap());
    gateway.admin.create("/services", json!({ "name": "a", "url": url, "retries": 0 })).await;
    let route = json!({ "name": "a", "paths": ["/"], "request_buffering": false });
    gateway.admin.create("/services/a/routes", route).await;
    for (name, config) in plugins {
        if ["shout", "body"].contains(name) {
            gateway.upload(name).await;
        }
        gateway.plugin("a", name, config.clone()).await;
    }
    gateway.applied().await;
    (gateway, target)
}

async fn log(gateway: &Gateway) -> Value {
    let config = json!({ "path": gateway.file("access.log") });
    let plugin = gateway.plugin("a", "file-log", config).await;
    gateway.applied().await;
    plugin
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// A request that has come to the target with its first chunk, `BEGIN`, and whose answer has begun.
async fn begun(gateway: &Gateway, target: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(gateway.proxy()).await.unwrap();
    client.set_nodelay(true).unwrap();
    client.write_all(HEAD.as_bytes()).await.unwrap();
    client.write_all(&chunk("BEGIN")).await.unwrap();
    let (mut upstream, _) = target.accept().await.unwrap();
    upstream.set_nodelay(true).unwrap();
    read_until(&mut upstream, "BEGIN\r\n").await;
    upstream.write_all(BEGUN.as_bytes()).await.unwrap();
    let told = read_until(&mut client, "\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 200 OK"), "{told}");
    (client, upstream)
}

/// Sends a chunked body of so many bytes.
async fn send(stream: &mut (impl AsyncWrite + Unpin), length: usize) {
    let piece = chunk(&"x".repeat(64 << 10));
    for _ in 0..length / (64 << 10) {
        stream.write_all(&piece).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
}

/// Reads to the end of a chunked body without keeping it: how many bytes came.
async fn received(stream: &mut (impl AsyncRead + Unpin)) -> usize {
    let (mut came, mut end) = (0, Vec::new());
    while !end.ends_with(b"0\r\n\r\n") {
        end.drain(..end.len().saturating_sub(5));
        let read = stream.read_buf(&mut end).await.unwrap();
        assert!(read > 0, "the body ends well");
        came += read;
    }
    came
}

/// Whatever comes until the other side closes or breaks.
async fn rest(stream: &mut TcpStream) -> String {
    read_until(stream, "no such text").await
}

#[tokio::test]
async fn each_chunk_is_answered_before_the_next_is_sent() {
    let each = [vec![("shout", json!({}))], vec![("body", json!({}))], vec![("shout", json!({})), ("body", json!({}))]];
    for plugins in each {
        let (gateway, target) = between(&plugins).await;
        log(&gateway).await;
        let (mut client, mut upstream) = begun(&gateway, &target).await;
        for number in 0..50 {
            client.write_all(&chunk(&format!("say {number}."))).await.unwrap();
            let heard = read_until(&mut upstream, ".\r\n").await;
            assert!(heard.contains(&format!("SAY {number}.")), "{plugins:?}: {heard}");
            upstream.write_all(&chunk(&format!("ECHO {number}."))).await.unwrap();
            let told = read_until(&mut client, ".\r\n").await;
            assert!(told.contains(&format!("ECHO {number}.")), "{plugins:?}: {told}");
        }
        client.write_all(b"0\r\n\r\n").await.unwrap();
        assert!(read_until(&mut upstream, "0\r\n\r\n").await.ends_with("0\r\n\r\n"), "{plugins:?}");
        upstream.write_all(b"0\r\n\r\n").await.unwrap();
        assert!(read_until(&mut client, "0\r\n\r\n").await.ends_with("0\r\n\r\n"), "{plugins:?}");
        client.write_all(&[HEAD.as_bytes(), &chunk("again"), b"0\r\n\r\n"].concat()).await.unwrap();
        let heard = read_until(&mut upstream, "0\r\n\r\n").await;
        assert!(heard.contains("AGAIN"), "{plugins:?}: the connection to the target is kept: {heard}");
        let record: Value = serde_json::from_str(&gateway.lines("access.log", 1).await[0]).unwrap();
        let (sent, received) = (&record["request"]["size"], &record["response"]["size"]);
        assert_eq!((sent, received), (&json!(345), &json!(390)), "{record}");
    }
}

#[tokio::test]
async fn a_long_upload_goes_on_after_an_early_answer() {
    const LENGTH: usize = 8 << 20;
    for plugin in ["shout", "body"] {
        let (gateway, target) = between(&[(plugin, json!({}))]).await;
        let (client, mut upstream) = begun(&gateway, &target).await;
        let (mut reads, mut writes) = client.into_split();
        let piece = chunk(&"x".repeat(64 << 10));
        let upload = async {
            for _ in 0..LENGTH / (64 << 10) {
                writes.write_all(&piece).await.unwrap();
            }
            writes.write_all(b"0\r\n\r\n").await.unwrap();
        };
        let swallow = async {
            let mut body = Vec::new();
            while !body.ends_with(b"0\r\n\r\n") {
                assert!(upstream.read_buf(&mut body).await.unwrap() > 0, "the upload ends well");
            }
            let capitals = body.iter().filter(|byte| **byte == b'X').count();
            upstream.write_all(&[&chunk(&capitals.to_string())[..], b"0\r\n\r\n"].concat()).await.unwrap();
        };
        let answer = async {
            let mut answer = Vec::new();
            while !answer.ends_with(b"0\r\n\r\n") {
                assert!(reads.read_buf(&mut answer).await.unwrap() > 0, "the answer ends well");
            }
            String::from_utf8(answer).unwrap()
        };
        let ((), (), answer) = tokio::join!(upload, swallow, answer);
        assert!(answer.contains(&LENGTH.to_string()), "{plugin}: {answer}");
    }
}

#[tokio::test]
async fn an_upload_goes_on_while_the_client_reads_nothing() {
    const LENGTH: usize = 32 << 20;
    for plugins in [vec![], vec![("shout", json!({}))], vec![("body", json!({}))]] {
        let (gateway, target) = between(&plugins).await;
        let (mut client, upstream) = begun(&gateway, &target).await;
        let (mut upstream_reads, mut upstream_writes) = upstream.into_split();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { send(&mut upstream_writes, LENGTH).await });
        tasks.spawn(async move { assert!(received(&mut upstream_reads).await > LENGTH) });
        let whole = async {
            send(&mut client, LENGTH).await;
            received(&mut client).await
        };
        let answer = tokio::time::timeout(PATIENCE, whole).await;
        assert!(answer.is_ok_and(|length| length > LENGTH), "{plugins:?}: the client may say everything first");
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }
}

#[tokio::test]
async fn an_answer_passes_while_the_target_reads_nothing() {
    const LENGTH: usize = 64 << 20;
    let (gateway, target) = between(&[("shout", json!({}))]).await;
    let (client, mut upstream) = begun(&gateway, &target).await;
    let before = gateway.process.memory("VmHWM").unwrap();
    let (mut reads, mut writes) = client.into_split();
    let mut upload = JoinSet::new();
    upload.spawn(async move {
        send(&mut writes, LENGTH).await;
        writes
    });
    for number in 0..200 {
        let mut told = Vec::new();
        upstream.write_all(&chunk(&format!("{number}."))).await.unwrap();
        while !told.ends_with(b".\r\n") {
            assert!(reads.read_buf(&mut told).await.unwrap() > 0);
        }
    }
    let came = received(&mut upstream).await;
    let grown = gateway.process.memory("VmHWM").unwrap() - before;
    assert!(came > LENGTH, "{came}");
    assert!(grown < LENGTH as u64 / 4, "{grown} bytes more for {LENGTH}");
    upload.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_plugin_that_traps_late_breaks_the_answer_off() {
    for plugins in
        [vec![("shout", json!({ "trap": "boom" }))], vec![("shout", json!({ "trap": "boom" })), ("body", json!({}))]]
    {
        let (gateway, target) = between(&plugins).await;
        log(&gateway).await;
        let (mut client, mut upstream) = begun(&gateway, &target).await;
        upstream.write_all(&chunk("HALF.")).await.unwrap();
        read_until(&mut client, "HALF.\r\n").await;
        client.write_all(&chunk("a boom at the end")).await.unwrap();
        let (told, heard) = (rest(&mut client).await, rest(&mut upstream).await);
        assert!(!told.contains("0\r\n\r\n"), "the answer is not whole: {told}");
        assert!(!heard.contains("boom") && !heard.contains("0\r\n\r\n"), "the request is not whole: {heard}");
        let record: Value = serde_json::from_str(&gateway.lines("access.log", 1).await[0]).unwrap();
        assert_eq!(record["response"]["status"], 200, "{record}");
        gateway.process.log.line("plugin shout failed", PATIENCE).await.unwrap();
        let (mut client, mut upstream) = begun(&gateway, &target).await;
        client.write_all(&chunk("fine.")).await.unwrap();
        assert!(read_until(&mut upstream, "FINE.\r\n").await.contains("FINE"));
    }
}

#[tokio::test]
async fn a_refusal_comes_too_late_for_an_answer_that_has_begun() {
    let (gateway, target) = between(&[("shout", json!({})), ("body", json!({ "pass": true, "refuse": "NO" }))]).await;
    let (mut client, mut upstream) = begun(&gateway, &target).await;
    client.write_all(&chunk("no")).await.unwrap();
    let (told, heard) = (rest(&mut client).await, rest(&mut upstream).await);
    assert!(!told.contains("422") && !told.contains("0\r\n\r\n"), "the answer is broken off: {told}");
    assert!(!heard.contains("NO"), "{heard}");
}

#[tokio::test]
async fn a_target_may_answer_and_close_without_reading() {
    let answers = [
        ("HTTP/1.1 413 Too Large\r\nContent-Length: 6\r\nConnection: close\r\n\r\nno way", "no way"),
        ("HTTP/1.1 413 Too Large\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nno way\r\n0\r\n\r\n", "0\r\n\r\n"),
    ];
    for (answer, end) in answers {
        let (gateway, target) = between(&[("shout", json!({}))]).await;
        log(&gateway).await;
        let mut client = TcpStream::connect(gateway.proxy()).await.unwrap();
        client.write_all(HEAD.as_bytes()).await.unwrap();
        client.write_all(&chunk("begin")).await.unwrap();
        let (mut upstream, _) = target.accept().await.unwrap();
        read_until(&mut upstream, "BEGIN\r\n").await;
        upstream.write_all(answer.as_bytes()).await.unwrap();
        upstream.shutdown().await.unwrap();
        let told = read_until(&mut client, end).await;
        assert!(told.starts_with("HTTP/1.1 413") && told.ends_with(end), "{told}");
        let record: Value = serde_json::from_str(&gateway.lines("access.log", 1).await[0]).unwrap();
        assert_eq!(record["response"]["status"], 413, "{record}");
        assert_eq!(rest(&mut upstream).await, "", "the rest of the upload is dropped");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_both_directions() {
    for plugin in ["shout", "body"] {
        let (gateway, target) = between(&[(plugin, json!({}))]).await;
        log(&gateway).await;
        let (client, mut upstream) = begun(&gateway, &target).await;
        drop(client);
        let heard = rest(&mut upstream).await;
        assert!(!heard.contains("0\r\n\r\n"), "{plugin}: the request is not whole: {heard}");
        gateway.lines("access.log", 1).await;
    }
}

#[tokio::test]
async fn a_target_that_breaks_off_is_no_end() {
    let (gateway, target) = between(&[("shout", json!({}))]).await;
    let (mut client, mut upstream) = begun(&gateway, &target).await;
    upstream.write_all(&chunk("HALF.")).await.unwrap();
    read_until(&mut client, "HALF.\r\n").await;
    drop(upstream);
    let told = rest(&mut client).await;
    assert!(!told.contains("0\r\n\r\n"), "{told}");
}

/// As `begun`, with a target of HTTP/2: the client, the request's body as the target gets it, and the answer's.
async fn begun_over_http2(
    gateway: &Gateway,
    target: &TcpListener,
    tasks: &mut JoinSet<()>,
) -> (TcpStream, h2::RecvStream, h2::SendStream<Bytes>) {
    let url = format!("grpc://{}", target.local_addr().unwrap());
    gateway.admin.patch("/services/a", json!({ "url": url })).await.expect(200);
    gateway.applied().await;
    let mut client = TcpStream::connect(gateway.proxy()).await.unwrap();
    client.write_all(&[HEAD.as_bytes(), &chunk("begin")].concat()).await.unwrap();
    let mut connection = h2::server::handshake(target.accept().await.unwrap().0).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    tasks.spawn(async move { while connection.accept().await.is_some() {} });
    let mut body = request.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "BEGIN");
    let answer = respond.send_response(Response::new(()), false).unwrap();
    read_until(&mut client, "\r\n\r\n").await;
    (client, body, answer)
}

#[tokio::test]
async fn the_end_of_an_answer_resets_the_upload_over_http2() {
    for plugin in ["shout", "body"] {
        let (gateway, target) = between(&[(plugin, json!({}))]).await;
        log(&gateway).await;
        let mut tasks = JoinSet::new();
        let (mut client, mut body, mut answer) = begun_over_http2(&gateway, &target, &mut tasks).await;
        client.write_all(&chunk("more")).await.unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), "MORE", "{plugin}");
        answer.send_data("DONE".into(), true).unwrap();
        assert!(read_until(&mut client, "0\r\n\r\n").await.contains("DONE"), "{plugin}");
        let ended = body.data().await.unwrap().unwrap_err();
        assert_eq!(ended.reason(), Some(h2::Reason::CANCEL), "{plugin}: {ended}");
        gateway.lines("access.log", 1).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_resets_the_upload_over_http2() {
    for plugin in ["shout", "body"] {
        let (gateway, target) = between(&[(plugin, json!({}))]).await;
        log(&gateway).await;
        let mut tasks = JoinSet::new();
        let (client, mut body, _answer) = begun_over_http2(&gateway, &target, &mut tasks).await;
        drop(client);
        assert!(body.data().await.unwrap().is_err(), "{plugin}");
        gateway.lines("access.log", 1).await;
    }
}
