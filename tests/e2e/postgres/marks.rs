//! Targets that operators turn by hand, on every node.

use serde_json::json;

use super::{database, sql};
use crate::harness::{Gateway, TestGateway, TestTarget};

/// Nodes that hear of marks by word alone.
async fn node(url: &str) -> Gateway {
    TestGateway::new().on_postgres(url).setting("SANDGATE_DATABASE_POLL_INTERVAL", "1m").start().await
}

/// An upstream of this name before a target, at `/{name}`.
async fn upstream(gateway: &Gateway, name: &str, target: &TestTarget) {
    let checks = json!({ "passive": { "unhealthy": { "http_failures": 1 } } });
    gateway.admin.create("/upstreams", json!({ "name": name, "healthchecks": checks })).await;
    let targets = format!("/upstreams/{name}/targets");
    gateway.admin.create(&targets, json!({ "target": target.address.to_string() })).await;
    gateway.admin.create("/services", json!({ "name": name, "host": name })).await;
    let route = json!({ "paths": [format!("/{name}")] });
    gateway.admin.create(&format!("/services/{name}/routes"), route).await;
    gateway.applied().await;
}

async fn answers(gateway: &Gateway, path: &str, status: u16) {
    gateway.until(async || gateway.get(path).await.status == status).await;
}

async fn mark(gateway: &Gateway, place: &str, state: &str) {
    gateway.admin.call(&format!("PUT /upstreams/{place}/{state}")).send().await.expect(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_by_hand_reaches_every_node_and_makes_no_version() {
    let target = TestTarget::answering("a").await;
    let url = database().await;
    let nodes = [node(&url).await, node(&url).await, node(&url).await];
    upstream(&nodes[0], "u", &target).await;
    for node in &nodes {
        answers(node, "/u", 200).await;
    }
    let version = sql(&url, "SELECT version FROM config_version").await;
    let (whole, one) = (format!("u/targets/{}", target.address), format!("u/targets/{0}/{0}", target.address));
    for (asked, place) in [(0, &whole), (1, &one), (2, &whole)] {
        for (state, expected) in [("unhealthy", 503), ("healthy", 200)] {
            mark(&nodes[asked], place, state).await;
            nodes[asked].get("/u").await.expect(expected);
            for node in &nodes {
                answers(node, "/u", expected).await;
            }
        }
    }
    assert_eq!(sql(&url, "SELECT version FROM config_version").await, version);
    assert_eq!(sql(&url, "SELECT count(*) FROM target_marks").await, "6");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_later_hears_of_new_marks_alone() {
    let target = TestTarget::answering("a").await;
    let url = database().await;
    let first = node(&url).await;
    upstream(&first, "old", &target).await;
    upstream(&first, "new", &target).await;
    mark(&first, &format!("old/targets/{}", target.address), "unhealthy").await;
    let second = node(&url).await;
    mark(&first, &format!("new/targets/{}", target.address), "unhealthy").await;
    answers(&second, "/new", 503).await;
    second.get("/old").await.expect(200);
    first.get("/old").await.expect(503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_whose_word_was_lost_is_found_by_the_poll() {
    let target = TestTarget::answering("a").await;
    let url = database().await;
    let gateway = TestGateway::new().on_postgres(&url).setting("SANDGATE_DATABASE_POLL_INTERVAL", "200ms");
    let gateway = gateway.start().await;
    upstream(&gateway, "u", &target).await;
    let insert = format!(
        "BEGIN; UPDATE target_marks_last SET seq = seq + 1; \
         INSERT INTO target_marks (seq, at, process, upstream, target, healthy) SELECT seq, \
         extract(epoch FROM now()), 'other', 'u', '{}', 0 FROM target_marks_last; COMMIT;",
        target.address
    );
    sql(&url, &insert).await;
    answers(&gateway, "/u", 503).await;
}
