//! What was acknowledged is kept, whatever happens to the process.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::{Admin, TestGateway, TestTarget};

/// Names of routes that the Admin API acknowledged.
type Acknowledged = Arc<Mutex<Vec<String>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_in_the_middle_of_writes_loses_nothing_that_was_acknowledged() {
    let mut gateway = TestGateway::new().start().await;
    let (acknowledged, mut last) = (Acknowledged::default(), 0);
    for round in 0..3 {
        let mut writers = JoinSet::new();
        for writer in 0..3 {
            writers.spawn(write(gateway.admin.clone(), format!("r{round}-{writer}"), acknowledged.clone()));
        }
        while acknowledged.lock().unwrap().len() < 40 * (round + 1) {
            tokio::task::yield_now().await;
        }
        gateway.kill9();
        writers.join_all().await;
        let highest = gateway.admin.acknowledged();
        gateway.restart().await.unwrap();
        let names = acknowledged.lock().unwrap().clone();
        for name in names {
            gateway.admin.get(&format!("/routes/{name}")).await.expect(200);
            assert_eq!(gateway.get(&format!("/{name}")).await.status, 503, "{name} is a route without a service");
        }
        gateway.admin.create("/consumers", json!({ "username": format!("after-{round}") })).await;
        assert!(gateway.admin.acknowledged() > highest.max(last), "the version goes on from {highest}");
        last = gateway.admin.acknowledged();
    }
}

/// Creates routes until the gateway is gone.
async fn write(admin: Admin, prefix: String, acknowledged: Acknowledged) {
    for number in 0..10_000 {
        let name = format!("{prefix}-{number}x");
        let route = json!({ "name": name, "paths": [format!("/{name}")] });
        match admin.try_write(admin.call("POST /routes").json(&route)).await {
            Ok(answer) if answer.status == 201 => acknowledged.lock().unwrap().push(name),
            _ => return,
        }
    }
}

#[tokio::test]
async fn the_configuration_survives_a_restart() {
    let mut gateway = TestGateway::new().start().await;
    gateway.admin.create("/routes", json!({ "paths": ["/kept"] })).await;
    gateway.get("/kept").await.expect(503);
    assert_eq!(gateway.terminate().await.code(), Some(0));
    gateway.restart().await.unwrap();
    gateway.get("/kept").await.expect(503);
}

#[tokio::test]
async fn kill_9_after_an_upload_loses_neither_code_nor_grants() {
    let target = TestTarget::echoing().await;
    let mut gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.upload("counterheader").await;
    gateway.plugin("a", "counterheader", json!({})).await;
    gateway.kill9();
    gateway.restart().await.unwrap();
    assert_eq!(gateway.get("/").await.echo().header("x-count"), "1");
}

#[tokio::test]
async fn versions_have_no_gaps() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/consumers", json!({ "username": "first" })).await;
    let first = gateway.admin.acknowledged();
    for number in 1..=10 {
        gateway.admin.create("/consumers", json!({ "username": number.to_string() })).await;
        gateway.admin.post("/consumers", json!({ "username": number.to_string() })).await.expect(409);
        assert_eq!(gateway.admin.acknowledged(), first + number, "refused writes take no version");
    }
}
