//! The database is away when the gateway starts.

use serde_json::json;

use super::{SAID, gateway, kept, reachable, status, writable};
use crate::harness::{TestGateway, TestPostgres, TestTarget};

#[tokio::test]
async fn a_node_starts_without_its_database_with_uploaded_modules_and_catches_up() {
    let (server, target) = (TestPostgres::start(), TestTarget::echoing().await);
    let mut gateway = gateway(&server).start().await;
    gateway.route("a", "/a", &target).await;
    gateway.upload("counterheader").await;
    gateway.plugin("a", "counterheader", json!({})).await;
    gateway.consumer("last", "last").await;
    gateway.get("/a").await.expect(200);
    kept(&gateway, "\"last\"").await;
    server.kill9();
    gateway.restart().await.unwrap();
    gateway.process.log.line("starting from the snapshot on disk", SAID).await.unwrap();
    assert_eq!(gateway.get("/a").await.echo().header("x-count"), "1");
    assert_eq!(status(&gateway).await["database"]["reachable"], false);
    gateway.admin.get("/consumers/last").await.expect(200);
    gateway.admin.get("/modules/counterheader").await.expect(200);
    gateway.admin.post("/consumers", json!({ "username": "eve" })).await.expect(503);
    server.start_again();
    writable(&gateway, "eve").await;
    gateway.admin.create("/routes", json!({ "paths": ["/later"] })).await;
    gateway.eventually("/later", |answer| answer.status == 503).await;
    assert_eq!(gateway.get("/a").await.echo().header("x-count"), "2", "the plugin is the same as before");
}

#[tokio::test]
async fn a_start_without_database_and_snapshot_waits_and_then_fails() {
    let server = TestPostgres::start();
    let url = server.database();
    server.kill9();
    let gateway = TestGateway::new().on_postgres(&url).setting("SANDGATE_DATABASE_START_WAIT", "1s");
    let error = gateway.try_start().await.err().expect("it does not start");
    assert!(error.contains("there is no snapshot on disk: waiting for it"), "{error}");
    assert!(error.contains("opening the configuration database"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_waits_goes_on_when_the_database_is_there() {
    let server = TestPostgres::start();
    let gateway = gateway(&server);
    server.kill9();
    // Whether the gateway or the server is first must not matter.
    let again = tokio::task::spawn_blocking(move || {
        server.start_again();
        server
    });
    let (gateway, server) = tokio::join!(gateway.start(), again);
    reachable(&gateway, true).await;
    drop(server.unwrap());
}

#[tokio::test]
async fn a_database_that_is_there_counts_and_not_the_snapshot() {
    let server = TestPostgres::start();
    let mut gateway = gateway(&server).start().await;
    gateway.admin.create("/consumers", json!({ "username": "kept" })).await;
    gateway.applied().await;
    kept(&gateway, "\"kept\"").await;
    let file = gateway.file("snapshot/newest.snapshot");
    let snapshot = std::fs::read(&file).unwrap();
    gateway.admin.delete("/consumers/kept").await.expect(204);
    gateway.terminate().await;
    std::fs::write(&file, snapshot).unwrap();
    gateway.restart().await.unwrap();
    gateway.admin.get("/consumers/kept").await.expect(404);
    reachable(&gateway, true).await;
}
