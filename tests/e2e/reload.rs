//! Settings that change while requests are served.

use std::{fs, time::Duration};

use rustix::process::Signal;
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Client, Gateway, TestGateway, TestTarget, Wire};

const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway with these settings in its file.
async fn gateway(text: &str, target: &TestTarget) -> (Gateway, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_CONFIG", file.path().to_str().unwrap());
    let gateway = gateway.setting("SANDGATE_WORKERS", "1").route("/", [target]).start().await;
    gateway.applied().await;
    (gateway, file)
}

/// Changes the file and has it read again; the log says so with this text.
async fn reload(gateway: &Gateway, file: &NamedTempFile, text: &str, said: &str) {
    fs::write(file.path(), text).unwrap();
    gateway.process.signal(Signal::HUP).unwrap();
    gateway.process.log.line(said, PATIENCE).await.unwrap_or_else(|error| panic!("{said}: {error:#}"));
}

async fn post(gateway: &Gateway, length: usize) -> u16 {
    gateway.call("POST /").await.body("x".repeat(length)).send().await.status
}

#[tokio::test]
async fn limits_of_requests_change_without_a_restart() {
    let target = TestTarget::echoing().await;
    let (gateway, file) = gateway("request_body_limit = 10\nrequest_uri_limit = 256", &target).await;
    assert_eq!(post(&gateway, 20).await, 413);
    gateway.get(&format!("/{}", "a".repeat(300))).await.expect(414);
    let text = "request_body_limit = 30\nrequest_uri_limit = 1024";
    reload(&gateway, &file, text, "\"changed\":\"request_uri_limit, request_body_limit\"").await;
    gateway.until(async || post(&gateway, 20).await == 200).await;
    gateway.get(&format!("/{}", "a".repeat(300))).await.expect(200);
    assert_eq!(post(&gateway, 40).await, 413);
}

#[tokio::test]
async fn a_connection_that_is_open_gets_the_new_timeout() {
    let target = TestTarget::answering("a").await;
    let (gateway, file) = gateway("client_header_timeout = '1h'", &target).await;
    let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    reload(&gateway, &file, "client_header_timeout = '1s'", "client_header_timeout").await;
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.is_empty());
}

#[tokio::test]
async fn more_connections_may_open_and_those_that_are_open_stay() {
    let target = TestTarget::answering("a").await;
    let (gateway, file) = gateway("client_connections = 1", &target).await;
    let mut first = Client::connect(gateway.proxy(), Wire::Http1).await.unwrap();
    first.get("/").await.unwrap().expect(200);
    reload(&gateway, &file, "client_connections = 2", "client_connections").await;
    gateway
        .until(async || match Client::connect(gateway.proxy(), Wire::Http1).await {
            Ok(mut second) => second.get("/").await.is_ok(),
            Err(_) => false,
        })
        .await;
    first.get("/").await.unwrap().expect(200);
}

#[tokio::test]
async fn whose_word_about_the_client_counts_changes_without_a_restart() {
    let target = TestTarget::echoing().await;
    let (gateway, file) = gateway("", &target).await;
    let asks = async || gateway.get_with("/", &[("x-real-ip", "192.0.2.7")]).await.echo().header("x-real-ip");
    assert_eq!(asks().await, "127.0.0.1");
    reload(&gateway, &file, "trusted_ips = '127.0.0.0/8'", "trusted_ips").await;
    gateway.until(async || asks().await == "192.0.2.7").await;
}

#[tokio::test]
async fn idle_connections_to_targets_are_kept_as_the_new_settings_say() {
    let target = TestTarget::answering("a").await;
    let (gateway, file) = gateway("upstream_keepalive_pool_size = 0", &target).await;
    gateway.get_times("/", 3).await;
    assert_eq!(target.connections(), 3);
    reload(&gateway, &file, "upstream_keepalive_pool_size = 10", "upstream_keepalive_pool_size").await;
    gateway
        .until(async || {
            let before = target.connections();
            gateway.get_times("/", 3).await;
            target.connections() <= before + 1
        })
        .await;
}

#[tokio::test]
async fn one_wrong_setting_keeps_all_of_them() {
    let target = TestTarget::echoing().await;
    let (gateway, file) = gateway("request_body_limit = 10", &target).await;
    let text = "request_body_limit = 30\nclient_header_timeout = '0s'";
    reload(&gateway, &file, text, "the settings stay as they are").await;
    gateway.process.log.line("client_header_timeout: `0s` is not within", PATIENCE).await.unwrap();
    gateway.admin.patch("/routes/route-0", json!({ "tags": ["seen"] })).await;
    // Longer than a change takes.
    for _ in 0..15 {
        assert_eq!(post(&gateway, 20).await, 413);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_waits_for_an_upgrade_is_named_and_left_as_it_is() {
    let target = TestTarget::echoing().await;
    let (gateway, file) = gateway("plugin_instances = 4", &target).await;
    let text = "plugin_instances = 5\nrequest_body_limit = 30";
    reload(&gateway, &file, text, "\"settings\":\"plugin_instances\"").await;
    gateway.until(async || post(&gateway, 40).await == 413).await;
}

#[tokio::test]
async fn streams_go_by_the_new_settings_too() {
    let target = TestTarget::answering("a").await;
    let text = "stream_listen = '127.0.0.1:0 ssl'\nclient_connections = 1";
    let (gateway, file) = gateway(text, &target).await;
    let listener = gateway.streams()[0];
    let silent = TcpStream::connect(listener).await.unwrap();
    // A connection over the limit is closed at once, and so is one that took too long to say where it leads.
    let next = async || TcpStream::connect(listener).await.unwrap().read(&mut [0]).await;
    assert!(matches!(next().await, Ok(0) | Err(_)));
    gateway.refused("too-many-connections", 1).await;
    drop(silent);
    let text = format!("{text}0\nclient_handshake_timeout = '1s'");
    reload(&gateway, &file, &text, "\"changed\":\"client_connections, client_handshake_timeout\"").await;
    assert!(matches!(next().await, Ok(0) | Err(_)));
    gateway.refused("handshake-timeout", 1).await;
}
