//! References to secrets: resolved on the node, never shown.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget};

/// An http-log on a route, with its endpoint in a vault.
async fn logging_to(gateway: &Gateway, endpoint: &str) -> (Value, TestTarget) {
    let target = TestTarget::answering("a").await;
    gateway.route("a", "/", &target).await;
    let config = json!({ "http_endpoint": endpoint, "headers": { "x-token": "{vault://env/log-token}" } });
    (gateway.plugin("a", "http-log", config).await, target)
}

#[tokio::test]
async fn a_plugin_gets_the_secret_and_operators_see_the_reference() {
    let server = TestTarget::answering("thanks").await;
    let gateway = TestGateway::new().setting("LOGS", &format!(r#"{{"url":"{}"}}"#, server.url()));
    let gateway = gateway.setting("LOG_TOKEN", "hush-hush").start().await;
    let (plugin, _target) = logging_to(&gateway, "{vault://env/logs/url}").await;
    gateway.get("/").await.expect(200);
    server.arrived().await;
    assert_eq!(server.seen()[0].headers["x-token"], "hush-hush");
    let shown = gateway.admin.get(&format!("/plugins/{}", plugin["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(shown.json()["config"]["http_endpoint"], "{vault://env/logs/url}");
    assert!(!shown.text().contains("hush") && !gateway.process.log.tail().contains("hush"));
}

#[tokio::test]
async fn no_file_of_the_gateway_holds_the_secret() {
    let server = TestTarget::answering("thanks").await;
    let gateway = TestGateway::new().setting("LOGS", &server.url()).setting("LOG_TOKEN", "hush-hush").start().await;
    let (_plugin, _target) = logging_to(&gateway, "{vault://env/logs}").await;
    gateway.get("/").await.expect(200);
    server.arrived().await;
    let mut folders = vec![gateway.file("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = match fs::read(entry.path()) {
                    // What is written aside gets its name only then.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    read => read.unwrap(),
                };
                assert!(!bytes.windows(9).any(|window| window == b"hush-hush"), "{}", entry.path().display());
            }
        }
    }
}

#[tokio::test]
async fn a_secret_that_changes_reaches_the_plugin_without_a_change_of_the_configuration() {
    let (old, new) = (TestTarget::answering("old").await, TestTarget::answering("new").await);
    let secrets = tempfile::tempdir().unwrap();
    let put = |server: &TestTarget| fs::write(secrets.path().join("logs"), server.url()).unwrap();
    put(&old);
    let gateway = TestGateway::new().setting("SANDGATE_VAULT_FILE_DIR", secrets.path().to_str().unwrap());
    let gateway = gateway.setting("SANDGATE_VAULT_ROTATION_INTERVAL", "1s").start().await;
    let (_plugin, _target) = logging_to(&gateway, "{vault://file/logs}").await;
    gateway.get("/").await.expect(200);
    old.arrived().await;
    let before = gateway.admin.acknowledged();
    put(&new);
    gateway.eventually("/", |_| new.count() > 0).await;
    assert_eq!(gateway.process.log.version(), before, "the version is the same");
}

#[tokio::test]
async fn a_plugin_that_cannot_do_without_the_secret_is_quarantined() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.patch("/modules/http-log", json!({ "failure_policy": "closed" })).await.expect(200);
    let (plugin, _target) = logging_to(&gateway, "{vault://env/no-such-variable}").await;
    gateway.get("/").await.expect(503);
    let quarantined = gateway.admin.get("/").await.json()["sandgate"]["quarantined"].clone();
    assert_eq!(quarantined[0]["id"], plugin["id"], "{quarantined}");
    gateway.process.log.line("a vault reference does not resolve", std::time::Duration::from_secs(30)).await.unwrap();
}

#[tokio::test]
async fn a_plugin_that_only_logs_costs_no_request_for_want_of_its_secret() {
    let gateway = TestGateway::new().start().await;
    let (plugin, _target) = logging_to(&gateway, "{vault://env/no-such-variable}").await;
    gateway.get("/").await.expect(200);
    let quarantined = gateway.admin.get("/").await.json()["sandgate"]["quarantined"].clone();
    assert_eq!(quarantined[0]["id"], plugin["id"], "operators are told all the same: {quarantined}");
}

#[tokio::test]
async fn a_field_that_is_not_referenceable_takes_the_text_as_it_is() {
    let gateway = TestGateway::new().start().await;
    let text = "{vault://env/path}";
    let consumer = gateway.admin.create("/consumers", json!({ "username": text })).await;
    assert_eq!(consumer["username"], text);
    let wrong = json!({ "name": "http-log", "config": { "http_endpoint": "http://a", "method": text } });
    let answer = gateway.admin.post("/plugins", wrong).await.expect(400);
    assert!(answer.text().contains("expected one of"), "{}", answer.text());
}

#[tokio::test]
async fn a_credential_may_be_a_secret_from_a_vault_and_is_never_shown() {
    let secrets = tempfile::tempdir().unwrap();
    fs::write(secrets.path().join("bob"), "hush-hush").unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_VAULT_FILE_DIR", secrets.path().to_str().unwrap());
    let gateway = gateway.setting("SANDGATE_VAULT_ROTATION_INTERVAL", "1s").start().await;
    let target = TestTarget::answering("a").await;
    gateway.route("a", "/", &target).await;
    gateway.upload("keyring").await;
    gateway.plugin("a", "keyring", json!({})).await;
    let reference = "{vault://file/bob}";
    gateway.admin.create("/consumers", json!({ "username": "bob" })).await;
    gateway.admin.create("/consumers/bob/keyring", json!({ "key": reference })).await;
    for (key, status) in [("hush-hush", 200), (reference, 401), ("", 401)] {
        gateway.get_with("/", &[("x-key", key)]).await.expect(status);
    }
    let shown = gateway.admin.get("/keyrings").await.expect(200);
    assert!(shown.json()["data"][0]["key"] == reference && !shown.text().contains("hush"), "{}", shown.text());
    fs::write(secrets.path().join("bob"), "whisper").unwrap();
    gateway.until(async || gateway.get_with("/", &[("x-key", "whisper")]).await.status == 200).await;
    gateway.get_with("/", &[("x-key", "hush-hush")]).await.expect(401);
}
