//! One path has many spellings; none of them avoids the plugin that guards it.

use serde_json::json;

use crate::harness::{TestGateway, TestTarget, exchange};

/// Ways to ask for `/private` or something below it.
const SPELLINGS: [&str; 17] = [
    "/private",
    "/private/",
    "//private",
    "/./private",
    "/open/../private",
    "/open/%2e%2e/private",
    "/open/.%2E/private",
    "/%70rivate",
    "/pr%69vate/x",
    "/private%00",
    "/private?x",
    "/private#x",
    "/private;x",
    "/private/../private",
    "/open/../../private",
    "http://a.test/private",
    "http://a.test//open/../private",
];

#[tokio::test]
async fn no_spelling_of_a_guarded_path_avoids_its_plugin() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let route = json!({ "name": "p", "paths": ["/private"], "service": { "name": "service-0" } });
    gateway.admin.create("/routes", route).await;
    gateway.plugin("p", "key-auth", json!({})).await;
    gateway.applied().await;
    for spelling in SPELLINGS {
        let request = format!("GET {spelling} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        let answer = exchange(gateway.proxy(), request.as_bytes()).await;
        let line = answer.lines().next().unwrap_or_default();
        assert!(line.contains(" 401 ") || line.contains(" 400 "), "{spelling}: {line}");
    }
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn an_encoded_slash_stays_encoded_and_separates_nothing() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    for (asked, seen) in
        [("/a%2Fb", "/a%2Fb"), ("/a%2fb", "/a%2Fb"), ("/a%2f..%2fb", "/a%2F..%2Fb"), ("/a%25b", "/a%25b")]
    {
        assert_eq!(gateway.get(asked).await.echo().target(), seen, "{asked}");
    }
}
