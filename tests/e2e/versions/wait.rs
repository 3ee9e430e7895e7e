//! `wait=applied`, and what nodes report.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Call, Gateway, TestGateway, TestPostgres, TestTarget};

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
    assert_eq!(
        (&node["live"], &node["this_node"], &node["version"]),
        (&json!(true), &json!(true), &cluster["version"])
    );
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

/// So many gateways on one PostgreSQL database.
async fn gateways<const N: usize>() -> [Gateway; N] {
    let url = tokio::task::spawn_blocking(|| TestPostgres::shared().database()).await.unwrap();
    let mut started = Vec::new();
    for _ in 0..N {
        started.push(TestGateway::new().on_postgres(&url).start().await);
    }
    started.try_into().unwrap_or_else(|_| panic!("each was started"))
}

#[tokio::test]
async fn after_wait_applied_no_node_serves_an_older_configuration() {
    let [one, two] = gateways().await;
    let route = one.admin.create("/routes?wait=applied", json!({ "paths": ["/first"] })).await;
    let route = route["id"].as_str().unwrap();
    for number in 0..50 {
        let (writer, reader) = if number % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let path = format!("/only-{number}");
        let change = writer.admin.call(&format!("PATCH /routes/{route}?wait=applied"));
        change.json(&json!({ "paths": [path] })).send().await.expect(200);
        for gateway in [reader, writer] {
            Call::new(gateway.proxy(), &format!("GET {path}")).send().await.expect(503);
        }
    }
}

#[tokio::test]
async fn a_frozen_node_is_named_and_waited_for_until_it_lives_again() {
    let [one, two] = gateways().await;
    let frozen = two.admin.get("/").await.json()["node_id"].clone();
    one.admin.create("/consumers?wait=applied", json!({ "username": "a" })).await;
    two.process.freeze(true).unwrap();
    let answer = one.admin.post("/consumers?wait=applied&wait_timeout=5", json!({ "username": "b" })).await;
    two.process.freeze(false).unwrap();
    let answer = answer.expect(504).json();
    assert_eq!((&answer["lagging"][0]["id"], answer["lagging"].as_array().unwrap().len()), (&frozen, 1), "{answer}");
    one.admin.get("/consumers/b").await.expect(200);
    let path = format!("/config/versions/{}?wait=applied", answer["version"]);
    one.admin.get(&path).await.expect(200);
}

#[tokio::test]
async fn a_node_that_ends_takes_its_leave() {
    let [one, mut two] = gateways().await;
    assert_eq!(one.admin.get("/cluster").await.json()["data"].as_array().unwrap().len(), 2);
    two.terminate().await;
    assert_eq!(one.admin.get("/cluster").await.json()["data"].as_array().unwrap().len(), 1);
    one.admin.create("/consumers?wait=applied&wait_timeout=10", json!({ "username": "a" })).await;
}

#[tokio::test]
async fn a_rollback_on_postgres_restores_what_was() {
    let [one, two] = gateways().await;
    let before = one.admin.create("/services?wait=applied", json!({ "name": "a", "host": "a.test" })).await;
    let version = one.admin.acknowledged();
    one.admin.patch("/services/a", json!({ "host": "b.test", "tags": ["x"] })).await.expect(200);
    two.admin.delete("/services/a").await.expect(204);
    two.admin.post(&format!("/config/versions/{version}/rollback?wait=applied"), json!(null)).await.expect(200);
    assert_eq!(one.admin.get("/services/a").await.expect(200).json(), before);
}
