use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget};

/// A route `/` guarded by key-auth, and ann with the key `a-key`.
async fn guarded(config: Value) -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.plugin("a", "key-auth", config).await;
    gateway.consumer("ann", "a-key").await;
    (gateway, target)
}

#[tokio::test]
async fn who_has_no_valid_key_is_refused() {
    let (gateway, target) = guarded(json!({})).await;
    let cases: [(&str, &[(&str, &str)], &str); 5] = [
        ("/", &[], "No API key found in request"),
        ("/", &[("apikey", "")], "No API key found in request"),
        ("/", &[("apikey", "wrong")], "Unauthorized"),
        ("/", &[("apikey", "a-key"), ("apikey", "a-key")], "Duplicate API key found"),
        ("/?apikey=a-key&apikey=a-key", &[], "Duplicate API key found"),
    ];
    for (path, headers, message) in cases {
        let answer = gateway.get_with(path, headers).await.expect(401);
        assert_eq!(answer.json()["message"], message, "{path} {headers:?}");
        assert_eq!(answer.header("www-authenticate"), "Key", "{path} {headers:?}");
    }
    assert_eq!(target.count(), 0, "none of them reaches the target");
}

#[tokio::test]
async fn a_key_is_taken_from_header_and_query() {
    let (gateway, _target) = guarded(json!({ "key_names": ["x-key", "token"] })).await;
    for (path, headers) in [
        ("/", &[("X-Key", "a-key")][..]),
        ("/", &[("token", "a-key")]),
        ("/?x-key=a-key", &[]),
        ("/?a=b&token=a-key", &[]),
    ] {
        gateway.get_with(path, headers).await.expect(200);
    }
    gateway.get_with("/", &[("apikey", "a-key")]).await.expect(401);
}

#[tokio::test]
async fn a_key_is_only_looked_for_where_it_may_be() {
    let (gateway, _target) = guarded(json!({ "key_in_header": false })).await;
    gateway.get_with("/", &[("apikey", "a-key")]).await.expect(401);
    gateway.get("/?apikey=a-key").await.expect(200);
}

#[tokio::test]
async fn a_key_in_the_body_is_found_and_the_body_passed_on() {
    let (gateway, _target) = guarded(json!({ "key_in_body": true })).await;
    for (kind, body) in
        [("application/json", r#"{"apikey":"a-key","x":1}"#), ("application/x-www-form-urlencoded", "x=1&apikey=a-key")]
    {
        let call = gateway.call("POST /").await.header("content-type", kind).body(body);
        assert_eq!(call.send().await.echo().body(), body, "{kind}");
    }
}

#[tokio::test]
async fn the_target_learns_the_consumer_and_no_lies() {
    let (gateway, _target) = guarded(json!({})).await;
    let lies = [
        ("apikey", "a-key"),
        ("x-consumer-id", "lie"),
        ("x-consumer-username", "lie"),
        ("x-consumer-custom-id", "lie"),
        ("x-credential-identifier", "lie"),
        ("x-anonymous-consumer", "true"),
    ];
    let echo = gateway.get_with("/", &lies).await.echo();
    let ann = gateway.admin.get("/consumers/ann").await.json();
    let credential = gateway.admin.get("/key-auths/a-key").await.json();
    assert_eq!(echo.header("x-consumer-id"), ann["id"].as_str().unwrap());
    assert_eq!(echo.header("x-consumer-username"), "ann");
    assert_eq!(echo.header("x-credential-identifier"), credential["id"].as_str().unwrap());
    assert!(!echo.has("x-consumer-custom-id") && !echo.has("x-anonymous-consumer"));
}

#[tokio::test]
async fn the_key_can_be_hidden_from_the_target() {
    let (gateway, _target) = guarded(json!({ "hide_credentials": true })).await;
    assert!(!gateway.get_with("/", &[("apikey", "a-key")]).await.echo().has("apikey"));
    assert_eq!(gateway.get("/x?a=1&apikey=a-key&b=2").await.echo().target(), "/x?a=1&b=2");
    let (gateway, _target) = guarded(json!({})).await;
    assert_eq!(gateway.get_with("/", &[("apikey", "a-key")]).await.echo().header("apikey"), "a-key");
}

#[tokio::test]
async fn without_a_key_one_may_be_anonymous() {
    let (gateway, _target) = guarded(json!({ "anonymous": "nobody" })).await;
    gateway.admin.create("/consumers", json!({ "username": "nobody" })).await;
    let echo = gateway.get_with("/", &[("x-credential-identifier", "lie")]).await.echo();
    assert_eq!(
        (echo.header("x-consumer-username"), echo.header("x-anonymous-consumer")),
        ("nobody".into(), "true".into())
    );
    assert!(!echo.has("x-credential-identifier"));
    let echo = gateway.get_with("/", &[("apikey", "a-key")]).await.echo();
    assert_eq!((echo.header("x-consumer-username"), echo.has("x-anonymous-consumer")), ("ann".into(), false));
}

#[tokio::test]
async fn an_anonymous_consumer_that_is_gone_lets_nobody_in() {
    let (gateway, target) = guarded(json!({ "anonymous": "nobody" })).await;
    assert!(gateway.get("/").await.status >= 400);
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn the_realm_is_named() {
    let (gateway, _target) = guarded(json!({ "realm": "shop" })).await;
    assert_eq!(gateway.get("/").await.expect(401).header("www-authenticate"), "Key realm=\"shop\"");
}

#[tokio::test]
async fn preflights_pass_when_they_need_no_key() {
    let (gateway, _target) = guarded(json!({ "run_on_preflight": false })).await;
    gateway.call("OPTIONS /").await.send().await.expect(200);
    gateway.get("/").await.expect(401);
}

#[tokio::test]
async fn a_key_that_is_deleted_or_changed_opens_nothing_more() {
    let (gateway, _target) = guarded(json!({})).await;
    gateway.get("/?apikey=a-key").await.expect(200);
    gateway.admin.patch("/key-auths/a-key", json!({ "key": "b-key" })).await.expect(200);
    gateway.get("/?apikey=a-key").await.expect(401);
    gateway.get("/?apikey=b-key").await.expect(200);
    gateway.admin.delete("/consumers/ann").await.expect(204);
    gateway.get("/?apikey=b-key").await.expect(401);
}

#[tokio::test]
async fn a_key_lives_as_long_as_its_ttl() {
    let (gateway, _target) = guarded(json!({})).await;
    gateway.admin.create("/consumers/ann/key-auth", json!({ "key": "short", "ttl": 6 })).await;
    gateway.get("/?apikey=short").await.expect(200);
    gateway.eventually("/?apikey=short", |answer| answer.status == 401).await;
}
