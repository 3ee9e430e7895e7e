//! Collections that come from the manifests of plugins: key-auths and acls.

use serde_json::json;

use crate::harness::TestGateway;

#[tokio::test]
async fn a_key_is_made_when_none_is_given() {
    let gateway = TestGateway::new().start().await;
    let consumer = gateway.admin.create("/consumers", json!({ "username": "ann" })).await;
    let credential = gateway.admin.create("/consumers/ann/key-auth", json!({})).await;
    let key = credential["key"].as_str().unwrap();
    assert!(key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
    assert_eq!((&credential["consumer"]["id"], &credential["ttl"]), (&consumer["id"], &json!(null)));
    assert_eq!(gateway.admin.get(&format!("/key-auths/{key}")).await.expect(200).json(), credential);
    assert_eq!(gateway.admin.get(&format!("/key-auths/{key}/consumer")).await.expect(200).json(), consumer);
}

#[tokio::test]
async fn a_key_is_unique_over_all_consumers() {
    let gateway = TestGateway::new().start().await;
    gateway.consumer("ann", "one").await;
    gateway.admin.create("/consumers", json!({ "username": "bob" })).await;
    let conflict = gateway.admin.post("/consumers/bob/key-auth", json!({ "key": "one" })).await.expect(409).json();
    assert_eq!((&conflict["code"], &conflict["fields"]), (&json!(5), &json!({ "key": "one" })));
}

#[tokio::test]
async fn credentials_can_be_created_without_a_nested_path() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/consumers", json!({ "username": "ann" })).await;
    let by_name = json!({ "consumer": { "username": "ann" }, "key": "one" });
    gateway.admin.create("/key-auths", by_name).await;
    let orphan = gateway.admin.post("/key-auths", json!({ "key": "two" })).await.expect(400).json();
    assert_eq!(orphan["fields"], json!({ "consumer": "required field missing" }));
    let listed = gateway.admin.get("/key-auths").await.expect(200).json();
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["key"]), (1, &json!("one")));
}

#[tokio::test]
async fn a_credential_is_changed_and_deleted_below_its_consumer() {
    let gateway = TestGateway::new().start().await;
    gateway.consumer("ann", "one").await;
    let changed = gateway.admin.patch("/consumers/ann/key-auth/one", json!({ "key": "two" })).await.expect(200);
    assert_eq!(changed.json()["key"], "two");
    gateway.admin.put("/consumers/ann/key-auth/three", json!({})).await.expect(200);
    gateway.admin.delete("/consumers/ann/key-auth/two").await.expect(204);
    let listed = gateway.admin.get("/consumers/ann/key-auth").await.expect(200).json();
    assert_eq!((listed["data"].as_array().unwrap().len(), &listed["data"][0]["key"]), (1, &json!("three")));
}

#[tokio::test]
async fn a_group_is_unique_within_a_consumer() {
    let gateway = TestGateway::new().start().await;
    for name in ["ann", "bob"] {
        gateway.admin.create("/consumers", json!({ "username": name })).await;
        gateway.admin.create(&format!("/consumers/{name}/acls"), json!({ "group": "gold" })).await;
    }
    gateway.admin.post("/consumers/ann/acls", json!({ "group": "gold" })).await.expect(409);
    gateway.admin.post("/consumers/ann/acls", json!({})).await.expect(400);
    assert_eq!(gateway.admin.get("/acls").await.json()["data"].as_array().unwrap().len(), 2);
    let refusal = gateway.admin.get("/acls/gold").await.expect(400).json();
    assert_eq!((&refusal["code"], &refusal["fields"]), (&json!(1), &json!({ "id": "expected a valid UUID" })));
}
