//! Which targets count as healthy, by whom.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU16, Ordering::Relaxed},
};

use http::Response;
use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget, full};

/// A target whose status can be turned.
struct Moody {
    target: TestTarget,
    status: Arc<AtomicU16>,
}

impl Moody {
    async fn new() -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let told = status.clone();
        let reply = move |_: &_| Response::builder().status(told.load(Relaxed)).body(full("moody")).unwrap();
        Self { target: TestTarget::replying(reply).await, status }
    }

    fn turn(&self, status: u16) {
        self.status.store(status, Relaxed);
    }
}

async fn gateway(upstream: Value, targets: &[&TestTarget]) -> Gateway {
    gateway_with(TestGateway::new(), upstream, targets).await
}

async fn gateway_with(gateway: TestGateway, mut upstream: Value, targets: &[&TestTarget]) -> Gateway {
    let gateway = gateway.start().await;
    upstream["name"] = "u".into();
    gateway.admin.create("/upstreams", upstream).await;
    for target in targets {
        gateway.admin.create("/upstreams/u/targets", json!({ "target": target.address.to_string() })).await;
    }
    gateway.admin.create("/services", json!({ "name": "s", "host": "u", "retries": 0 })).await;
    gateway.admin.create("/services/s/routes", json!({ "paths": ["/"] })).await;
    gateway.applied().await;
    gateway
}

/// The state of a target as the Admin API shows it.
async fn health(gateway: &Gateway, target: &TestTarget) -> String {
    let page = gateway.admin.get("/upstreams/u/health").await.expect(200).json();
    let name = target.address.to_string();
    let row = page["data"].as_array().unwrap().iter().find(|row| row["target"] == *name).unwrap();
    assert_eq!(row["health"], row["data"]["addresses"][0]["health"]);
    row["health"].as_str().unwrap().to_owned()
}

async fn becomes(gateway: &Gateway, target: &TestTarget, state: &str) {
    gateway.until(async || health(gateway, target).await == state).await;
}

fn passive(unhealthy: Value) -> Value {
    json!({ "healthchecks": { "passive": { "unhealthy": unhealthy } } })
}

fn active(kind: &str) -> Value {
    let fast = |counters: Value| {
        let mut counters = counters;
        counters["interval"] = 0.05.into();
        counters
    };
    json!({ "healthchecks": { "active": {
        "type": kind, "http_path": "/health", "timeout": 30, "headers": { "x-check": ["a", "b"] },
        "healthy": fast(json!({ "successes": 2 })),
        "unhealthy": fast(json!({ "http_failures": 2, "tcp_failures": 2, "timeouts": 2 })),
    } } })
}

#[tokio::test]
async fn a_target_with_too_many_bad_answers_is_asked_no_more() {
    let (bad, good) = (TestTarget::status(500).await, TestTarget::answering("good").await);
    let gateway = gateway(passive(json!({ "http_failures": 3 })), &[&bad, &good]).await;
    for _ in 0..20 {
        gateway.get("/").await;
    }
    assert_eq!((bad.count(), good.count()), (3, 17));
    assert_eq!(health(&gateway, &bad).await, "UNHEALTHY");
    assert_eq!(health(&gateway, &good).await, "HEALTHY");
}

#[tokio::test]
async fn only_the_listed_statuses_count() {
    let odd = Moody::new().await;
    let gateway = gateway(passive(json!({ "http_failures": 1, "http_statuses": [418] })), &[&odd.target]).await;
    for (status, expected) in [(500, "HEALTHY"), (503, "HEALTHY"), (418, "UNHEALTHY")] {
        odd.turn(status);
        gateway.get("/").await.expect(status);
        assert_eq!(health(&gateway, &odd.target).await, expected, "{status}");
    }
}

#[tokio::test]
async fn a_target_that_refuses_connections_is_asked_no_more() {
    let dead = TestTarget::refusing();
    let gateway = gateway(passive(json!({ "tcp_failures": 2 })), &[&dead]).await;
    for expected in [502, 502, 503] {
        gateway.get("/").await.expect(expected);
    }
    let answer = gateway.get("/").await.expect(503);
    assert_eq!(answer.json()["message"], "failure to get a peer from the ring-balancer");
}

