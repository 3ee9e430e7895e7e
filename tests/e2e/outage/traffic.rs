//! The database goes away while requests are served.

use serde_json::json;

use super::{SAID, gateway, kept, quick, reachable, status, writable};
use crate::harness::{Load, TestGateway, TestPostgres, TestTarget};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_the_database_costs_no_request_and_its_return_none_either() {
    let (server, target) = (TestPostgres::start(), TestTarget::answering("a").await);
    let gateway = gateway(&server).route("/", [&target]).start().await;
    gateway.plugin("service-0", "key-auth", json!({})).await;
    gateway.consumer("ann", "ann").await;
    gateway.applied().await;
    let load = Load::with(gateway.proxy(), "/", &[("apikey", "ann")], 4);
    load.made(50).await;
    server.kill9();
    reachable(&gateway, false).await;
    load.made(500).await;
    server.start_again();
    writable(&gateway, "bob").await;
    gateway.admin.create("/routes", json!({ "paths": ["/later"], "methods": ["GET"] })).await;
    gateway.eventually("/later", |answer| answer.status == 503).await;
    load.stop_without_failures(500).await;
    reachable(&gateway, true).await;
}

#[tokio::test]
async fn operators_may_read_and_are_told_since_when_they_may_not_write() {
    let server = TestPostgres::start();
    let gateway = gateway(&server).start().await;
    gateway.consumer("ann", "one").await;
    gateway.admin.create("/consumers", json!({ "username": "bob", "tags": ["t"] })).await;
    gateway.applied().await;
    server.kill9();
    reachable(&gateway, false).await;
    let refused = gateway.admin.post("/consumers", json!({ "username": "eve" })).await.expect(503).json();
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("read-only") && message.contains("cannot be reached, since"), "{message}");
    gateway.admin.delete("/consumers/bob").await.expect(503);
    let list = gateway.admin.get("/consumers?tags=t").await.expect(200).json();
    assert_eq!(list["data"][0]["username"], "bob");
    let keys = gateway.admin.get("/consumers/ann/key-auth").await.expect(200).json();
    assert_eq!(keys["data"][0]["key"], "one");
    gateway.admin.get("/consumers/eve").await.expect(404);
    let page = gateway.admin.get("/consumers?size=1").await.expect(200).json();
    gateway.admin.get(page["next"].as_str().unwrap()).await.expect(200);
}

#[tokio::test]
async fn the_status_says_since_when_and_the_node_stays_ready() {
    let server = TestPostgres::start();
    let gateway = gateway(&server).start().await;
    assert_eq!(status(&gateway).await["sandgate"]["database"]["unreachable_since"], json!(null));
    server.kill9();
    reachable(&gateway, false).await;
    assert!(status(&gateway).await["sandgate"]["database"]["unreachable_since"].is_number());
    let asked = |path: &str| crate::harness::Call::new(gateway.process.at.status, &format!("GET {path}"));
    asked("/status/ready").send().await.expect(200);
    let metrics = asked("/metrics").send().await.expect(200).text();
    assert!(metrics.contains("kong_datastore_reachable 0"), "{metrics}");
}

#[tokio::test]
async fn what_another_node_wrote_meanwhile_is_caught_up_with() {
    let server = TestPostgres::start();
    let url = server.database();
    let start = || super::quick(crate::harness::TestGateway::new().on_postgres(&url)).start();
    let (first, second) = (start().await, start().await);
    first.admin.create("/routes", json!({ "paths": ["/one"] })).await;
    second.eventually("/one", |answer| answer.status == 503).await;
    server.kill9();
    reachable(&second, false).await;
    server.start_again();
    writable(&first, "ann").await;
    first.admin.create("/routes", json!({ "paths": ["/two"] })).await;
    second.eventually("/two", |answer| answer.status == 503).await;
    second.get("/one").await.expect(503);
}

#[tokio::test]
async fn a_database_that_comes_back_older_is_noticed_and_served_whole() {
    let server = TestPostgres::start();
    let url = server.database();
    let name = url.rsplit('/').next().unwrap().to_owned();
    let control = url.replace(&format!("/{name}"), "/postgres");
    let mut gateway = super::quick(crate::harness::TestGateway::new().on_postgres(&url)).start().await;
    gateway.admin.create("/routes", json!({ "name": "old", "paths": ["/old"] })).await;
    assert_eq!(gateway.terminate().await.code(), Some(0));
    server.sql(&control, &format!("CREATE DATABASE backup TEMPLATE {name}"));
    gateway.restart().await.unwrap();
    gateway.admin.create("/routes", json!({ "name": "new", "paths": ["/new"] })).await;
    gateway.admin.patch("/routes/old", json!({ "paths": ["/changed"] })).await.expect(200);
    gateway.get("/changed").await.expect(503);
    kept(&gateway, "/changed").await;
    server.sql(&control, &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"));
    let others = format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'");
    server.sql(&control, &others);
    server.sql(&control, &format!("ALTER DATABASE {name} RENAME TO lost"));
    server.sql(&control, &format!("ALTER DATABASE backup RENAME TO {name}"));
    gateway.process.log.line("older than what was served", SAID).await.unwrap();
    let ask = |path: &'static str| crate::harness::Call::new(gateway.proxy(), path).send();
    super::wait("the old configuration", || async { ask("GET /old").await.status == 503 }).await;
    ask("GET /changed").await.expect(404);
    ask("GET /new").await.expect(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_turned_by_hand_meanwhile_is_turned_here_and_later_everywhere() {
    let (server, target) = (TestPostgres::start(), TestTarget::answering("a").await);
    let (url, poll) = (server.database(), ("SANDGATE_DATABASE_POLL_INTERVAL", "200ms"));
    let node = || quick(TestGateway::new().on_postgres(&url)).setting(poll.0, poll.1);
    let (one, other) = (node().start().await, node().start().await);
    let checks = json!({ "passive": { "unhealthy": { "http_failures": 1 } } });
    one.admin.create("/upstreams", json!({ "name": "u", "healthchecks": checks })).await;
    one.admin.create("/upstreams/u/targets", json!({ "target": target.address.to_string() })).await;
    one.admin.create("/services", json!({ "name": "s", "host": "u" })).await;
    one.admin.create("/services/s/routes", json!({ "paths": ["/"] })).await;
    for node in [&one, &other] {
        node.eventually("/", |answer| answer.status == 200).await;
    }
    server.kill9();
    reachable(&one, false).await;
    let place = format!("/upstreams/u/targets/{}", target.address);
    for (state, expected) in [("unhealthy", 503), ("healthy", 200), ("unhealthy", 503)] {
        let answer = one.admin.call(&format!("PUT {place}/{state}")).send().await.expect(202).json();
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("other nodes hear of it later"), "{message}");
        one.get("/").await.expect(expected);
    }
    other.get("/").await.expect(200);
    server.start_again();
    other.eventually("/", |answer| answer.status == 503).await;
    one.get("/").await.expect(503);
    let told = server.sql(&url, "SELECT count(*) FROM target_marks");
    assert_eq!(told.trim(), "1", "the last one alone");
}
