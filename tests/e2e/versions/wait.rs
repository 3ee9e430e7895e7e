//! `wait=applied`, and what nodes report.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Call, TestGateway, TestTarget};

#[tokio::test]
async fn after_wait_applied_no_request_sees_an_older_configuration() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let route = gateway.admin.get("/routes").await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    for number in 0..200 {
        let path = format!("/only-{number}");
        let change = gateway.admin.call(&format!("PATCH /routes/{route}?wait=applied"));
        let answer = gateway.admin.write(change.json(&json!({ "paths": [path] }))).await.expect(200);
        assert!(answer.has("x-sandgate-config-version"));
        Call::new(gateway.proxy(), &format!("GET {path}")).send().await.expect(200);
        let older = Call::new(gateway.proxy(), &format!("GET /only-{}x", number - 1)).send().await;
        assert_eq!(older.status, 404);
    }
}

#[tokio::test]
async fn waiting_for_a_served_version_answers_at_once() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/consumers", json!({ "username": "bob" })).await;
    gateway.applied().await;
    let version = gateway.admin.acknowledged();
    gateway.admin.get(&format!("/config/versions/{version}?wait=applied&wait_timeout=0")).await.expect(200);
    gateway.admin.get(&format!("/config/versions/{}?wait=applied", version + 1)).await.expect(404);
}

#[tokio::test]
async fn a_node_reports_what_it_serves() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/consumers?wait=applied", json!({ "username": "bob" })).await;
    let cluster = gateway.admin.get("/cluster").await.expect(200).json();
    let node = &cluster["data"][0];
    assert_eq!((&node["live"], &node["this_node"], &node["version"]), (&json!(true), &json!(true), &cluster["version"]));
    assert_eq!(node["id"], gateway.admin.get("/").await.json()["node_id"]);
    assert_eq!(node["modules"]["key-auth"], gateway.module("key-auth").await["digest"]);
    assert_eq!(cluster["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_kongs_client_sees_no_header_of_ours() {
    let gateway = TestGateway::new().start().await;
    let post = |line: &str, name: &str| gateway.admin.call(line).json(&json!({ "username": name })).send();
    assert!(!post("POST /consumers", "a").await.expect(201).has("x-sandgate-config-version"));
    let tried = tokio::time::timeout(Duration::from_secs(9), post("POST /consumers?wait=applied", "b")).await;
    assert!(tried.expect("it is served long before").expect(201).has("x-sandgate-config-version"));
}
