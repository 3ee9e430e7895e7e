//! Comparing, rolling back, trying, transactions and the audit log.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Admin, Gateway, TestGateway, TestTarget};

/// The whole configuration, modules apart, as the Admin API shows it.
async fn dump(gateway: &Gateway) -> Vec<Value> {
    let mut dump = Vec::new();
    for path in ["/services", "/routes", "/consumers", "/plugins", "/upstreams", "/key-auths"] {
        dump.push(gateway.admin.get(&format!("{path}?size=1000")).await.expect(200).json());
    }
    dump
}

#[tokio::test]
async fn a_rollback_restores_exactly_what_was_and_serves_it() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/old", [&target]).start().await;
    gateway.consumer("bob", "key-of-bob").await;
    let route = gateway.admin.id("/routes/service-0").await;
    gateway.plugin(route.as_str().unwrap(), "key-auth", json!({})).await;
    let (version, before) = (gateway.admin.acknowledged(), dump(&gateway).await);
    gateway.admin.delete("/consumers/bob").await.expect(204);
    gateway.admin.patch("/routes/service-0", json!({ "paths": ["/new"] })).await.expect(200);
    gateway.get("/old").await.expect(404);
    let path = format!("/config/versions/{version}/rollback?wait=applied");
    let answer = gateway.admin.post(&path, Value::Null).await.expect(200).json();
    assert_eq!(answer["changes"], json!({ "created": 2, "updated": 1, "deleted": 0 }));
    assert_eq!(dump(&gateway).await, before);
    gateway.get("/old").await.expect(401);
    gateway.get_with("/old", &[("apikey", "key-of-bob")]).await.expect(200);
}

#[tokio::test]
async fn a_transaction_with_a_bad_third_operation_changes_nothing() {
    let gateway = TestGateway::new().start().await;
    let (version, before) =
        (gateway.admin.get("/config/versions").await.json()["data"][0]["version"].clone(), dump(&gateway).await);
    let operations = json!({ "operations": [
        { "method": "POST", "path": "/services", "body": { "name": "a", "host": "a.test" } },
        { "method": "POST", "path": "/services/a/routes", "body": { "paths": ["/a"] } },
        { "method": "POST", "path": "/routes", "body": { "paths": ["no path"] } },
    ] });
    let answer = gateway.admin.post("/transactions", operations).await.expect(400).json();
    assert_eq!((&answer["operation"], &answer["error"]["name"]), (&json!(2), &json!("schema violation")), "{answer}");
    assert_eq!(dump(&gateway).await, before);
    assert_eq!(gateway.admin.get("/config/versions").await.json()["data"][0]["version"], version);
}

#[tokio::test]
async fn a_dry_run_of_a_transaction_says_what_the_transaction_then_does() {
    let gateway = TestGateway::new().start().await;
    let before = dump(&gateway).await;
    let (service, route) = ("6ff5a0aa-5a5c-4b4d-a4d4-000000000001", "6ff5a0aa-5a5c-4b4d-a4d4-000000000002");
    let operations = json!({ "operations": [
        { "method": "PUT", "path": format!("/services/{service}"), "body": { "name": "a", "host": "a.test", "created_at": 1, "updated_at": 1 } },
        { "method": "PUT", "path": format!("/routes/{route}"), "body": { "paths": ["/a"], "service": { "name": "a" }, "created_at": 1, "updated_at": 1 } },
    ] });
    let tried = gateway.admin.post("/transactions?dry_run=1", operations.clone()).await.expect(200).json();
    assert_eq!(dump(&gateway).await, before);
    let version = gateway.admin.post("/transactions", operations).await.expect(200).json()["version"].as_u64().unwrap();
    let done = gateway.admin.get(&format!("/config/versions/{}/diff/{version}", version - 1)).await.expect(200).json();
    let sides = |changes: &Value| -> Vec<Value> {
        let id =
            |change: &Value| json!([change["collection"], change["id"], change["action"], change["after"]["name"]]);
        changes["data"].as_array().unwrap().iter().map(id).collect()
    };
    assert_eq!(sides(&tried), sides(&done));
    assert_eq!(sides(&done).len(), 2);
}

#[tokio::test]
async fn the_audit_log_names_actor_address_and_entity_but_no_secret() {
    let gateway = TestGateway::new().start().await;
    gateway.consumer("bob", "very-secret-key").await;
    let audit = gateway.admin.get("/audit?method=post").await.expect(200);
    assert!(!audit.text().contains("very-secret-key"));
    let entry = &audit.json()["data"][0];
    let head = json!([entry["actor"], entry["address"], entry["path"], entry["entities"][0]["collection"]]);
    assert_eq!(head, json!(["anonymous", "127.0.0.1", "/consumers/bob/key-auth", "keyauth_credentials"]));
    let version = entry["version"].as_u64().unwrap();
    let diff = gateway.admin.get(&format!("/config/versions/{}/diff/{version}", version - 1)).await.expect(200);
    assert_eq!(diff.json()["data"][0]["after"]["key"], "<redacted>");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_keeps_version_history_and_audit_log_consistent() {
    let mut gateway = TestGateway::new().start().await;
    for round in 0..2 {
        let mut writer = JoinSet::new();
        writer.spawn(write(gateway.admin.clone(), round));
        while gateway.admin.acknowledged() < 20 * (round + 1) {
            tokio::task::yield_now().await;
        }
        gateway.kill9();
        writer.join_all().await;
        let acknowledged = gateway.admin.acknowledged();
        gateway.restart().await.unwrap();
        let versions = gateway.admin.get("/config/versions?size=1000").await.expect(200).json();
        let numbers: Vec<u64> =
            versions["data"].as_array().unwrap().iter().map(|entry| entry["version"].as_u64().unwrap()).collect();
        assert!(numbers[0] >= acknowledged, "{} and {acknowledged}", numbers[0]);
        assert!(numbers.windows(2).all(|pair| pair[0] == pair[1] + 1), "no gap: {numbers:?}");
        for version in [acknowledged, numbers[0]] {
            let diff = gateway.admin.get(&format!("/config/versions/{}/diff/{version}", version - 1)).await.expect(200);
            assert_eq!(diff.json()["data"].as_array().unwrap().len(), 1, "each write made one consumer");
        }
    }
}

/// Creates consumers until the gateway is gone.
async fn write(admin: Admin, round: u64) {
    for number in 0..10_000 {
        let consumer = json!({ "username": format!("{round}-{number}") });
        if admin.try_write(admin.call("POST /consumers").json(&consumer)).await.is_err() {
            return;
        }
    }
}
