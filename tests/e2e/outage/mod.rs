//! Without the configuration database: traffic goes on, operators may read, and what comes back is caught up with.

mod disk;
mod start;
mod traffic;

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestPostgres};

/// An event in the gateway's log is waited for so long.
const SAID: Duration = Duration::from_secs(60);

/// A gateway on a server that may be killed, with snapshots as soon as there is something new.
fn gateway(server: &TestPostgres) -> TestGateway {
    quick(TestGateway::new().on_postgres(&server.database()))
}

fn quick(gateway: TestGateway) -> TestGateway {
    gateway.setting("SANDGATE_SNAPSHOT_INTERVAL", "100ms").setting("SANDGATE_DATABASE_START_WAIT", "50s")
}

/// Waits until what was acknowledged so far is on disk.
async fn kept(gateway: &Gateway, text: &str) {
    wait("the snapshot on disk", || async {
        std::fs::read_to_string(gateway.file("snapshot/newest.snapshot")).is_ok_and(|snapshot| snapshot.contains(text))
    })
    .await;
}

/// Waits until the Admin API says so.
async fn reachable(gateway: &Gateway, wanted: bool) {
    wait("what /status says of the database", || async { status(gateway).await["database"]["reachable"] == wanted })
        .await;
}

async fn status(gateway: &Gateway) -> Value {
    gateway.admin.get("/status").await.expect(200).json()
}

/// Waits until a consumer can be created.
async fn writable(gateway: &Gateway, name: &str) {
    wait("a write", || async {
        gateway.admin.post("/consumers", json!({ "username": name })).await.status == StatusCode::CREATED
    })
    .await;
}

async fn wait<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    let end = tokio::time::Instant::now() + SAID;
    while !done().await {
        assert!(tokio::time::Instant::now() < end, "{what} is not as wanted after {SAID:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