#[tokio::test]
async fn a_target_that_takes_too_long_is_asked_no_more() {
    let slow = TestTarget::waiting().await;
    let gateway = gateway(passive(json!({ "timeouts": 1 })), &[&slow]).await;
    gateway.admin.patch("/services/s", json!({ "read_timeout": 50 })).await.expect(200);
    gateway.get("/").await.expect(504);
    gateway.get("/").await.expect(503);
    gateway.until(async || slow.count() > 0).await;
    assert_eq!(slow.count(), 1);
}

#[tokio::test]
async fn a_timeout_that_a_target_reports_is_one() {
    let behind = TestTarget::status(504).await;
    let gateway = gateway(passive(json!({ "timeouts": 2, "http_failures": 1 })), &[&behind]).await;
    for expected in [504, 504, 503] {
        gateway.get("/").await.expect(expected);
    }
}

#[tokio::test]
async fn a_good_answer_begins_the_count_anew() {
    let moody = Moody::new().await;
    let gateway = gateway(passive(json!({ "http_failures": 2 })), &[&moody.target]).await;
    for status in [500, 200, 500, 200, 500, 500] {
        moody.turn(status);
        gateway.get("/").await.expect(status);
    }
    gateway.get("/").await.expect(503);
}

#[tokio::test]
async fn active_checks_turn_targets_both_ways() {
    let (moody, good) = (Moody::new().await, TestTarget::answering("good").await);
    let gateway = gateway(active("http"), &[&moody.target, &good]).await;
    for _ in 0..2 {
        moody.turn(503);
        becomes(&gateway, &moody.target, "UNHEALTHY").await;
        assert_eq!(gateway.get_times("/", 10).await, ["good"; 10]);
        moody.turn(200);
        becomes(&gateway, &moody.target, "HEALTHY").await;
    }
    let seen = moody.target.seen();
    let check = seen.iter().find(|seen| seen.target == "/health").unwrap();
    assert_eq!(check.headers["host"], "127.0.0.1");
    assert_eq!(check.headers.get_all("x-check").iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn checks_of_connections_turn_targets() {
    let (dead, good) = (TestTarget::refusing(), TestTarget::answering("good").await);
    let gateway = gateway(active("tcp"), &[&dead, &good]).await;
    becomes(&gateway, &dead, "UNHEALTHY").await;
    assert_eq!(health(&gateway, &good).await, "HEALTHY");
    assert_eq!(good.count(), 0, "a connection is enough");
    assert_eq!(gateway.get_times("/", 10).await, ["good"; 10]);
}

#[tokio::test]
async fn checks_over_tls_verify_targets_where_they_should() {
    let target = TestTarget::echoing_over_tls().await;
    let gateway = gateway(active("https"), &[&target]).await;
    becomes(&gateway, &target, "UNHEALTHY").await;
    let lenient = json!({ "healthchecks": { "active": { "https_verify_certificate": false, "https_sni": "a.test" } } });
    gateway.admin.patch("/upstreams/u", lenient).await.expect(200);
    becomes(&gateway, &target, "HEALTHY").await;
}

#[tokio::test]
async fn checks_of_grpc_heed_what_the_target_says() {
    let serving = Arc::new(AtomicBool::new(false));
    let target = TestTarget::grpc_health(serving.clone()).await;
    let gateway = gateway(active("grpc"), &[&target]).await;
    for (is_serving, state) in [(false, "UNHEALTHY"), (true, "HEALTHY"), (false, "UNHEALTHY")] {
        serving.store(is_serving, Relaxed);
        becomes(&gateway, &target, state).await;
    }
}

#[tokio::test]
async fn checks_that_take_too_long_turn_targets() {
    let slow = TestTarget::waiting().await;
    let mut upstream = active("http");
    upstream["healthchecks"]["active"]["timeout"] = 0.05.into();
    let gateway = gateway(upstream, &[&slow]).await;
    becomes(&gateway, &slow, "UNHEALTHY").await;
}

#[tokio::test]
async fn operators_turn_targets_by_hand() {
    let target = TestTarget::answering("a").await;
    let gateway = gateway(passive(json!({ "http_failures": 1 })), &[&target]).await;
    let id = gateway.admin.id(&format!("/upstreams/u/targets/{}", target.address)).await;
    let keys = [target.address.to_string(), id.as_str().unwrap().to_owned(), format!("{0}/{0}", target.address)];
    for (key, method) in keys.iter().zip(["PUT", "POST", "PUT"]) {
        for (state, expected) in [("unhealthy", 503), ("healthy", 200)] {
            let path = format!("{method} /upstreams/u/targets/{key}/{state}");
            gateway.admin.call(&path).send().await.expect(204);
            gateway.get("/").await.expect(expected);
        }
    }
    gateway.admin.call("PUT /upstreams/u/targets/10.0.0.9:1/healthy").send().await.expect(404);
    let wrong = format!("PUT /upstreams/u/targets/{}/10.0.0.9/healthy", target.address);
    gateway.admin.call(&wrong).send().await.expect(404);
}

#[tokio::test]
async fn a_mark_needs_checks() {
    let target = TestTarget::answering("a").await;
    let gateway = gateway(json!({}), &[&target]).await;
    let path = format!("PUT /upstreams/u/targets/{}/unhealthy", target.address);
    let refused = gateway.admin.call(&path).send().await.expect(400).json();
    assert_eq!(refused["message"], "no healthchecker found for u");
    assert_eq!(health(&gateway, &target).await, "HEALTHCHECKS_OFF");
}

#[tokio::test]
async fn a_mark_outlives_changes_of_other_things() {
    let (target, other) = (TestTarget::answering("a").await, TestTarget::answering("b").await);
    let gateway = gateway(passive(json!({ "http_failures": 1 })), &[&target]).await;
    gateway.admin.call(&format!("PUT /upstreams/u/targets/{}/unhealthy", target.address)).send().await.expect(204);
    gateway.admin.create("/upstreams/u/targets", json!({ "target": other.address.to_string() })).await;
    gateway.admin.patch("/upstreams/u", json!({ "slots": 2000 })).await.expect(200);
    assert_eq!(gateway.get_times("/", 6).await, ["b"; 6]);
}

#[tokio::test]
async fn below_the_threshold_nobody_is_asked() {
    let (one, two) = (TestTarget::answering("1").await, TestTarget::answering("2").await);
    let mut upstream = passive(json!({ "http_failures": 1 }));
    upstream["healthchecks"]["threshold"] = 60.into();
    let gateway = gateway(upstream, &[&one, &two]).await;
    gateway.get("/").await.expect(200);
    gateway.admin.call(&format!("PUT /upstreams/u/targets/{}/unhealthy", one.address)).send().await.expect(204);
    gateway.get("/").await.expect(503);
    let page = gateway.admin.get("/upstreams/u/health?balancer_health=1").await.expect(200).json();
    let shown = &page["data"];
    assert_eq!((&shown["health"], &shown["balancer_health"]), (&json!("UNHEALTHY"), &json!("UNHEALTHY")));
    assert_eq!(shown["details"]["weight"], json!({ "total": 200, "available": 100, "unavailable": 100 }));
}

#[tokio::test]
async fn a_retry_asks_another_target() {
    let (dead, alive) = (TestTarget::refusing(), TestTarget::answering("alive").await);
    let gateway = gateway(json!({ "algorithm": "consistent-hashing", "hash_on": "path" }), &[&dead, &alive]).await;
    gateway.admin.patch("/services/s", json!({ "retries": 1 })).await.expect(200);
    for number in 0..20 {
        assert_eq!(gateway.get(&format!("/{number}")).await.expect(200).text(), "alive");
    }
}

#[tokio::test]
async fn an_outlier_is_left_alone_for_a_while() {
    let settings = TestGateway::new()
        .setting("SANDGATE_UPSTREAM_OUTLIER_FAILURES", "3")
        .setting("SANDGATE_UPSTREAM_OUTLIER_TIME", "1h");
    let (bad, good) = (TestTarget::status(500).await, TestTarget::answering("good").await);
    let gateway = gateway_with(settings, json!({}), &[&bad, &good]).await;
    for _ in 0..20 {
        gateway.get("/").await;
    }
    assert_eq!((bad.count(), good.count()), (3, 17));
    let alone = gateway_with_alone(&bad).await;
    for _ in 0..10 {
        alone.get("/").await.expect(500);
    }
}

/// The same settings with this target alone.
async fn gateway_with_alone(target: &TestTarget) -> Gateway {
    let settings = TestGateway::new().setting("SANDGATE_UPSTREAM_OUTLIER_FAILURES", "3");
    gateway_with(settings, json!({}), &[target]).await
}
