//! acl

use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget};

/// A route `/` with key-auth and acl; ann is in `gold`, bob in no group.
async fn guarded(config: Value) -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.plugin("a", "key-auth", json!({})).await;
    gateway.plugin("a", "acl", config).await;
    gateway.consumer("ann", "ann").await;
    gateway.consumer("bob", "bob").await;
    gateway.admin.create("/consumers/ann/acls", json!({ "group": "gold" })).await;
    (gateway, target)
}

#[tokio::test]
async fn groups_decide_who_passes() {
    for (config, ann, bob) in [
        (json!({ "allow": ["gold", "silver"] }), 200, 403),
        (json!({ "allow": ["silver"] }), 403, 403),
        (json!({ "deny": ["gold"] }), 403, 200),
        (json!({ "deny": ["silver"] }), 200, 200),
    ] {
        let (gateway, target) = guarded(config.clone()).await;
        for (key, status) in [("ann", ann), ("bob", bob)] {
            let answer = gateway.get(&format!("/?apikey={key}")).await;
            assert_eq!(answer.status, status, "{key} {config}");
            if status == 403 {
                assert_eq!(answer.json()["message"], "You cannot consume this service", "{key} {config}");
            }
        }
        assert_eq!(target.count(), [ann, bob].iter().filter(|status| **status == 200).count() as u64);
    }
}

#[tokio::test]
async fn without_an_authentication_plugin_nobody_passes() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.plugin("a", "acl", json!({ "allow": ["gold"] })).await;
    gateway.get("/").await.expect(401);
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn the_target_learns_the_groups_and_no_lies() {
    let (gateway, _target) = guarded(json!({ "deny": ["silver"] })).await;
    gateway.admin.create("/consumers/ann/acls", json!({ "group": "blue" })).await;
    let lie = [("x-consumer-groups", "admin")];
    let groups = gateway.get_with("/?apikey=ann", &lie).await.echo().header("x-consumer-groups");
    assert!(["gold, blue", "blue, gold"].contains(&groups.as_str()), "{groups}");
    assert!(!gateway.get_with("/?apikey=bob", &lie).await.echo().has("x-consumer-groups"));
}

#[tokio::test]
async fn a_group_that_is_left_is_left_at_once() {
    let (gateway, _target) = guarded(json!({ "allow": ["gold"] })).await;
    gateway.get("/?apikey=ann").await.expect(200);
    let acls = gateway.admin.get("/consumers/ann/acls").await.json();
    gateway.admin.delete(&format!("/acls/{}", acls["data"][0]["id"].as_str().unwrap())).await.expect(204);
    gateway.get("/?apikey=ann").await.expect(403);
}

#[tokio::test]
async fn a_list_must_be_given_and_only_one() {
    let gateway = TestGateway::new().start().await;
    for config in [json!({}), json!({ "allow": ["a"], "deny": ["b"] })] {
        gateway.admin.post("/plugins", json!({ "name": "acl", "config": config })).await.expect(400);
    }
}
