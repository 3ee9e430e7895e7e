//! Client certificates.

use http::Request;
use serde_json::{Value, json};

use super::BOOTSTRAP;
use crate::harness::{Authority, Client, ClientKey, Gateway, TestGateway, Wire, full};

/// A gateway with TLS and this CA.
async fn guarded(ca: &str) -> Gateway {
    TestGateway::new()
        .setting("SANDGATE_ADMIN_LISTEN", "0.0.0.0:0 ssl")
        .setting("SANDGATE_ADMIN_CLIENT_CA", ca)
        .setting("SANDGATE_ADMIN_TOKEN", BOOTSTRAP)
        .start()
        .await
}

async fn register(gateway: &Gateway, mapping: Value) {
    let call = gateway.admin.with_token(BOOTSTRAP).call("POST /admin-certificates").over(Wire::Tls);
    call.json(&mapping).send().await.expect(201);
}

/// The status and body of a request with a certificate; `None` when the handshake fails.
async fn ask(gateway: &Gateway, key: &ClientKey, line: &str) -> Option<(u16, Value)> {
    let key = (key.0.clone(), key.1.clone_key());
    let (method, path) = line.split_once(' ').unwrap();
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let mut client = Client::with_certificate(gateway.admin.address, key).await.ok()?;
    let answer = client.send(request.body(full(r#"{"host":"a.test"}"#)).unwrap()).await.ok()?;
    Some((answer.status, answer.json()))
}

#[tokio::test]
async fn a_certificate_has_the_roles_that_were_given_to_its_owner() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let gateway = guarded(&authority.write(folder.path())).await;
    register(&gateway, json!({ "name": "ops", "subject": "CN=ops", "roles": ["operator"] })).await;
    register(&gateway, json!({ "name": "viewer", "san": "viewer.test", "roles": ["read-only"] })).await;
    for (client, line, expected) in [
        ("ops", "POST /services", 201),
        ("ops", "POST /admin-tokens", 403),
        ("viewer", "GET /services", 200),
        ("viewer", "POST /services", 403),
        ("stranger", "GET /services", 401),
    ] {
        let (status, answer) = ask(&gateway, &authority.client(client), line).await.expect("a handshake");
        assert_eq!(status, expected, "{client} {line}: {answer}");
    }
    let (_, who) = ask(&gateway, &authority.client("ops"), "GET /admin-access").await.unwrap();
    assert_eq!(who["name"], "certificate:ops");
}

#[tokio::test]
async fn a_certificate_is_known_by_its_fingerprint_until_that_is_taken_away() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let gateway = guarded(&authority.write(folder.path())).await;
    let (known, other) = (authority.client("ops"), authority.client("ops"));
    let fingerprint = sandgate::tls::ClientIdentity::read(&known.0[0]).unwrap().fingerprint;
    register(&gateway, json!({ "name": "one", "fingerprint": fingerprint.to_uppercase(), "roles": ["read-only"] }))
        .await;
    assert_eq!(ask(&gateway, &known, "GET /services").await.unwrap().0, 200);
    assert_eq!(ask(&gateway, &other, "GET /services").await.unwrap().0, 401);
    let call = gateway.admin.with_token(BOOTSTRAP).call("DELETE /admin-certificates/one").over(Wire::Tls);
    call.send().await.expect(204);
    assert_eq!(ask(&gateway, &known, "GET /services").await.unwrap().0, 401);
}

#[tokio::test]
async fn a_certificate_of_another_ca_ends_the_handshake() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let gateway = guarded(&authority.write(folder.path())).await;
    register(&gateway, json!({ "name": "ops", "subject": "CN=ops", "roles": ["admin"] })).await;
    assert!(ask(&gateway, &Authority::new().client("ops"), "GET /services").await.is_none());
    assert!(ask(&gateway, &authority.client("ops"), "GET /services").await.is_some());
}

#[tokio::test]
async fn a_token_still_works_without_a_certificate() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let gateway = guarded(&authority.write(folder.path())).await;
    gateway.admin.call("GET /").over(Wire::Tls).send().await.expect(401);
    gateway.admin.with_token(BOOTSTRAP).call("GET /").over(Wire::Tls).send().await.expect(200);
}

#[tokio::test]
async fn a_role_for_every_certificate_of_the_ca_needs_no_database() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let gateway = TestGateway::new()
        .setting("SANDGATE_ADMIN_LISTEN", "0.0.0.0:0 ssl")
        .setting("SANDGATE_ADMIN_CLIENT_CA", &authority.write(folder.path()))
        .setting("SANDGATE_ADMIN_CLIENT_ROLE", "read-only")
        .start()
        .await;
    let anyone = authority.client("anyone");
    assert_eq!(ask(&gateway, &anyone, "GET /services").await.unwrap().0, 200);
    assert_eq!(ask(&gateway, &anyone, "POST /services").await.unwrap().0, 403);
}

#[tokio::test]
async fn a_page_from_elsewhere_cannot_use_the_certificate_of_a_browser() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let gateway = guarded(&authority.write(folder.path())).await;
    register(&gateway, json!({ "name": "ops", "subject": "CN=ops", "roles": ["operator"] })).await;
    for origin in ["https://evil.test", "http://localhost:8002"] {
        let mut client = Client::with_certificate(gateway.admin.address, authority.client("ops")).await.unwrap();
        let request = Request::post("/services").header("origin", origin).header("content-type", "application/json");
        let answer = client.send(request.body(full(r#"{"host":"a.test"}"#)).unwrap()).await.unwrap().expect(403);
        assert!(!answer.has("access-control-allow-credentials"));
    }
}
