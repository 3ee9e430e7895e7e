//! Another process takes over: sockets stay, requests do not notice.

use std::time::Duration;

use rustix::process::Signal;

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
