//! Changes while clients keep asking: not one of their requests fails.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Gateway, Load, TestGateway, TestTarget, guest, marked};

/// Memory that a gateway may take more after many changes than before.
const KEPT: u64 = 48 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_replacements_of_a_plugin_cost_no_request() {
    let target = TestTarget::answering("a").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.upload("counterheader").await;
    gateway.plugin("service-0", "counterheader", json!({})).await;
    gateway.get("/").await.expect(200);
    let load = Load::start(gateway.proxy(), "/", 4);
    let before = gateway.process.memory("VmRSS").unwrap();
    for number in 0..100 {
        let build = marked(&guest("counterheader"), &number.to_string());
        gateway.admin.upload("PUT /modules/counterheader", build).await.expect(200);
        load.made(10 * (number + 1)).await;
    }
    gateway.applied().await;
    load.made(1_000).await;
    gives_back(&gateway, before).await;
    load.stop_without_failures(1_000).await;
    assert_eq!(gateway.module("counterheader").await["traps"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_changes_of_the_configuration_cost_no_request() {
    let target = TestTarget::answering("a").await;
    let gateway = TestGateway::new().route("/steady", [&target]).start().await;
    gateway.plugin("service-0", "key-auth", json!({})).await;
    gateway.consumer("ann", "ann").await;
    gateway.applied().await;
    let load = Load::with(gateway.proxy(), "/steady", &[("apikey", "ann")], 4);
    let before = gateway.process.memory("VmRSS").unwrap();
    for round in 0..100 {
        ten_changes(&gateway, round).await;
    }
    gateway.applied().await;
    gives_back(&gateway, before).await;
    load.stop_without_failures(1_000).await;
    assert!(gateway.process.log.version() >= 1_000);
}

/// Waits until no more is kept of what is gone: requests that began before, and the allocator, let go of it by and by.
async fn gives_back(gateway: &Gateway, before: u64) {
    gateway.until(async || gateway.process.memory("VmRSS").unwrap().saturating_sub(before) < KEPT).await;
}

/// Adds, changes and removes a route, a plugin and a consumer.
async fn ten_changes(gateway: &Gateway, round: u32) {
    let name = format!("n{round}");
    let admin = &gateway.admin;
    let route = json!({ "name": name, "paths": [format!("/{name}")], "service": { "name": "service-0" } });
    admin.create("/routes", route).await;
    let plugin = admin.create(&format!("/routes/{name}/plugins"), limit(round + 1)).await;
    admin.create("/consumers", json!({ "username": name })).await;
    admin.create(&format!("/consumers/{name}/key-auth"), json!({ "key": name })).await;
    admin.create(&format!("/consumers/{name}/acls"), json!({ "group": "g" })).await;
    admin.patch(&format!("/routes/{name}"), json!({ "methods": ["GET"] })).await.expect(200);
    let plugin = format!("/plugins/{}", plugin["id"].as_str().unwrap());
    admin.patch(&plugin, json!({ "enabled": false })).await.expect(200);
    admin.delete(&plugin).await.expect(204);
    admin.delete(&format!("/consumers/{name}")).await.expect(204);
    admin.delete(&format!("/routes/{name}")).await.expect(204);
}

fn limit(minute: u32) -> Value {
    json!({ "name": "rate-limiting", "config": { "minute": minute } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_grants_and_limits_cost_no_request() {
    let target = TestTarget::answering("a").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.upload("counterheader").await;
    gateway.plugin("service-0", "counterheader", json!({})).await;
    gateway.applied().await;
    let load = Load::start(gateway.proxy(), "/", 4);
    for number in 0..50 {
        let grants = if number % 2 == 0 { json!({}) } else { json!({ "counters": [] }) };
        let change = json!({ "grants": grants, "cpu_limit": 50 + number });
        gateway.admin.patch("/modules/counterheader", change).await.expect(200);
    }
    gateway.applied().await;
    load.stop_without_failures(50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_come_and_go_without_a_failed_request() {
    let (one, two) = (TestTarget::answering("1").await, TestTarget::answering("2").await);
    let gateway = TestGateway::new().route("/", [&one, &two]).start().await;
    gateway.applied().await;
    let load = Load::start(gateway.proxy(), "/", 4);
    let path = format!("/upstreams/service-0.upstream/targets/{}", two.address);
    for _ in 0..20 {
        gateway.admin.delete(&path).await.expect(204);
        gateway.applied().await;
        let target = json!({ "target": two.address.to_string() });
        gateway.admin.create("/upstreams/service-0.upstream/targets", target).await;
        gateway.applied().await;
    }
    load.stop_without_failures(100).await;
    assert!(two.count() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_operators_at_once_lose_nothing() {
    let target = TestTarget::answering("a").await;
    let gateway = TestGateway::new().route("/steady", [&target]).start().await;
    gateway.applied().await;
    let load = Load::start(gateway.proxy(), "/steady", 2);
    let before = gateway.admin.acknowledged();
    let mut operators = JoinSet::new();
    for operator in 0..8 {
        let admin = gateway.admin.clone();
        operators.spawn(async move {
            for number in 0..25 {
                let name = format!("r{operator}-{number}x");
                admin.create("/routes", json!({ "name": name, "paths": [format!("/{name}")] })).await;
            }
        });
    }
    operators.join_all().await;
    load.stop_without_failures(10).await;
    assert_eq!(gateway.admin.acknowledged(), before + 200, "each write has a version of its own");
    for (operator, number) in [(0, 0), (3, 24), (7, 24)] {
        gateway.get(&format!("/r{operator}-{number}x")).await.expect(503);
    }
}
