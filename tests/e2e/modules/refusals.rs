use bytes::Bytes;
use serde_json::json;

use crate::harness::{TestGateway, Wasm, builtin, guest, replaced};

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_every_reason() {
    let gateway = TestGateway::new().start().await;
    let half = guest("peek").slice(..2_000);
    let cases = [
        ("text", Bytes::from("hello"), "not WebAssembly"),
        ("a core module without a type", Wasm::core_importing("env").bytes(), "cannot be made a component"),
        ("a core module that is no plugin", Wasm::core().bytes(), "does not export sandgate:plugin/lifecycle"),
        ("half a component", half, "does not compile"),
        ("a component that is no plugin", Wasm::component().bytes(), "does not export sandgate:plugin/lifecycle"),
        ("a foreign import", Wasm::component().importing("acme:magic/wand@1.0.0").bytes(), "acme:magic/wand@1.0.0"),
        ("a later contract", Wasm::component().importing("sandgate:plugin/request@9.0.0").bytes(), "9.0.0"),
    ];
    for (label, module, reason) in cases {
        let answer = gateway.admin.upload("POST /modules", module).await;
        assert_eq!(answer.status, 400, "{label}");
        let refusal = answer.json();
        assert_eq!(refusal["message"], "the module is refused", "{label}");
        let reasons: Vec<_> = refusal["reasons"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
        assert!(reasons.iter().any(|each| each.contains(reason)), "{label}: {reasons:?}");
    }
}

#[tokio::test]
async fn all_reasons_come_at_once() {
    let gateway = TestGateway::new().start().await;
    let module = Wasm::component().importing("acme:magic/wand@1.0.0").bytes();
    let refusal = gateway.admin.upload("POST /modules", module).await.expect(400).json();
    assert!(refusal["reasons"].as_array().unwrap().len() >= 2, "{refusal}");
}

#[tokio::test]
async fn a_module_is_one_whatever_its_type_of_content_says() {
    let gateway = TestGateway::new().start().await;
    for kind in ["application/wasm", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain"] {
        let call = gateway.admin.call("POST /modules").header("content-type", kind).body(guest("peek"));
        call.send().await.expect(201);
        gateway.admin.delete("/modules/peek").await.expect(204);
    }
    gateway.admin.call("POST /modules").body(guest("peek")).send().await.expect(201);
}

#[tokio::test]
async fn settings_that_are_none_are_named() {
    let gateway = TestGateway::new().start().await;
    let refusal = gateway.admin.upload("POST /modules?colour=red", guest("peek")).await.expect(400).json();
    assert_eq!((&refusal["code"], &refusal["fields"]), (&json!(2), &json!({ "colour": "unknown field" })));
    gateway.upload("peek").await;
    for (change, field) in [
        (json!({ "failure_policy": "maybe" }), "failure_policy"),
        (json!({ "cpu_limit": 0 }), "cpu_limit"),
        (json!({ "grants": 1 }), "grants"),
    ] {
        let refusal = gateway.admin.patch("/modules/peek", change).await.expect(400).json();
        assert!(refusal["fields"].get(field).is_some(), "{field}: {refusal}");
    }
}

#[tokio::test]
async fn a_version_that_its_credentials_do_not_fit_is_refused() {
    let gateway = TestGateway::new().start().await;
    gateway.consumer("bob", "key-of-bob").await;
    let credential = gateway.admin.get("/key-auths").await.expect(200).json()["data"][0].clone();
    let numbers = replaced(&builtin("key-auth"), "\"type\":\"string\"", "\"type\":\"number\"");
    let refusal = gateway.admin.upload("PUT /modules/key-auth", numbers.clone()).await.expect(400).json();
    let (reason, id) = (refusal["reasons"].to_string(), credential["id"].as_str().unwrap());
    assert!(reason.contains(id) && reason.contains("keyauth_credentials"), "{refusal}");
    assert!(!reason.contains("key-of-bob"), "{refusal}");
    assert_eq!(gateway.module("key-auth").await["source"], "builtin");
    gateway.admin.delete("/consumers/bob").await.expect(204);
    gateway.admin.upload("PUT /modules/key-auth", numbers).await.expect(200);
}
