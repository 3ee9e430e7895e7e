//! What `?wait=applied` promises, whoever dies meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::task::JoinSet;

use super::three;
use crate::harness::{Admin, Call, Gateway, TestPostgres, TestTarget};

/// Writers at the same time, each with a route of its own.
const WRITERS: usize = 24;

/// Time to notice, reconnect and catch up on a busy machine.
const RECOVERED: Duration = Duration::from_secs(120);

/// Versions that nobody made.
const GAP: u64 = 7;

/// Where a node is, and `None` while it is down.
type Door = Arc<Mutex<Option<(Admin, SocketAddr)>>>;

/// What all writers share.
#[derive(Clone)]
struct Cluster {
    doors: [Door; 3],
    /// Writes that every live node served when they were answered.
    applied: Arc<AtomicUsize>,
    /// Versions of the writes that were answered at the first try.
    acknowledged: Arc<Mutex<Vec<u64>>>,
    took: Arc<Mutex<Vec<Duration>>>,
    reads: Arc<AtomicUsize>,
}

fn door(node: &Gateway) -> (Admin, SocketAddr) {
    (node.admin.clone(), node.proxy())
}

impl Cluster {
    fn of(nodes: &[Gateway; 3]) -> Self {
        let doors = [0, 1, 2].map(|at: usize| Arc::new(Mutex::new(Some(door(&nodes[at])))));
        let (applied, acknowledged, took, reads) = Default::default();
        Self { doors, applied, acknowledged, took, reads }
    }

    /// Moves a route on and on, through one node after the other; each time, every node must have it at its new place
    /// and at no other as soon as the write is answered.
    async fn wander(self, writer: usize, moves: usize) {
        for number in 1..=moves {
            let path = |number: usize| format!("/w{writer}/{number}x");
            self.write(writer, number, &path(number)).await;
            for door in &self.doors {
                self.expect(door, &path(number), 200).await;
                self.expect(door, &path(number - 1), 404).await;
            }
            self.applied.fetch_add(1, Relaxed);
        }
    }

