//! Nobody is locked out for good.

use serde_json::json;

use super::{BOOTSTRAP, close};
use crate::harness::TestGateway;

#[tokio::test]
async fn the_first_token_must_be_able_to_make_others() {
    let gateway = TestGateway::new().start().await;
    for role in ["read-only", "operator"] {
        let answer = gateway.admin.post("/admin-tokens", json!({ "name": "a", "roles": [role] })).await.expect(400);
        assert!(answer.text().contains("or nobody could"), "{}", answer.text());
    }
    gateway.admin.get("/services").await.expect(200);
}

#[tokio::test]
async fn the_command_line_makes_a_token_that_a_running_gateway_knows() {
    let gateway = TestGateway::new().start().await;
    let root = close(&gateway).await;
    let made = gateway.command(&["admin-token", "create", "--name", "rescue", "--ttl", "1h"]);
    let token = made.expect("a token");
    let rescue = gateway.admin.with_token(token.trim());
    gateway.until(async || rescue.get("/admin-access").await.status == 200).await;
    rescue.delete("/admin-tokens/root").await.expect(204);
    // Failures while the gateway did not know the token yet may count against this one.
    assert!(matches!(root.get("/").await.status, 401 | 429));
    let again = gateway.command(&["admin-token", "create", "--name", "rescue"]).unwrap_err();
    assert!(again.contains("there is a token 'rescue' already"), "{again}");
    let unknown = gateway.command(&["admin-token", "create", "--name", "x", "--role", "nope"]).unwrap_err();
    assert!(unknown.contains("there is no role 'nope'"), "{unknown}");
}

#[tokio::test]
async fn a_token_by_setting_works_beside_those_of_the_database() {
    let mut gateway = TestGateway::new().start().await;
    let root = close(&gateway).await;
    root.get("/").await.expect(200);
    gateway.terminate().await;
    gateway.set("SANDGATE_ADMIN_TOKEN", BOOTSTRAP);
    gateway.restart().await.unwrap();
    let boot = gateway.admin.with_token(BOOTSTRAP);
    boot.delete("/admin-tokens/root").await.expect(204);
    boot.get("/services").await.expect(200);
    gateway.admin.get("/services").await.expect(401);
}

#[tokio::test]
async fn without_its_last_token_an_admin_api_on_this_machine_is_open_again() {
    let gateway = TestGateway::new().start().await;
    let root = close(&gateway).await;
    gateway.admin.get("/services").await.expect(401);
    root.delete("/admin-tokens/root").await.expect(204);
    gateway.admin.get("/services").await.expect(200);
}
