//! What was acknowledged is kept, and what is served goes on, whoever dies.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::json;
use tokio::task::JoinSet;

use super::three;
use crate::harness::{Admin, Call, Gateway, Load, TestPostgres, TestTarget};

/// Time to notice, reconnect and catch up on a busy machine.
const RECOVERED: Duration = Duration::from_secs(120);

/// Writers, one a node, that go on until they are stopped.
#[derive(Default, Clone)]
struct Writers {
    acknowledged: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Writers {
    /// Creates routes, whatever becomes of the node. Its address is asked for each time, as a restart changes it.
    async fn write(self, prefix: &'static str, node: Arc<Mutex<Admin>>) {
        for number in 0.. {
            if self.stop.load(Relaxed) {
                return;
            }
            let name = format!("{prefix}-{number}x");
            let route = json!({ "name": name, "paths": [format!("/{name}")] });
            let admin = node.lock().unwrap().clone();
            match admin.try_write(admin.call("POST /routes").json(&route)).await {
                Ok(answer) if answer.status == 201 => self.acknowledged.lock().unwrap().push(name),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Waits until each of these has so many more acknowledged writes.
    async fn go_on(&self, prefixes: &[&str], more: usize) {
        let counts = || {
            let names = self.acknowledged.lock().unwrap();
            let of = |prefix: &&str| names.iter().filter(|name| name.starts_with(*prefix)).count();
            prefixes.iter().map(of).collect::<Vec<_>>()
        };
        let (before, end) = (counts(), tokio::time::Instant::now() + RECOVERED);
        while counts().iter().zip(&before).any(|(now, before)| *now < before + more) {
            assert!(tokio::time::Instant::now() < end, "{prefixes:?} went from {before:?} to {:?} only", counts());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn all_have(nodes: &[Gateway], names: &[String]) {
    let newest = nodes.iter().map(|node| node.admin.acknowledged()).max().unwrap();
    for node in nodes {
        node.process.log.served(newest, RECOVERED).await.unwrap();
        for name in names {
            assert_eq!(node.get(&format!("/{name}")).await.status, 503, "{name} is a route without a service");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_the_database_and_of_a_node_loses_no_write_and_no_request() {
    let server = tokio::task::spawn_blocking(TestPostgres::start).await.unwrap();
    let target = TestTarget::answering("hello").await;
    let mut nodes = three(&server.database()).await;
    nodes[0].route("steady", "/steady", &target).await;
    let version = nodes[0].admin.acknowledged();
    for node in &nodes {
        node.process.log.served(version, RECOVERED).await.unwrap();
    }
    let loads = [0, 1].map(|node: usize| Load::start(nodes[node].proxy(), "/steady", 2));
    let (writers, mut tasks) = (Writers::default(), JoinSet::new());
    let admins = [0, 1, 2].map(|node: usize| Arc::new(Mutex::new(nodes[node].admin.clone())));
    for (prefix, admin) in ["one", "two", "three"].into_iter().zip(&admins) {
        tasks.spawn(writers.clone().write(prefix, admin.clone()));
    }
    writers.go_on(&["one", "two", "three"], 8).await;

    server.kill9();
    for node in &nodes {
        Call::new(node.proxy(), "GET /steady").send().await.expect(200);
    }
    server.start_again();
    writers.go_on(&["one", "two", "three"], 8).await;

    nodes[2].kill9();
    writers.go_on(&["one", "two"], 8).await;
    nodes[2].restart().await.unwrap();
    *admins[2].lock().unwrap() = nodes[2].admin.clone();
    writers.go_on(&["three"], 4).await;

    writers.stop.store(true, Relaxed);
    tasks.join_all().await;
    for load in loads {
        load.stop_without_failures(100).await;
    }
    let names = writers.acknowledged.lock().unwrap().clone();
    all_have(&nodes, &names).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_while_the_database_is_away_is_refused_at_once_and_says_why() {
    let server = tokio::task::spawn_blocking(TestPostgres::start).await.unwrap();
    let gateway = crate::harness::TestGateway::new().on_postgres(&server.database());
    let gateway = gateway.setting("SANDGATE_LOG_LEVEL", "debug").start().await;
    gateway.admin.create("/routes", json!({ "name": "a", "paths": ["/a"] })).await;
    gateway.get("/a").await.expect(503);
    server.kill9();
    let began = std::time::Instant::now();
    let refused = gateway.admin.post("/routes", json!({ "paths": ["/b"] })).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("cannot be reached"), "{}", refused.text());
    let (took, said) = (began.elapsed(), gateway.process.log.tail());
    assert!(took < Duration::from_secs(8), "after {took:?}: {said}");
    gateway.get("/a").await.expect(503);
    server.start_again();
    let end = tokio::time::Instant::now() + RECOVERED;
    while gateway.admin.post("/routes", json!({ "paths": ["/b"] })).await.status != 201 {
        assert!(tokio::time::Instant::now() < end, "writes stay refused");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gateway.get("/b").await.expect(503);
}
