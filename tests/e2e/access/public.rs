//! Listeners that other machines reach.

use serde_json::json;

use super::{BOOTSTRAP, holder};
use crate::harness::{Call, TestGateway};

#[tokio::test]
async fn a_public_listener_that_nobody_guards_does_not_start() {
    for listen in ["SANDGATE_ADMIN_LISTEN", "SANDGATE_STATUS_LISTEN"] {
        let error = TestGateway::new().setting(listen, "0.0.0.0:0").try_start().await.err().expect("it does not start");
        for help in ["0.0.0.0:0", "SANDGATE_ADMIN_TOKEN", "admin-token create", "loopback"] {
            assert!(error.contains(help), "{listen} {help}: {error}");
        }
    }
}

#[tokio::test]
async fn with_a_token_by_setting_a_public_admin_api_can_be_set_up() {
    let gateway = TestGateway::new()
        .setting("SANDGATE_ADMIN_LISTEN", "0.0.0.0:0")
        .setting("SANDGATE_ADMIN_TOKEN", BOOTSTRAP)
        .start()
        .await;
    gateway.admin.get("/").await.expect(401);
    let boot = gateway.admin.with_token(BOOTSTRAP);
    boot.create("/services", json!({ "host": "a.test" })).await;
    let ci = holder(&boot, "ci", &["read-only"]).await;
    ci.get("/services").await.expect(200);
    gateway.admin.with_token(&BOOTSTRAP[1..]).get("/").await.expect(401);
    gateway.admin.with_token(&format!("{BOOTSTRAP}x")).get("/").await.expect(401);
}

#[tokio::test]
async fn a_token_in_a_file_is_as_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{BOOTSTRAP}\n")).unwrap();
    let settings = TestGateway::new().setting("SANDGATE_ADMIN_TOKEN_FILE", file.to_str().unwrap());
    let gateway = settings.start().await;
    gateway.admin.get("/").await.expect(401);
    gateway.admin.with_token(BOOTSTRAP).get("/").await.expect(200);
    std::fs::write(&file, "short\n").unwrap();
    let error = TestGateway::new().setting("SANDGATE_ADMIN_TOKEN_FILE", file.to_str().unwrap()).try_start().await;
    let error = error.err().expect("it does not start");
    assert!(error.contains("at least 32") && !error.contains("short"), "{error}");
}

#[tokio::test]
async fn with_tokens_in_the_database_a_gateway_may_become_public() {
    let mut gateway = TestGateway::new().start().await;
    let root = super::close(&gateway).await;
    root.get("/").await.expect(200);
    gateway.terminate().await;
    gateway.set("SANDGATE_ADMIN_LISTEN", "0.0.0.0:0");
    gateway.restart().await.unwrap();
    gateway.admin.get("/").await.expect(401);
}

#[tokio::test]
async fn a_public_status_api_tells_strangers_only_whether_it_is_ready() {
    let gateway = TestGateway::new()
        .setting("SANDGATE_STATUS_LISTEN", "0.0.0.0:0")
        .setting("SANDGATE_ADMIN_TOKEN", BOOTSTRAP)
        .start()
        .await;
    let status = gateway.process.at.status;
    let ask = |line: &str| Call::new(status, line);
    ask("GET /status/ready").send().await.expect(200);
    ask("GET /status").send().await.expect(401);
    ask("GET /metrics").send().await.expect(401);
    let boot = gateway.admin.with_token(BOOTSTRAP);
    let scraper = json!([{ "verbs": ["read"], "resources": ["metrics"] }]);
    boot.create("/admin-roles", json!({ "name": "scraper", "rules": scraper })).await;
    let token = super::token(&boot, json!({ "name": "prometheus", "roles": ["scraper"] })).await;
    let bearer = format!("Bearer {token}");
    let metrics = ask("GET /metrics").header("authorization", &bearer).send().await.expect(200).text();
    assert!(metrics.contains("sandgate_admin_denied_total{reason=\"missing\"} 2"), "{metrics}");
    ask("GET /status").header("authorization", &bearer).send().await.expect(403);
}

#[tokio::test]
async fn a_status_api_on_this_machine_stays_open() {
    let gateway = TestGateway::new().setting("SANDGATE_ADMIN_TOKEN", BOOTSTRAP).start().await;
    for path in ["/status", "/status/ready", "/metrics"] {
        Call::new(gateway.process.at.status, &format!("GET {path}")).send().await.expect(200);
    }
}
