//! Bearer tokens: made once, shown once, checked on every request.

use serde_json::{Value, json};

use super::{BOOTSTRAP, close, holder, token};
use crate::harness::TestGateway;

#[tokio::test]
async fn an_admin_api_without_tokens_is_open_on_this_machine() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.post("/services", json!({ "host": "a.test" })).await.expect(201);
    let who = gateway.admin.get("/admin-access").await.expect(200).json();
    assert_eq!(who, json!({ "authentication": "open", "name": "anonymous", "roles": null }));
}

#[tokio::test]
async fn with_the_first_token_everything_needs_one() {
    let gateway = TestGateway::new().start().await;
    let root = close(&gateway).await;
    for line in
        ["GET /", "GET /services", "GET /nope", "POST /services", "PUT /modules/a", "GET /admin-tokens", "HEAD /"]
    {
        let answer = gateway.admin.call(line).send().await.expect(401);
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{line}");
    }
    root.get("/services").await.expect(200);
    let who = root.get("/admin-access").await.expect(200).json();
    assert_eq!(who, json!({ "authentication": "required", "name": "token:root", "roles": ["admin"] }));
}

#[tokio::test]
async fn a_secret_is_shown_once_and_only_its_hash_is_kept() {
    let gateway = TestGateway::new().start().await;
    let made = gateway.admin.create("/admin-tokens", json!({ "name": "root", "roles": ["admin"] })).await;
    let secret = made["token"].as_str().unwrap().to_owned();
    let root = gateway.admin.with_token(&secret);
    assert_eq!(made["hash"], Value::Null);
    for path in ["/admin-tokens", "/admin-tokens/root", "/tags", "/endpoints", "/"] {
        let text = root.get(path).await.expect(200).text();
        assert!(!text.contains(&secret[20..]) && !text.contains("hash") && !text.contains("salt"), "{path}: {text}");
    }
    gateway.applied().await;
    for file in ["sandgate.db", "sandgate.db-wal"] {
        let bytes = std::fs::read(gateway.file(file)).unwrap();
        assert!(!bytes.windows(20).any(|window| window == &secret.as_bytes()[20..40]), "{file}");
    }
}

#[tokio::test]
async fn a_token_that_is_wrong_expired_or_revoked_is_refused_at_once() {
    let gateway = TestGateway::new().start().await;
    let root = close(&gateway).await;
    let ci = holder(&root, "ci", &["operator"]).await;
    ci.get("/services").await.expect(200);
    root.delete("/admin-tokens/ci").await.expect(204);
    let answer = ci.get("/services").await.expect(401);
    assert_eq!(answer.json(), json!({ "message": "the token is not valid" }));
    let late = holder(&root, "late", &["operator"]).await;
    late.get("/services").await.expect(200);
    root.patch("/admin-tokens/late", json!({ "expires_at": 1_000_000_000 })).await.expect(200);
    assert!(late.get("/services").await.expect(401).text().contains("expired"));
    let mut other = token(&root, json!({ "name": "other", "roles": ["admin"] })).await;
    other.replace_range(other.len() - 1.., if other.ends_with('A') { "Q" } else { "A" });
    gateway.admin.with_token(&other).get("/").await.expect(401);
}

#[tokio::test]
async fn a_new_role_of_a_token_counts_at_once() {
    let gateway = TestGateway::new().start().await;
    let root = close(&gateway).await;
    let ci = holder(&root, "ci", &["read-only"]).await;
    ci.post("/services", json!({ "host": "a.test" })).await.expect(403);
    root.patch("/admin-tokens/ci", json!({ "roles": ["operator"] })).await.expect(200);
    ci.post("/services", json!({ "host": "a.test" })).await.expect(201);
}

#[tokio::test]
async fn a_token_is_checked_before_it_is_made() {
    let gateway = TestGateway::new().start().await;
    let root = close(&gateway).await;
    for (wanted, said) in [
        (json!({ "name": "a", "roles": ["nope"] }), "there is no role 'nope'"),
        (json!({ "name": "a", "roles": [] }), "roles"),
        (json!({ "name": "a" }), "roles"),
        (json!({ "roles": ["admin"] }), "name"),
        (json!({ "name": "a/b", "roles": ["admin"] }), "name"),
        (json!({ "name": "a", "roles": ["admin"], "hash": "x" }), "hash"),
        (json!({ "name": "a", "roles": ["admin"], "salt": "x" }), "salt"),
        (json!({ "name": "a", "roles": ["admin"], "ttl": 0 }), "ttl"),
        (json!({ "name": "a", "roles": ["admin"], "tags": ["x"] }), "tags"),
    ] {
        let answer = root.post("/admin-tokens", wanted.clone()).await.expect(400);
        assert!(answer.text().contains(said), "{wanted}: {}", answer.text());
    }
    root.post("/admin-tokens", json!({ "name": "root", "roles": ["admin"] })).await.expect(409);
    root.patch("/admin-tokens/root", json!({ "prefix": "abc" })).await.expect(400);
    root.put("/admin-tokens/root", json!({ "name": "root", "roles": ["admin"] })).await.expect(405);
}

#[tokio::test]
async fn a_token_comes_in_kongs_header_too() {
    let gateway = TestGateway::new().start().await;
    let secret = token(&gateway.admin, json!({ "name": "root", "roles": ["admin"] })).await;
    gateway.admin.call("GET /").header("kong-admin-token", &secret).send().await.expect(200);
    gateway.admin.call("GET /").header("authorization", format!("Basic {secret}")).send().await.expect(401);
}

#[tokio::test]
async fn a_form_makes_a_token_as_curl_does() {
    let gateway = TestGateway::new().start().await;
    let made = gateway.admin.form("POST /admin-tokens", "name=root&roles=admin&ttl=3600").await.expect(201).json();
    assert!(made["expires_at"].as_u64().unwrap() >= made["created_at"].as_u64().unwrap() + 3600);
    gateway.admin.with_token(made["token"].as_str().unwrap()).get("/").await.expect(200);
}

#[tokio::test]
async fn no_secret_and_no_guess_is_ever_in_the_log() {
    let gateway = TestGateway::new()
        .setting("SANDGATE_ADMIN_TOKEN", BOOTSTRAP)
        .setting("SANDGATE_LOG_LEVEL", "debug")
        .start()
        .await;
    let boot = gateway.admin.with_token(BOOTSTRAP);
    let secret = token(&boot, json!({ "name": "ci", "roles": ["read-only"] })).await;
    let ci = gateway.admin.with_token(&secret);
    ci.post("/services", json!({ "host": "a.test" })).await.expect(403);
    gateway.admin.with_token("sgt_0123456789ab_a-guess-that-is-nobodys").get("/").await.expect(401);
    for said in ["\"reason\":\"unknown\"", "token:ci"] {
        gateway.process.log.line(said, std::time::Duration::from_secs(30)).await.unwrap();
    }
    let log = gateway.process.log.all();
    for hidden in [BOOTSTRAP, &secret, &secret[20..], "a-guess-that-is-nobodys"] {
        assert!(!log.contains(hidden), "{hidden}");
    }
}

#[tokio::test]
async fn tokens_are_known_after_a_restart() {
    let mut gateway = TestGateway::new().start().await;
    let secret = token(&gateway.admin, json!({ "name": "root", "roles": ["admin"] })).await;
    gateway.terminate().await;
    gateway.restart().await.unwrap();
    gateway.admin.get("/").await.expect(401);
    gateway.admin.with_token(&secret).get("/").await.expect(200);
}
