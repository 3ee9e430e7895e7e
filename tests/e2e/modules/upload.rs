use bytes::Bytes;
use serde_json::json;

use crate::harness::{TestGateway, TestTarget, core_guest, guest, marked};

#[tokio::test]
async fn an_uploaded_plugin_is_shown_with_all_that_is_known_of_it() {
    let gateway = TestGateway::new().start().await;
    let module = gateway.upload("counterheader").await;
    assert_eq!((&module["name"], &module["source"]), (&json!("counterheader"), &json!("upload")));
    assert_eq!(module["digest"].as_str().unwrap().len(), 64);
    assert_eq!(module["phases"], json!(["request-headers"]));
    assert_eq!(module["capabilities"]["requested"], json!({ "counters": [] }));
    assert_eq!(module["capabilities"]["effective"], json!({ "counters": [] }));
    assert_eq!((&module["priority"], &module["state"]), (&json!(500), &json!("ready")));
    assert!(module["config_schema"].is_object() && module["version"].is_string(), "{module}");
    assert_eq!(module["size"], guest("counterheader").len());
    assert_eq!(gateway.module("counterheader").await["digest"], module["digest"]);
}

#[tokio::test]
async fn an_uploaded_plugin_can_be_configured_and_serves_at_once() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.admin.upload("POST /modules?grants=*", guest("counterheader")).await.expect(201);
    gateway.plugin("a", "counterheader", json!({})).await;
    for count in ["1", "2", "3"] {
        assert_eq!(gateway.get("/").await.echo().header("x-count"), count);
    }
    let enabled = gateway.admin.get("/plugins/enabled").await.json().to_string();
    assert!(enabled.contains("counterheader"), "{enabled}");
    gateway.admin.get("/schemas/plugins/counterheader").await.expect(200);
}

#[tokio::test]
async fn core_modules_are_made_components() {
    let gateway = TestGateway::new().start().await;
    let module = gateway.admin.upload("POST /modules", core_guest("peek")).await.expect(201).json();
    assert_eq!((&module["name"], &module["state"]), (&json!("peek"), &json!("ready")));
}

#[tokio::test]
async fn a_form_may_carry_the_module_and_its_settings() {
    let gateway = TestGateway::new().start().await;
    let mut body =
        b"--x\r\nContent-Disposition: form-data; name=\"grants\"\r\n\r\n*\r\n--x\r\nContent-Disposition: form-data; \
                     name=\"module\"; filename=\"c.wasm\"\r\nContent-Type: application/wasm\r\n\r\n"
            .to_vec();
    body.extend_from_slice(&guest("counterheader"));
    body.extend_from_slice(b"\r\n--x--\r\n");
    let call = gateway.admin.call("POST /modules").header("content-type", "multipart/form-data; boundary=x").body(body);
    let module = call.send().await.expect(201).json();
    assert_eq!(module["capabilities"]["missing"], json!({}));
}

#[tokio::test]
async fn what_is_downloaded_is_what_was_uploaded() {
    let gateway = TestGateway::new().start().await;
    gateway.upload("peek").await;
    let answer = gateway.admin.get("/modules/peek/code").await.expect(200);
    assert!(answer.body == guest("peek"), "{} bytes came back", answer.body.len());
    assert_eq!(answer.header("content-type"), "application/wasm");
}

#[tokio::test]
async fn modules_are_listed_with_the_built_in_ones() {
    let gateway = TestGateway::new().start().await;
    gateway.upload("peek").await;
    let listed = gateway.admin.get("/modules?size=1000").await.expect(200).json();
    let source = |name: &str| {
        let found = listed["data"].as_array().unwrap().iter().find(|module| module["name"] == name);
        found.map(|module| module["source"].as_str().unwrap().to_owned())
    };
    assert_eq!((source("peek"), source("key-auth")), (Some("upload".into()), Some("builtin".into())));
    let grants = gateway.module("file-log").await["grants"].clone();
    assert_eq!(grants, json!({ "sinks": ["/"] }), "what is built in shows its grants as uploads do");
}