    /// Until it is applied. A try that failed may have been committed, and is made again.
    async fn write(&self, writer: usize, number: usize, path: &str) {
        let (began, end) = (Instant::now(), Instant::now() + RECOVERED);
        for attempt in 0.. {
            let there = self.doors[(writer + number + attempt) % 3].lock().unwrap().clone();
            let Some((admin, _)) = there else { continue };
            let change = admin.call(&format!("PATCH /routes/w{writer}?wait=applied"));
            let answer = admin.try_write(change.json(&json!({ "paths": [path] }))).await;
            match answer {
                Ok(answer) if answer.status == 200 => {
                    if attempt == 0 {
                        let version = answer.header("x-sandgate-config-version").parse().unwrap();
                        self.acknowledged.lock().unwrap().push(version);
                        self.took.lock().unwrap().push(began.elapsed());
                    }
                    return;
                }
                Ok(answer) if ![503, 504].contains(&answer.status) => panic!("{path}: {answer:?}"),
                _ => {}
            }
            assert!(Instant::now() < end, "{path} is not applied");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks a node, unless it is down or goes down.
    async fn expect(&self, door: &Door, path: &str, status: u16) {
        let asked = |door: &Door| door.lock().unwrap().as_ref().map(|(_, proxy)| *proxy);
        let Some(proxy) = asked(door) else { return };
        match Call::new(proxy, &format!("GET {path}")).try_send().await {
            Ok(answer) => assert_eq!(answer.status, status, "{path} at {proxy}: {}", answer.text()),
            Err(error) => return assert_ne!(asked(door), Some(proxy), "{path}: {error:#}"),
        }
        self.reads.fetch_add(1, Relaxed);
    }

    /// Waits until so many writes are applied.
    async fn at(&self, writes: usize) {
        let (mut before, mut end) = (0, Instant::now() + RECOVERED);
        while self.applied.load(Relaxed) < writes {
            assert!(Instant::now() < end, "{before} of {writes} writes, and no more since {RECOVERED:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = self.applied.load(Relaxed);
            if now > before {
                (before, end) = (now, Instant::now() + RECOVERED);
            }
        }
    }
}

/// As a writer of which nothing is known, which also left no history: nodes have to read everything.
async fn jump(server: &Arc<TestPostgres>, url: &str) {
    let jump = format!(
        "BEGIN; UPDATE config_version SET version = version + {GAP}, history_from = version + {GAP};
         UPDATE routes SET data = replace(data, '/gap/before', '/gap/after'); DELETE FROM changes; COMMIT"
    );
    let (server, url) = (server.clone(), url.to_owned());
    tokio::task::spawn_blocking(move || server.sql(&url, &jump)).await.unwrap();
}

/// 300 writes, or as many as `SANDGATE_TEST_WRITES` says; docs/performance.md has a run of 10,000.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_serves_what_was_before_an_applied_write_whoever_is_killed() {
    let writes: usize = std::env::var("SANDGATE_TEST_WRITES").map_or(300, |number| number.parse().unwrap());
    let server = Arc::new(tokio::task::spawn_blocking(TestPostgres::start).await.unwrap());
    let url = server.database();
    let target = TestTarget::answering("hello").await;
    let mut nodes = three(&url).await;
    nodes[0].admin.create("/services", json!({ "name": "a", "url": target.url() })).await;
    nodes[0].admin.create("/services/a/routes", json!({ "name": "gap", "paths": ["/gap/before"] })).await;
    for writer in 0..WRITERS {
        let route = json!({ "name": format!("w{writer}"), "paths": [format!("/w{writer}/0x")] });
        nodes[0].admin.create("/services/a/routes?wait=applied", route).await;
    }
    let (first, cluster, began) = (nodes[0].admin.acknowledged(), Cluster::of(&nodes), Instant::now());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(cluster.clone().wander(writer, writes.div_ceil(WRITERS)));
    }

    cluster.at(writes / 4).await;
    *cluster.doors[1].lock().unwrap() = None;
    nodes[1].kill9();
    nodes[1].restart().await.unwrap();
    *cluster.doors[1].lock().unwrap() = Some(door(&nodes[1]));

    cluster.at(writes / 2).await;
    server.kill9();
    server.start_again();

    cluster.at(writes * 3 / 4).await;
    jump(&server, &url).await;
    cluster.at(writes).await;

    writers.join_all().await;
    println!("{}", report(&cluster, began));
    for node in &nodes {
        node.admin.get("/routes/gap").await.expect(200);
        Call::new(node.proxy(), "GET /gap/after").send().await.expect(200);
        for writer in 0..WRITERS {
            let last = format!("GET /w{writer}/{}x", writes.div_ceil(WRITERS));
            Call::new(node.proxy(), &last).send().await.expect(200);
        }
    }
    // A version that was lost would be made once more.
    let mut acknowledged = cluster.acknowledged.lock().unwrap().clone();
    let answered = acknowledged.len();
    acknowledged.sort_unstable();
    acknowledged.dedup();
    assert_eq!(acknowledged.len(), answered, "each version was acknowledged once");
    let kept = format!("SELECT max(version) - {first} - {GAP}, count(*) FROM audit WHERE version > {first}");
    let kept = server.sql(&url, &kept);
    let (made, noted) = kept.split_once('|').unwrap();
    assert_eq!(made, noted, "no version is missing but those of the gap");
    assert!(made.parse::<usize>().unwrap() >= answered, "{made} versions of {answered} writes");
}

fn report(cluster: &Cluster, began: Instant) -> String {
    let mut took = cluster.took.lock().unwrap().clone();
    took.sort_unstable();
    let at = |part: usize| took[(took.len() - 1) * part / 100];
    let (applied, reads) = (cluster.applied.load(Relaxed), cluster.reads.load(Relaxed));
    let spent = began.elapsed();
    format!("{applied} writes, {reads} reads in {spent:?}: p50 {:?}, p99 {:?}, most {:?}", at(50), at(99), at(100))
}
