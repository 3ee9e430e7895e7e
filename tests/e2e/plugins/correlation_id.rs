use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget};

async fn correlated(config: Value) -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.plugin("a", "correlation-id", config).await;
    (gateway, target)
}

#[tokio::test]
async fn every_request_gets_an_id_of_its_own() {
    let (gateway, _target) = correlated(json!({ "generator": "uuid" })).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(gateway.get("/").await.echo().header("kong-request-id"));
    }
    assert!(ids.iter().all(|id| id.len() == 36), "{ids:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn the_clients_own_id_is_kept_and_echoed() {
    let (gateway, _target) = correlated(json!({ "header_name": "x-id", "echo_downstream": true })).await;
    let answer = gateway.get_with("/", &[("x-id", "mine")]).await;
    assert_eq!(answer.header("x-id"), "mine");
    assert_eq!(answer.echo().header("x-id"), "mine");
}

#[tokio::test]
async fn refusals_of_later_plugins_carry_the_id_too() {
    let (gateway, _target) = correlated(json!({ "echo_downstream": true })).await;
    gateway.plugin("a", "key-auth", json!({})).await;
    let answer = gateway.get("/").await.expect(401);
    assert!(answer.header("kong-request-id").contains('#'), "{answer:?}");
}
