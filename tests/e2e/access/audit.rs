//! The audit log and the history: who was refused, and what those see of it who may not read everything.

use std::time::Duration;

use serde_json::{Value, json};

use super::{close, holder};
use crate::harness::{Admin, TestGateway};

/// How long the log may take to be written.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who may read the history and the audit log, and services of all else.
async fn auditor(root: &Admin) -> Admin {
    let rules = json!([{ "verbs": ["read"], "resources": ["config", "audit", "services"] }]);
    root.create("/admin-roles", json!({ "name": "auditor", "rules": rules })).await;
    holder(root, "auditor", &["auditor"]).await
}

fn rows(list: &Value) -> &[Value] {
    list["data"].as_array().expect("a list")
}

/// The refused writes, when there are so many.
async fn refusals(root: &Admin, count: usize) -> Value {
    loop {
        let listed = root.get("/audit?outcome=refused").await.expect(200).json();
        if rows(&listed).len() == count {
            return listed;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn refused_writes_stand_in_the_audit_with_who_and_why() {
    let gateway = TestGateway::new().start().await;
    let root = close(&gateway).await;
    let reader = holder(&root, "reader", &["read-only"]).await;
    reader.post("/services", json!({ "host": "a.test" })).await.expect(403);
    gateway.admin.with_token("sgt_nonsense").delete("/services/a").await.expect(401);
    root.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    let listed = tokio::time::timeout(PATIENCE, refusals(&root, 2)).await.expect("they are written down");
    let told = |row: &Value| json!([row["actor"], row["status"], row["method"], row["path"], row["version"]]);
    let told: Vec<Value> = rows(&listed).iter().map(told).collect();
    assert_eq!(told[1], json!(["token:reader", 403, "POST", "/services", null]));
    assert_eq!(told[0], json!(["nobody", 401, "DELETE", "/services/a", null]));
    let done = root.get("/audit?outcome=committed&actor=token:root&method=post").await.expect(200).json();
    assert_eq!((&rows(&done)[0]["path"], &rows(&done)[0]["entities"][0]["name"]), (&json!("/services"), &json!("a")));
}

#[tokio::test]
async fn the_history_shows_nobody_what_they_may_not_read() {
    let gateway = TestGateway::new().start().await;
    let root = close(&gateway).await;
    let auditor = auditor(&root).await;
    root.create("/services", json!({ "name": "seen", "host": "a.test" })).await;
    let consumer = root.create("/consumers", json!({ "username": "unseen" })).await;
    let newest = root.get("/config/versions/current").await.expect(200).json()["version"].as_u64().unwrap();
    let diff = format!("/config/versions/{}/diff/{newest}", newest - 2);
    let (all, some) = (root.get(&diff).await.expect(200).json(), auditor.get(&diff).await.expect(200).json());
    assert_eq!((rows(&all).len(), rows(&some).len()), (2, 1), "{all} {some}");
    assert_eq!(rows(&some)[0]["after"]["name"], "seen");
    for path in ["/config/versions", "/audit", &format!("/config/versions/{newest}")] {
        assert!(root.get(path).await.expect(200).text().contains("unseen"), "{path}");
        let answer = auditor.get(path).await.expect(200);
        assert!(!answer.text().contains("unseen"), "{path}: {}", answer.text());
    }
    let last = auditor.get(&format!("/config/versions/{newest}")).await.expect(200).json();
    assert_eq!((&last["entities"], &last["hidden"]), (&json!([]), &json!(1)), "that there was something is told");
    let of = |collection: &str, id: &Value| format!("/audit?collection={collection}&id={}", id.as_str().unwrap());
    auditor.get(&of("consumers", &consumer["id"])).await.expect(403);
}
