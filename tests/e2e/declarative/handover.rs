//! Another process takes over from one whose configuration is in no file.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Desk, without_database};
use crate::harness::{Gateway, Load, TestGateway, TestTarget, guest};

const PATIENCE: Duration = Duration::from_secs(60);

/// A route without a name, so that its id is another one with each load, and a key.
fn configuration(target: &TestTarget, path: &str) -> Value {
    json!({
        "_format_version": "3.0",
        "services": [{ "name": "s", "url": target.url(), "routes": [
            { "paths": [path], "plugins": [{ "name": "key-auth" }] },
            { "name": "open", "paths": ["/open"] },
        ] }],
        "consumers": [{ "username": "bob", "keyauth_credentials": [{ "key": "s3cret" }] }],
    })
}

/// What operators see of a configuration.
async fn seen(gateway: &Gateway) -> (Value, Value) {
    let hash = gateway.admin.get("/status").await.expect(200).json()["configuration_hash"].clone();
    (gateway.admin.get("/config").await.expect(200).json(), hash)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_posted_outlives_process_after_process_and_no_request_fails() {
    let target = TestTarget::answering("a").await;
    let mut gateway = without_database().setting("SANDGATE_DRAIN_GRACE_PERIOD", "10s").start().await;
    gateway.admin.post("/config", configuration(&target, "/0")).await.expect(201);
    gateway.get("/open").await.expect(200);
    let (kept, fresh) = (Load::start(gateway.proxy(), "/open", 2), Load::fresh(gateway.proxy(), "/open", 2));
    for number in 1..=3 {
        let before = seen(&gateway).await;
        gateway.process.hand_over(PATIENCE).await.unwrap_or_else(|error| panic!("hand-over {number}: {error:#}"));
        assert_eq!(seen(&gateway).await, before, "ids and times are the same");
        let path = format!("/{}", number - 1);
        gateway.get(&path).await.expect(401);
        gateway.get_with(&path, &[("apikey", "s3cret")]).await.expect(200);
        gateway.admin.post("/config", configuration(&target, &format!("/{number}"))).await.expect(201);
        gateway.get_with(&format!("/{number}"), &[("apikey", "s3cret")]).await.expect(200);
        gateway.get(&path).await.expect(404);
    }
    kept.stop_without_failures(50).await;
    fresh.stop_without_failures(50).await;
}

#[tokio::test]
async fn what_the_settings_name_is_read_again_unless_something_was_posted_since() {
    let (desk, target) = (Desk::new(), TestTarget::answering("a").await);
    let file = desk.write("kong.json", &configuration(&target, "/a").to_string());
    let settings = TestGateway::new().setting("SANDGATE_DECLARATIVE_CONFIG", file.to_str().unwrap());
    let mut gateway = settings.start().await;
    gateway.get("/a").await.expect(401);
    desk.write("kong.json", &configuration(&target, "/b").to_string());
    gateway.process.hand_over(PATIENCE).await.unwrap();
    gateway.get("/b").await.expect(401);
    gateway.admin.post("/config", configuration(&target, "/c")).await.expect(201);
    gateway.process.hand_over(PATIENCE).await.unwrap();
    gateway.get("/c").await.expect(401);
}

#[tokio::test]
async fn nobody_takes_over_who_cannot_serve_what_was_posted() {
    let (desk, target) = (Desk::new(), TestTarget::answering("a").await);
    std::fs::create_dir(desk.path("modules")).unwrap();
    std::fs::write(desk.path("modules/mine.wasm"), guest("counterheader")).unwrap();
    desk.write("modules/mine.json", "{\"grants\": \"*\"}");
    let settings = without_database().setting("SANDGATE_MODULES_DIR", desk.path("modules").to_str().unwrap());
    let mut gateway = settings.start().await;
    let mut posted = configuration(&target, "/a");
    posted["plugins"] = json!([{ "name": "counterheader" }]);
    gateway.admin.post("/config", posted).await.expect(201);
    gateway.get("/open").await.expect(200);
    gateway.process.hand_over(PATIENCE).await.unwrap();
    assert_eq!(gateway.module("counterheader").await["state"], "ready");
    gateway.get("/open").await.expect(200);
    std::fs::remove_file(desk.path("modules/mine.wasm")).unwrap();
    gateway.process.signal(Signal::USR2).unwrap();
    let reason = "the new process did not start: error parsing declarative config of the process before";
    gateway.process.log.line(reason, PATIENCE).await.unwrap();
    gateway.get("/open").await.expect(200);
    // Loads were held back, and are not any more.
    gateway.admin.post("/config", configuration(&target, "/b")).await.expect(201);
    gateway.get("/b").await.expect(401);
}

#[tokio::test]
async fn a_database_does_not_take_the_place_of_what_was_posted() {
    let (target, settings) = (TestTarget::answering("a").await, tempfile::NamedTempFile::new().unwrap());
    std::fs::write(settings.path(), "database_url = 'off'").unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_CONFIG", settings.path().to_str().unwrap());
    let gateway = gateway.embedded().start().await;
    gateway.admin.post("/config", configuration(&target, "/a")).await.expect(201);
    gateway.get("/a").await.expect(401);
    std::fs::write(settings.path(), "").unwrap();
    gateway.process.signal(Signal::USR2).unwrap();
    gateway
        .process
        .log
        .line("there is a database, and what was posted to /config would be lost", PATIENCE)
        .await
        .unwrap();
    gateway.get("/a").await.expect(401);
    assert!(!gateway.file("sandgate.db").exists(), "the refusal leaves no trace");
}
