//! Several nodes as one gateway.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::task::JoinSet;

use super::{database, sql, three};
use crate::harness::{Call, Gateway, TestGateway, TestTarget};

/// Far more than the 200 ms of docs/performance.md, since tests share a small machine.
const SEEN: Duration = Duration::from_secs(30);

/// Waits until each of them serves what any of them acknowledged.
async fn settle(nodes: &[Gateway]) -> u64 {
    let version = nodes.iter().map(|node| node.admin.acknowledged()).max().unwrap();
    for node in nodes {
        node.process.log.served(version, SEEN).await.unwrap();
    }
    version
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_through_any_node_is_served_by_all() {
    let target = TestTarget::answering("hello").await;
    let url = database().await;
    // Only word of it can be quick.
    let start = || TestGateway::new().on_postgres(&url).setting("SANDGATE_DATABASE_POLL_INTERVAL", "1m").start();
    let nodes = [start().await, start().await, start().await];
    nodes[0].admin.create("/services", json!({ "name": "a", "url": target.url() })).await;
    let mut took = Vec::new();
    for round in 0..9 {
        let path = format!("/round-{round}");
        nodes[round % 3].admin.create("/services/a/routes", json!({ "paths": [path] })).await;
        let began = Instant::now();
        settle(&nodes).await;
        took.push(began.elapsed());
        for node in &nodes {
            node.get(&path).await.expect(200);
        }
    }
    took.sort_unstable();
    println!("served by all after {took:?}");
    assert!(took[took.len() / 2] < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_through_three_nodes_make_versions_without_gaps_and_every_write_is_served() {
    let url = database().await;
    let nodes = three(&url).await;
    nodes[0].admin.create("/routes", json!({ "name": "taken", "paths": ["/taken"] })).await;
    let first: u64 = sql(&url, "SELECT version FROM config_version").await.parse().unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..12 {
        let admin = nodes[writer % 3].admin.clone();
        writers.spawn(async move {
            let mut names = Vec::new();
            for number in 0..8 {
                let name = format!("w{writer}-{number}x");
                admin.create("/routes", json!({ "name": name, "paths": [format!("/{name}")] })).await;
                // A refusal makes no version.
                admin.post("/routes", json!({ "name": "taken", "paths": ["/"] })).await.expect(409);
                names.push(name);
            }
            names
        });
    }
    let names = writers.join_all().await.concat();
    let last = settle(&nodes).await;
    let counted = "SELECT count(DISTINCT version), max(version) FROM changes WHERE version >";
    assert_eq!(sql(&url, &format!("{counted} {first}")).await, format!("{}|{last}", last - first), "no gaps");
    assert_eq!(last - first, names.len() as u64, "a version a write");
    for (number, name) in names.iter().enumerate() {
        let status = nodes[number % 3].get(&format!("/{name}")).await.status;
        assert_eq!(status, 503, "{name} is a route without a service");
    }
}

#[tokio::test]
async fn lost_word_of_a_change_is_made_up_for_by_the_poll() {
    let url = database().await;
    let target = TestTarget::answering("hello").await;
    let gateway = TestGateway::new().on_postgres(&url).setting("SANDGATE_DATABASE_POLL_INTERVAL", "200ms");
    let gateway = gateway.route("/", [&target]).start().await;
    gateway.get("/").await.expect(200);
    let version = gateway.admin.acknowledged() + 1;
    // As another node would, but without a word.
    let silent = format!(
        "BEGIN; UPDATE routes SET data = replace(data, '\"/\"', '\"/moved\"');
         UPDATE config_version SET version = {version};
         INSERT INTO changes (version, collection, id) SELECT {version}, 'routes', id FROM routes; COMMIT"
    );
    sql(&url, &silent).await;
    gateway.process.log.served(version, SEEN).await.unwrap();
    gateway.get("/moved").await.expect(200);
    gateway.get("/").await.expect(404);
}

#[tokio::test]
async fn a_node_that_missed_more_than_the_history_reads_everything() {
    let url = database().await;
    let gateway = TestGateway::new().on_postgres(&url).start().await;
    gateway.admin.create("/routes", json!({ "paths": ["/kept"] })).await;
    gateway.applied().await;
    let version = gateway.admin.acknowledged() + 5;
    // Another node made five versions, of which none is in the history any more.
    let jump = format!(
        "BEGIN; UPDATE routes SET data = replace(data, '/kept', '/moved');
         UPDATE config_version SET version = {version}, history_from = {version}; DELETE FROM changes; COMMIT"
    );
    sql(&url, &jump).await;
    gateway.process.log.served(version, SEEN).await.unwrap();
    assert_eq!(gateway.get("/moved").await.status, 503, "a route without a service");
    gateway.get("/kept").await.expect(404);
}

#[tokio::test]
async fn a_cut_listening_connection_is_made_anew() {
    let url = database().await;
    // Without a poll that would hide it.
    let gateway = TestGateway::new().on_postgres(&url).setting("SANDGATE_DATABASE_POLL_INTERVAL", "1m");
    let gateway = gateway.start().await;
    let other = TestGateway::new().on_postgres(&url).start().await;
    let cut = "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert_eq!(sql(&url, cut).await, "t");
    other.eventually("/none", |answer| answer.status == 404).await;
    other.admin.create("/routes", json!({ "paths": ["/a"] })).await;
    gateway.process.log.served(other.admin.acknowledged(), SEEN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_while_a_node_starts_is_served_by_it_without_a_poll() {
    let url = database().await;
    let one = TestGateway::new().on_postgres(&url).start().await;
    for round in 0..4 {
        let (admin, stop) = (one.admin.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let mut writer = JoinSet::new();
        writer.spawn(async move {
            let mut last = String::new();
            for number in 0.. {
                last = format!("/r{round}-{number}x");
                admin.create("/routes", json!({ "paths": [last] })).await;
                if stopped.load(Relaxed) {
                    break;
                }
            }
            last
        });
        let other = TestGateway::new().on_postgres(&url).setting("SANDGATE_DATABASE_POLL_INTERVAL", "1m").start().await;
        stop.store(true, Relaxed);
        let last = writer.join_next().await.unwrap().unwrap();
        other.process.log.served(one.admin.acknowledged(), SEEN).await.unwrap();
        Call::new(other.proxy(), &format!("GET {last}")).send().await.expect(503);
    }
}

#[tokio::test]
async fn a_module_uploaded_through_one_node_is_configured_through_another() {
    let target = TestTarget::echoing().await;
    let nodes = three(&database().await).await;
    nodes[0].route("a", "/", &target).await;
    nodes[0].upload("counterheader").await;
    settle(&nodes).await;
    nodes[1].plugin("a", "counterheader", json!({})).await;
    settle(&nodes).await;
    assert_eq!(nodes[2].get("/").await.echo().header("x-count"), "1");
    nodes[2].admin.get("/plugins/schema/counterheader").await.expect(200);
}
