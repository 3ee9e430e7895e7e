//! Which configurations run, in which order, and what happens when one fails.

use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget, within_an_hour};

/// A route `a` at `/`.
async fn with_route() -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    (gateway, target)
}

/// Whoever counts on it begins early in the hour.
fn limit(hour: u32) -> Value {
    json!({ "name": "rate-limiting", "config": { "hour": hour } })
}

#[tokio::test]
async fn the_most_specific_configuration_runs_alone() {
    let (gateway, _target) = with_route().await;
    gateway.plugin("a", "key-auth", json!({})).await;
    let ann = gateway.consumer("ann", "ann").await;
    gateway.consumer("bob", "bob").await;
    let (route, service) = (gateway.admin.id("/routes/a").await, gateway.admin.id("/services/a").await);
    let ann = ann["id"].clone();
    let cases = [
        (json!({}), 100),
        (json!({ "service": { "id": service } }), 200),
        (json!({ "route": { "id": route } }), 300),
        (json!({ "consumer": { "id": ann } }), 400),
        (json!({ "route": { "id": route }, "service": { "id": service } }), 500),
        (json!({ "service": { "id": service }, "consumer": { "id": ann } }), 600),
        (json!({ "route": { "id": route }, "consumer": { "id": ann } }), 700),
        (json!({ "route": { "id": route }, "service": { "id": service }, "consumer": { "id": ann } }), 800),
    ];
    for (scope, hour) in cases {
        let mut plugin = limit(hour);
        plugin.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
        gateway.admin.create("/plugins", plugin).await;
        let answer = gateway.get("/?apikey=ann").await.expect(200);
        assert_eq!(answer.header("x-ratelimit-limit-hour"), hour.to_string(), "{scope}");
    }
    let answer = gateway.get("/?apikey=bob").await.expect(200);
    assert_eq!(answer.header("x-ratelimit-limit-hour"), "500", "what is for ann is not for bob");
}

#[tokio::test]
async fn response_phases_see_what_earlier_plugins_refused() {
    let (gateway, _target) = with_route().await;
    gateway.upload("greeting").await;
    gateway.plugin("a", "greeting", json!({})).await;
    gateway.plugin("a", "key-auth", json!({})).await;
    let answer = gateway.get("/").await.expect(401);
    assert_eq!((answer.header("x-greeted-by"), answer.has("x-greetings")), ("Hello", false));
}

#[tokio::test]
async fn a_disabled_configuration_leaves_the_place_to_the_next() {
    let (gateway, _target) = with_route().await;
    gateway.admin.create("/plugins", limit(100)).await;
    let plugin = gateway.admin.create("/routes/a/plugins", limit(200)).await;
    assert_eq!(gateway.get("/").await.header("x-ratelimit-limit-hour"), "200");
    let path = format!("/plugins/{}", plugin["id"].as_str().unwrap());
    gateway.admin.patch(&path, json!({ "enabled": false })).await.expect(200);
    assert_eq!(gateway.get("/").await.header("x-ratelimit-limit-hour"), "100");
}

#[tokio::test]
async fn plugins_run_by_priority() {
    let (gateway, _target) = with_route().await;
    gateway.admin.create("/routes/a/plugins", limit(2)).await;
    gateway.plugin("a", "key-auth", json!({})).await;
    gateway.consumer("ann", "ann").await;
    within_an_hour().await;
    for _ in 0..5 {
        gateway.get("/").await.expect(401);
    }
    let answer = gateway.get("/?apikey=ann").await.expect(200);
    assert_eq!(answer.header("x-ratelimit-remaining-hour"), "1", "who has no key is not counted");
}

#[tokio::test]
async fn an_operator_may_change_the_order() {
    let (gateway, _target) = with_route().await;
    gateway.admin.create("/routes/a/plugins", limit(2)).await;
    gateway.plugin("a", "key-auth", json!({})).await;
    gateway.admin.patch("/modules/rate-limiting", json!({ "priority": 2000 })).await.expect(200);
    within_an_hour().await;
    for status in [401, 401, 429] {
        gateway.get("/").await.expect(status);
    }
}

#[tokio::test]
async fn global_plugins_run_where_no_route_matches() {
    let gateway = TestGateway::new().start().await;
    let config = json!({ "path": gateway.file("access.log") });
    gateway.admin.create("/plugins", json!({ "name": "file-log", "config": config })).await;
    gateway.get("/nothing").await.expect(404);
    let record: Value = serde_json::from_str(&gateway.lines("access.log", 1).await[0]).unwrap();
    assert_eq!((&record["response"]["status"], &record["route"]), (&json!(404), &Value::Null));
}

#[tokio::test]
async fn a_plugin_that_fails_lets_nobody_pass() {
    let (gateway, target) = with_route().await;
    gateway.upload("trap").await;
    gateway.plugin("a", "trap", json!({ "every": 1 })).await;
    for _ in 0..10 {
        gateway.get("/").await.expect(503);
    }
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn key_auth_without_its_grants_lets_nobody_pass() {
    let (gateway, target) = with_route().await;
    gateway.plugin("a", "key-auth", json!({})).await;
    gateway.consumer("ann", "ann").await;
    gateway.get("/?apikey=ann").await.expect(200);
    gateway.admin.patch("/modules/key-auth", json!({ "grants": {} })).await.expect(200);
    for path in ["/", "/?apikey=ann"] {
        let answer = gateway.get(path).await;
        assert!(answer.status == 401 || answer.status >= 500, "{path}: {answer:?}");
    }
    assert_eq!(target.count(), 1);
}

#[tokio::test]
async fn a_plugin_is_gone_as_soon_as_its_deletion_is_served() {
    let (gateway, _target) = with_route().await;
    let plugin = gateway.plugin("a", "key-auth", json!({})).await;
    gateway.get("/").await.expect(401);
    gateway.admin.delete(&format!("/plugins/{}", plugin["id"].as_str().unwrap())).await.expect(204);
    gateway.get("/").await.expect(200);
}

#[tokio::test]
async fn bodies_pass_through_plugins_both_ways() {
    let (gateway, _target) = with_route().await;
    gateway.upload("body").await;
    gateway.plugin("a", "body", json!({})).await;
    let answer = gateway.call("POST /").await.body("hello").send().await.expect(200);
    assert!(answer.text().contains(r#""BODY":"HELLO""#), "{}", answer.text());
    assert!(!answer.has("content-length") || answer.header("content-length") == answer.text().len().to_string());
}

#[tokio::test]
async fn a_plugin_may_refuse_a_body_or_shorten_it() {
    let (gateway, target) = with_route().await;
    gateway.upload("body").await;
    let plugin = gateway.plugin("a", "body", json!({ "pass": true, "refuse": "secret" })).await;
    let answer = gateway.call("POST /").await.body("a secret word").send().await.expect(422);
    assert_eq!(answer.json()["message"], "not this word");
    let path = format!("/plugins/{}", plugin["id"].as_str().unwrap());
    let config = json!({ "config": { "pass": false, "last_only": true, "refuse": null } });
    gateway.admin.patch(&path, config).await.expect(200);
    gateway.call("POST /").await.body("a".repeat(300_000)).send().await.expect(200);
    let last = target.seen().last().unwrap().body.len();
    assert!(last <= 64 * 1024, "{last} bytes came through, more than the last chunk");
}
