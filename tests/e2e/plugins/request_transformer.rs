use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget};

async fn transformed(config: Value) -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.plugin("a", "request-transformer", config).await;
    (gateway, target)
}

#[tokio::test]
async fn headers_are_removed_renamed_replaced_added_and_appended() {
    let (gateway, _target) = transformed(json!({
        "remove": { "headers": ["x-gone"] },
        "rename": { "headers": ["x-old:x-new"] },
        "replace": { "headers": ["x-there:2", "x-absent:2"] },
        "add": { "headers": ["x-added:a:b", "x-kept:2"] },
        "append": { "headers": ["x-more:2"] },
    }))
    .await;
    let sent = [("x-gone", "1"), ("x-old", "1"), ("x-there", "1"), ("x-kept", "1"), ("x-more", "1")];
    let echo = gateway.get_with("/", &sent).await.echo();
    for name in ["x-gone", "x-old", "x-absent"] {
        assert!(!echo.has(name), "{name}");
    }
    let expected = [("x-new", "1"), ("x-there", "2"), ("x-added", "a:b"), ("x-kept", "1"), ("x-more", "1, 2")];
    for (name, value) in expected {
        assert_eq!(echo.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn query_arguments_are_changed_the_same_way() {
    let (gateway, _target) = transformed(json!({
        "remove": { "querystring": ["gone"] },
        "rename": { "querystring": ["old:new"] },
        "replace": { "querystring": ["there:2"] },
        "add": { "querystring": ["added:1", "kept:2"] },
    }))
    .await;
    let echo = gateway.get("/x?gone=1&old=1&there=1&kept=1").await.echo();
    let (path, query) = echo.target().split_once('?').unwrap();
    let mut arguments: Vec<_> = query.split('&').collect();
    arguments.sort_unstable();
    assert_eq!((path, arguments), ("/x", vec!["added=1", "kept=1", "new=1", "there=2"]));
}

#[tokio::test]
async fn json_bodies_are_changed_and_their_length_follows() {
    let (gateway, _target) = transformed(json!({
        "remove": { "body": ["gone"] },
        "replace": { "body": ["there:2"] },
        "add": { "body": ["added:a longer value"] },
    }))
    .await;
    let call = gateway.call("POST /").await.json(&json!({ "gone": 1, "there": 1, "kept": 1 }));
    let echo = call.send().await.echo();
    let body: Value = serde_json::from_str(echo.body()).unwrap();
    assert_eq!(body, json!({ "there": "2", "kept": 1, "added": "a longer value" }));
    assert_eq!(echo.header("content-length"), echo.body().len().to_string());
}

#[tokio::test]
async fn form_bodies_are_changed_too() {
    let (gateway, _target) = transformed(json!({ "add": { "body": ["b:2"] }, "remove": { "body": ["gone"] } })).await;
    let call = gateway.call("POST /").await.header("content-type", "application/x-www-form-urlencoded");
    let echo = call.body("a=1&gone=1").send().await.echo();
    let mut fields: Vec<_> = echo.body().split('&').collect();
    fields.sort_unstable();
    assert_eq!(fields, ["a=1", "b=2"]);
}

#[tokio::test]
async fn other_bodies_pass_as_they_are() {
    let (gateway, _target) = transformed(json!({ "add": { "body": ["b:2"] } })).await;
    let call = gateway.call("POST /").await.header("content-type", "text/plain").body("a=1");
    assert_eq!(call.send().await.echo().body(), "a=1");
    let call = gateway.call("POST /").await.header("content-type", "application/json").body("{not json");
    assert_eq!(call.send().await.echo().body(), "{not json");
}

#[tokio::test]
async fn method_and_path_are_replaced() {
    let (gateway, _target) = transformed(json!({ "http_method": "PUT", "replace": { "uri": "/other" } })).await;
    let echo = gateway.get("/x?a=1").await.echo();
    assert_eq!((echo.method(), echo.target()), ("PUT", "/other?a=1"));
}

#[tokio::test]
async fn pairs_without_a_value_are_refused() {
    let gateway = TestGateway::new().start().await;
    for (part, pair, message) in [("headers", "x", "invalid value: x"), ("querystring", "x:", "key 'x' has no value")] {
        let plugin = json!({ "name": "request-transformer", "config": { "add": { part: [pair] } } });
        let refusal = gateway.admin.post("/plugins", plugin).await.expect(400).json();
        assert!(refusal["message"].as_str().unwrap().contains(message), "{refusal}");
    }
}