#[tokio::test]
async fn a_name_that_is_taken_is_replaced_by_put_alone() {
    let gateway = TestGateway::new().start().await;
    let first = gateway.upload("peek").await;
    let second = marked(&guest("peek"), "second");
    gateway.admin.upload("POST /modules", second.clone()).await.expect(409);
    let replaced = gateway.admin.upload("PUT /modules/peek", second.clone()).await.expect(200).json();
    assert_eq!(replaced["id"], first["id"]);
    assert_ne!(replaced["digest"], first["digest"]);
    assert!(gateway.admin.get("/modules/peek/code").await.body == second);
    let reasons = gateway.admin.upload("PUT /modules/peek", guest("body")).await.expect(400).json();
    assert!(reasons["reasons"][0].as_str().unwrap().contains("body"), "{reasons}");
}

#[tokio::test]
async fn a_module_in_use_is_not_deleted() {
    let gateway = TestGateway::new().start().await;
    gateway.upload("peek").await;
    let plugin = gateway.admin.create("/plugins", json!({ "name": "peek" })).await;
    let refusal = gateway.admin.delete("/modules/peek").await.expect(400).json();
    assert!(refusal["message"].as_str().unwrap().contains(plugin["id"].as_str().unwrap()), "{refusal}");
    gateway.admin.delete(&format!("/plugins/{}", plugin["id"].as_str().unwrap())).await.expect(204);
    gateway.admin.delete("/modules/peek").await.expect(204);
    gateway.admin.get("/modules/peek").await.expect(404);
    gateway.admin.post("/plugins", json!({ "name": "peek" })).await.expect(400);
}

#[tokio::test]
async fn what_is_built_in_stays() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.delete("/modules/key-auth").await.expect(400);
}

#[tokio::test]
async fn uploads_and_grants_survive_a_restart() {
    let target = TestTarget::echoing().await;
    let mut gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.upload("counterheader").await;
    gateway.plugin("a", "counterheader", json!({})).await;
    gateway.admin.patch("/modules/file-log", json!({ "failure_policy": "closed" })).await.expect(200);
    gateway.restart().await.unwrap();
    assert_eq!(gateway.get("/").await.echo().header("x-count"), "1");
    assert_eq!(gateway.module("file-log").await["failure_policy"], "closed", "operators decide about built-ins too");
}

#[tokio::test]
async fn a_guest_for_wasi_runs_and_reaches_nothing() {
    let target = TestTarget::answering("a").await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.upload("wasi").await;
    gateway.plugin("a", "wasi", json!({})).await;
    let answer = gateway.get_with("/", &[("user-agent", "curl")]).await.expect(200);
    let now: u64 = answer.header("x-wasi-now").parse().unwrap();
    let actual = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(actual.abs_diff(now) < 60, "{now}");
    assert_eq!((answer.header("x-wasi-seen"), answer.header("x-wasi-reaches-out")), ("1", "no"));
    gateway.process.log.line("wasi guest saw curl", std::time::Duration::from_secs(30)).await.unwrap();
}

#[tokio::test]
async fn a_plugin_has_the_collections_that_its_manifest_declares() {
    let gateway = TestGateway::new().start().await;
    let manifest = &gateway.module("key-auth").await["manifest"];
    assert_eq!(manifest["collections"][0]["path"], "key-auths");
    let endpoints = gateway.admin.get("/endpoints").await.expect(200).json().to_string();
    assert!(endpoints.contains("/consumers/{consumers}/key-auth"), "{endpoints}");
}

#[tokio::test]
async fn an_empty_upload_is_told_so() {
    let gateway = TestGateway::new().start().await;
    let refusal = gateway.admin.upload("POST /modules", Bytes::new()).await.expect(400).json();
    assert_eq!(refusal["reasons"], json!(["the upload holds no module"]));
}
