//! Another process takes over: sockets stay, requests do not notice.

use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::harness::{Client, Load, TestGateway, TestTarget, Wire};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_restarts_by_handover_cost_no_request() {
    let target = TestTarget::answering("a").await;
    let mut gateway =
        TestGateway::new().setting("SANDGATE_DRAIN_GRACE_PERIOD", "10s").route("/", [&target]).start().await;
    gateway.applied().await;
    let kept = Load::start(gateway.proxy(), "/", 4);
    let fresh = Load::fresh(gateway.proxy(), "/", 4);
    for number in 1..=10 {
        gateway.process.hand_over(PATIENCE).await.unwrap_or_else(|error| panic!("hand-over {number}: {error:#}"));
        let made = kept.requests();
        kept.made(made + 50).await;
    }
    kept.stop_without_failures(500).await;
    fresh.stop_without_failures(500).await;
}

#[tokio::test]
async fn ports_stay_and_changes_go_on_after_a_handover() {
    let target = TestTarget::answering("a").await;
    let mut gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.get("/").await.expect(200);
    let before = gateway.process.at;
    gateway.process.hand_over(PATIENCE).await.unwrap();
    assert_eq!(gateway.process.at, before);
    gateway.route("second", "/second", &target).await;
    gateway.get("/second").await.expect(200);
    let nodes = gateway.admin.get("/cluster").await.expect(200).json();
    assert_eq!(nodes["data"].as_array().unwrap().len(), 1, "it is the same node: {nodes}");
}

#[tokio::test]
async fn a_new_process_that_does_not_start_changes_nothing() {
    let target = TestTarget::answering("a").await;
    let settings = tempfile::NamedTempFile::new().unwrap();
    let path = settings.path().to_str().unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_CONFIG", path).route("/", [&target]).start().await;
    std::fs::write(path, "workers = 0\nnonsense = 1").unwrap();
    gateway.process.signal(Signal::USR2).unwrap();
    gateway.process.log.line("nobody took over", PATIENCE).await.unwrap();
    gateway.get("/").await.expect(200);
}

#[tokio::test]
async fn an_idle_connection_of_http_2_is_told_to_go_away() {
    let target = TestTarget::answering("a").await;
    let mut gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let mut client = Client::connect(gateway.proxy_tls(), Wire::TlsHttp2).await.unwrap();
    client.get("/").await.unwrap().expect(200);
    gateway.process.hand_over(PATIENCE).await.unwrap();
    // The old process has ended: nothing held it up.
    Client::connect(gateway.proxy_tls(), Wire::TlsHttp2).await.unwrap().get("/").await.unwrap().expect(200);
}

#[tokio::test]
async fn requests_that_are_open_are_answered_by_the_process_that_began_them() {
    for wire in [Wire::Http2, Wire::Tls, Wire::TlsHttp2] {
        let target = TestTarget::waiting().await;
        let mut gateway = TestGateway::new().route("/", [&target]).start().await;
        gateway.applied().await;
        let at = if wire == Wire::Http2 { gateway.proxy() } else { gateway.proxy_tls() };
        let mut calls = JoinSet::new();
        let ask = || async move { Client::connect(at, wire).await?.get("/").await };
        calls.spawn(ask());
        target.arrived().await;
        let before = gateway.process.take_over(PATIENCE).await.unwrap();
        calls.spawn(ask());
        target.arrived().await;
        target.release();
        target.release();
        for _ in 0..2 {
            calls.join_next().await.unwrap().unwrap().unwrap().expect(200);
        }
        gateway.process.gone(before, PATIENCE).await.unwrap_or_else(|error| panic!("{wire:?}: {error:#}"));
    }
}
