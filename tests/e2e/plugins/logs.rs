//! file-log and http-log

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use http::Response;
use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget, full};

async fn logging(name: &str, config: impl Fn(&Gateway) -> Value) -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.plugin("a", name, config(&gateway)).await;
    (gateway, target)
}

fn path(gateway: &Gateway) -> Value {
    json!({ "path": gateway.file("access.log") })
}

#[tokio::test]
async fn each_request_is_a_line_in_the_file() {
    let (gateway, _target) = logging("file-log", path).await;
    let answer = gateway.get_with("/x?y=1", &[("user-agent", "test/1")]).await.expect(200);
    gateway.get("/").await.expect(200);
    let lines = gateway.lines("access.log", 2).await;
    // Each worker hands its lines over by itself: those of two connections come in any order.
    let records = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut of_first = records.filter(|record| record["request"]["id"] == answer.header("x-kong-request-id"));
    let record = of_first.next().expect("the first request has its line");
    assert_eq!(record["request"]["method"], "GET");
    assert_eq!(record["request"]["headers"]["user-agent"], "test/1");
    assert_eq!((&record["response"]["status"], &record["client_ip"]), (&json!(200), &json!("127.0.0.1")));
    assert_eq!((&record["route"]["name"], &record["service"]["name"]), (&json!("a"), &json!("a")));
    assert!(record["latencies"]["request"].is_number() && record["started_at"].is_number(), "{record}");
}

#[tokio::test]
async fn what_other_plugins_refuse_is_logged_too() {
    let (gateway, _target) = logging("file-log", path).await;
    gateway.plugin("a", "key-auth", json!({})).await;
    gateway.get("/").await.expect(401);
    let record: Value = serde_json::from_str(&gateway.lines("access.log", 1).await[0]).unwrap();
    assert_eq!(record["response"]["status"], 401);
}

#[tokio::test]
async fn the_consumer_is_in_the_log() {
    let (gateway, _target) = logging("file-log", path).await;
    gateway.plugin("a", "key-auth", json!({})).await;
    gateway.consumer("ann", "one").await;
    gateway.get("/?apikey=one").await.expect(200);
    let record: Value = serde_json::from_str(&gateway.lines("access.log", 1).await[0]).unwrap();
    assert_eq!(record["consumer"]["username"], "ann");
}

#[tokio::test]
async fn nothing_is_lost_when_the_gateway_ends() {
    let (mut gateway, _target) = logging("file-log", path).await;
    gateway.get_times("/", 20).await;
    assert_eq!(gateway.terminate().await.code(), Some(0));
    assert_eq!(gateway.lines("access.log", 20).await.len(), 20);
}

#[tokio::test]
async fn records_are_sent_to_a_server_in_the_background() {
    let server = TestTarget::answering("thanks").await;
    let (gateway, _target) =
        logging("http-log", |_| json!({ "http_endpoint": format!("{}/logs", server.url()) })).await;
    gateway.get("/x").await.expect(200);
    server.arrived().await;
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/logs"));
    assert_eq!(seen.headers["content-type"], "application/json");
    let record: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!((&record["response"]["status"], &record["route"]["name"]), (&json!(200), &json!("a")));
}

#[tokio::test]
async fn a_batch_that_fails_is_sent_again() {
    let tries = AtomicU64::new(0);
    let server = TestTarget::replying(move |_| {
        let status = if tries.fetch_add(1, Relaxed) < 2 { 500 } else { 200 };
        Response::builder().status(status).body(full("")).unwrap()
    })
    .await;
    let (gateway, _target) = logging("http-log", |_| json!({ "http_endpoint": server.url() })).await;
    gateway.get("/").await.expect(200);
    for _ in 0..3 {
        server.arrived().await;
    }
    let bodies: Vec<_> = server.seen().into_iter().map(|seen| seen.body).collect();
    assert!(bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test]
async fn connections_to_the_server_are_kept_for_as_long_as_the_operator_says() {
    for keepalive in [60_000, 1] {
        let server = TestTarget::answering("thanks").await;
        let config = json!({ "http_endpoint": server.url(), "keepalive": keepalive });
        let (gateway, _target) = logging("http-log", |_| config.clone()).await;
        for _ in 0..3 {
            gateway.get("/").await.expect(200);
            server.arrived().await;
            // Time itself is the condition: longer than the shorter one, on a busy machine too.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(server.connections() == 1, keepalive == 60_000, "{} within {keepalive} ms", server.connections());
    }
}

#[tokio::test]
async fn records_are_batched() {
    let server = TestTarget::answering("thanks").await;
    let queue = json!({ "max_batch_size": 5, "max_coalescing_delay": 600 });
    let config = |_: &Gateway| json!({ "http_endpoint": server.url(), "queue": queue });
    let target = TestTarget::answering("a").await;
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").start().await;
    gateway.route("a", "/", &target).await;
    gateway.plugin("a", "http-log", config(&gateway)).await;
    gateway.get_times("/", 5).await;
    server.arrived().await;
    let batch: Value = serde_json::from_slice(&server.seen()[0].body).unwrap();
    assert_eq!(batch.as_array().map(Vec::len), Some(5), "{batch}");
}

#[tokio::test]
async fn what_waits_for_its_batch_is_sent_before_the_end() {
    let server = TestTarget::answering("thanks").await;
    let queue = json!({ "max_batch_size": 100, "max_coalescing_delay": 3600 });
    let config = |_: &Gateway| json!({ "http_endpoint": server.url(), "queue": queue });
    let (mut gateway, _target) = logging("http-log", config).await;
    gateway.get_times("/", 3).await;
    assert_eq!(gateway.terminate().await.code(), Some(0));
    let sent = server.seen().into_iter().map(|seen| serde_json::from_slice::<Vec<Value>>(&seen.body).unwrap().len());
    assert_eq!(sent.sum::<usize>(), 3);
}

#[tokio::test]
async fn a_log_server_that_is_away_does_not_hurt_clients() {
    let server = TestTarget::refusing();
    let (gateway, target) = logging("http-log", |_| json!({ "http_endpoint": server.url() })).await;
    gateway.get_times("/", 20).await;
    assert_eq!(target.count(), 20);
}
