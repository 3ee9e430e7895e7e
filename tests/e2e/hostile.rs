//! Plugins that misbehave: each is contained, its own route answers by policy, and nobody else notices.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Call, Gateway, Load, TestGateway, TestTarget};

/// A plugin that failed three times is not called for so long; a machine may be too slow to see it.
const PAUSE: Duration = Duration::from_secs(1);

/// What harms whom: a guest and how it is told to misbehave on every request.
fn hostile() -> [(&'static str, Value); 6] {
    [
        ("spin", json!({ "always": true })),
        ("hog", json!({ "always": true })),
        ("recurse", json!({ "always": true })),
        ("flood", json!({ "always": true })),
        ("flood", json!({ "always": true, "headers": 500, "bytes": 10 })),
        ("trap", json!({ "every": 1 })),
    ]
}

/// A route `/healthy` with a plugin that behaves, and `/harmed` with one that does not, both on one worker.
async fn with_hostile(name: &str, config: Value) -> (Gateway, [TestTarget; 2]) {
    let (healthy, harmed) = (TestTarget::answering("fine").await, TestTarget::answering("passed").await);
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").start().await;
    gateway.route("healthy", "/healthy", &healthy).await;
    gateway.plugin("healthy", "rate-limiting", json!({ "hour": 1_000_000 })).await;
    gateway.route("harmed", "/harmed", &harmed).await;
    gateway.upload(name).await;
    gateway.plugin("harmed", name, config).await;
    gateway.applied().await;
    (gateway, [healthy, harmed])
}

#[tokio::test]
async fn a_misbehaving_plugin_harms_its_own_route_alone() {
    for (name, config) in hostile() {
        let (mut gateway, [_healthy, harmed]) = with_hostile(name, config.clone()).await;
        let load = Load::start(gateway.proxy(), "/healthy", 2);
        load.made(20).await;
        let mut calls = JoinSet::new();
        for _ in 0..16 {
            calls.spawn(Call::new(gateway.proxy(), "GET /harmed").try_send());
        }
        for answer in calls.join_all().await {
            assert_eq!(answer.unwrap().status, 503, "{name} {config}");
        }
        load.made(60).await;
        load.stop_without_failures(60).await;
        assert_eq!(harmed.count(), 0, "{name} {config}: nobody passes");
        assert!(gateway.process.is_alive(), "{name} {config}");
    }
}

#[tokio::test]
async fn an_operator_may_let_requests_pass_a_failing_plugin() {
    for (name, config) in hostile() {
        let (gateway, [_healthy, harmed]) = with_hostile(name, config.clone()).await;
        gateway.admin.patch(&format!("/modules/{name}"), json!({ "failure_policy": "open" })).await.expect(200);
        for _ in 0..5 {
            let answer = gateway.get("/harmed").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "passed"), "{name} {config}");
        }
        assert_eq!(harmed.count(), 5, "{name} {config}");
    }
}

#[tokio::test]
async fn the_module_says_why_it_is_not_called_any_more() {
    for (name, config) in hostile() {
        let (gateway, _targets) = with_hostile(name, config.clone()).await;
        let begun = Instant::now();
        for _ in 0..4 {
            gateway.get("/harmed").await.expect(503);
        }
        let (is_quick, module) = (begun.elapsed() < PAUSE, gateway.module(name).await);
        let is_open = module["circuit"] == "open" || (module["circuit"] == "half-open" && !is_quick);
        assert!(is_open, "{name} {config}: {module}");
        assert!(module["traps"].as_u64().unwrap() >= 3, "{name} {config}: {}", module["traps"]);
        assert!(module["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{name} {config}: {module}");
    }
}

#[tokio::test]
async fn failures_of_a_plugin_are_counted_in_the_metrics() {
    let (gateway, _targets) = with_hostile("trap", json!({ "every": 1 })).await;
    let begun = Instant::now();
    for _ in 0..4 {
        gateway.get("/harmed").await.expect(503);
    }
    let is_quick = begun.elapsed() < PAUSE;
    let call = Call::new(gateway.process.at.status, "GET /metrics").send().await;
    let text = call.expect(200).text();
    for (line, why) in [
        ("sandgate_plugin_rejections_total{plugin=\"trap\"} 4", "every one was refused"),
        ("sandgate_plugin_circuit_open{plugin=\"trap\"} 1", "it is not called any more"),
    ] {
        assert!(text.contains(line), "{line}: {why}\n{text}");
    }
    let traps = |count: u32| text.contains(&format!("sandgate_plugin_traps_total{{plugin=\"trap\"}} {count}\n"));
    assert!(traps(3) || (traps(4) && !is_quick), "the fourth was not called\n{text}");
    assert!(!text.contains("subsystem=\"http\"} 0\n"), "requests were counted\n{text}");
}

#[tokio::test]
async fn a_plugin_that_traps_now_and_then_costs_those_requests_alone() {
    let target = TestTarget::answering("passed").await;
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").start().await;
    gateway.route("a", "/", &target).await;
    gateway.upload("trap").await;
    gateway.plugin("a", "trap", json!({})).await;
    let mut statuses = Vec::new();
    for _ in 0..14 {
        statuses.push(gateway.get("/").await.status);
    }
    let seven = [200, 200, 200, 200, 200, 200, 503];
    assert_eq!(statuses, [seven, seven].concat());
}

#[tokio::test]
async fn a_plugin_in_back_off_gets_another_chance() {
    let (gateway, _targets) = with_hostile("spin", json!({})).await;
    let mut begun = Instant::now();
    for _ in 0..3 {
        begun = Instant::now();
        gateway.get_with("/harmed", &[("x-misbehave", "1")]).await.expect(503);
    }
    let status = gateway.get("/harmed").await.status;
    assert!(status == 503 || begun.elapsed() >= PAUSE, "{status} after {:?}", begun.elapsed());
    gateway.eventually("/harmed", |answer| answer.status == 200).await;
    assert_eq!(gateway.module("spin").await["circuit"], "closed");
}

#[tokio::test]
async fn a_new_version_of_a_failing_plugin_starts_afresh() {
    let (gateway, _targets) = with_hostile("spin", json!({})).await;
    for _ in 0..4 {
        gateway.get_with("/harmed", &[("x-misbehave", "1")]).await.expect(503);
    }
    let fixed = crate::harness::marked(&crate::harness::guest("spin"), "fixed");
    gateway.admin.upload("PUT /modules/spin", fixed).await.expect(200);
    gateway.get("/harmed").await.expect(200);
}

#[tokio::test]
async fn a_fresh_instance_for_each_call_remembers_nothing() {
    let target = TestTarget::answering("passed").await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.upload("trap").await;
    gateway.admin.patch("/modules/trap", json!({ "fresh": true })).await.expect(200);
    gateway.plugin("a", "trap", json!({ "every": 2 })).await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.expect(200).header("x-calls"), "1");
    }
}
