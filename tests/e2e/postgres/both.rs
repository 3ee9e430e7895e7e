//! What an operator and a client see does not depend on the database.

use serde_json::json;

use super::database;
use crate::harness::{TestGateway, TestTarget};

/// Makes a test of each behaviour on each database.
macro_rules! on_each_database {
    ($($behaviour:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(crate::harness::TestGateway::new()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $behaviour() {
                let url = super::database().await;
                super::$behaviour(crate::harness::TestGateway::new().on_postgres(&url)).await;
            })*
        }
    };
}

on_each_database! {
    every_collection_creates_reads_changes_and_deletes
    what_is_taken_referenced_or_missing_is_refused_in_kongs_words
    lists_are_paged_and_filtered_by_tags
    a_request_passes_through_route_plugin_and_target
    an_uploaded_plugin_runs_and_survives_a_restart
    a_text_may_hold_any_character
}

async fn every_collection_creates_reads_changes_and_deletes(gateway: TestGateway) {
    let gateway = gateway.start().await;
    gateway.admin.create("/upstreams", json!({ "name": "b" })).await;
    gateway.admin.create("/consumers", json!({ "username": "b" })).await;
    let samples = [
        ("services", json!({ "name": "a", "host": "a.test" }), ("retries", json!(2))),
        ("routes", json!({ "name": "a", "paths": ["/a"] }), ("strip_path", json!(false))),
        ("consumers", json!({ "username": "a" }), ("custom_id", json!("4711"))),
        ("plugins", json!({ "name": "key-auth", "instance_name": "a" }), ("enabled", json!(false))),
        ("upstreams", json!({ "name": "a" }), ("slots", json!(100))),
        ("consumers/b/key-auth", json!({ "key": "k" }), ("key", json!("other"))),
    ];
    for (path, entity, (field, value)) in samples {
        let created = gateway.admin.create(&format!("/{path}"), entity).await;
        let one = format!("/{path}/{}", created["id"].as_str().unwrap());
        assert_eq!(gateway.admin.get(&one).await.expect(200).json(), created, "{path}");
        let changed = gateway.admin.patch(&one, json!({ field: value })).await.expect(200).json();
        assert_eq!(changed[field], value, "{path}");
        gateway.admin.delete(&one).await.expect(204);
        gateway.admin.get(&one).await.expect(404);
    }
}

async fn what_is_taken_referenced_or_missing_is_refused_in_kongs_words(gateway: TestGateway) {
    let gateway = gateway.start().await;
    gateway.admin.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    gateway.admin.create("/services/a/routes", json!({ "paths": ["/"] })).await;
    let taken = gateway.admin.post("/services", json!({ "name": "a", "host": "b.test" })).await.expect(409).json();
    assert_eq!(taken["message"], "UNIQUE violation detected on '{name=\"a\"}'");
    let held = gateway.admin.delete("/services/a").await.expect(400).json();
    assert_eq!(held["message"], "an existing 'routes' entity references this 'services' entity");
    let nothing = json!({ "paths": ["/"], "service": { "id": "8c3a2b1e-0000-4000-8000-000000000000" } });
    let missing = gateway.admin.post("/routes", nothing).await.expect(400).json();
    assert_eq!(missing["name"], "foreign key violation");
}

async fn lists_are_paged_and_filtered_by_tags(gateway: TestGateway) {
    let gateway = gateway.start().await;
    for number in 0..7 {
        let tags = if number % 2 == 0 { json!(["even", "all"]) } else { json!(["all"]) };
        gateway.admin.create("/consumers", json!({ "username": number.to_string(), "tags": tags })).await;
    }
    let even = gateway.admin.get("/consumers?tags=even,all").await.expect(200).json();
    assert_eq!(even["data"].as_array().unwrap().len(), 4);
    let (mut next, mut seen) = ("/consumers?size=3".to_owned(), Vec::new());
    loop {
        let page = gateway.admin.get(&next).await.expect(200).json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(further) = page["next"].as_str() else { break };
        further.clone_into(&mut next);
    }
    assert!(seen.len() == 7 && seen.is_sorted(), "{seen:?}");
}

async fn a_request_passes_through_route_plugin_and_target(gateway: TestGateway) {
    let target = TestTarget::answering("hello").await;
    let gateway = gateway.route("/", [&target]).start().await;
    gateway.plugin("service-0", "key-auth", json!({})).await;
    gateway.consumer("bob", "secret").await;
    gateway.get("/").await.expect(401);
    assert_eq!(gateway.get_with("/", &[("apikey", "secret")]).await.expect(200).text(), "hello");
}

async fn an_uploaded_plugin_runs_and_survives_a_restart(gateway: TestGateway) {
    let target = TestTarget::echoing().await;
    let mut gateway = gateway.start().await;
    gateway.route("a", "/", &target).await;
    gateway.upload("counterheader").await;
    gateway.plugin("a", "counterheader", json!({})).await;
    gateway.kill9();
    gateway.restart().await.unwrap();
    assert_eq!(gateway.get("/").await.echo().header("x-count"), "1");
}

async fn a_text_may_hold_any_character(gateway: TestGateway) {
    let gateway = gateway.start().await;
    let name = "a\tb '; DROP TABLE services; -- \\ \" % \u{1f980}";
    let created = gateway.admin.create("/consumers", json!({ "username": name, "custom_id": "\u{10ffff}" })).await;
    let one = format!("/consumers/{}", created["id"].as_str().unwrap());
    assert_eq!(gateway.admin.get(&one).await.expect(200).json()["username"], name);
    gateway.admin.post("/consumers", json!({ "username": name })).await.expect(409);
}
