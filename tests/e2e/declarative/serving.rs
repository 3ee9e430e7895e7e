//! Serving what a file says.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{Desk, without_database};
use crate::harness::{TestGateway, TestTarget, guest};

fn file(target: &TestTarget, path: &str) -> String {
    format!(
        "_format_version: \"3.0\"\nservices:\n- name: s\n  url: {}\n  routes:\n  - name: r\n    paths: [{path}]\n    plugins: [{{name: key-auth}}]\nconsumers:\n- username: bob\n  keyauth_credentials: [{{key: s3cret}}]\n",
        target.url()
    )
}

#[tokio::test]
async fn a_file_is_served_with_its_plugins_and_credentials() {
    let (desk, target) = (Desk::new(), TestTarget::answering("hello").await);
    let path = desk.write("kong.yaml", &file(&target, "/a"));
    let gateway = TestGateway::new().setting("SANDGATE_DECLARATIVE_CONFIG", path.to_str().unwrap()).start().await;
    assert_eq!(gateway.get("/a").await.status, 401);
    assert_eq!(gateway.get_with("/a", &[("apikey", "s3cret")]).await.expect(200).text(), "hello");
    let root = gateway.admin.get("/").await.json();
    assert_eq!((&root["configuration"]["database"], &root["sandgate"]["quarantined"]), (&json!("off"), &json!([])));
}

#[tokio::test]
async fn a_text_is_served_in_place_of_a_file() {
    let target = TestTarget::answering("hello").await;
    let text = file(&target, "/a");
    let gateway = TestGateway::new().setting("SANDGATE_DECLARATIVE_CONFIG_STRING", &text).start().await;
    assert_eq!(gateway.get_with("/a", &[("apikey", "s3cret")]).await.expect(200).text(), "hello");
}

#[tokio::test]
async fn a_wrong_file_keeps_the_gateway_from_starting() {
    let desk = Desk::new();
    for (name, text, expected) in [
        ("a.yaml", "_format_version: '3.0'\nservices:\n- name: x\n", "in 'host': required field missing"),
        ("b.json", "{", "failed parsing declarative configuration: EOF"),
        ("c.txt", "", "unknown file type: txt. (Accepted types: json, yaml)"),
        ("d.yaml", "_format_version: 3.0\n", "in '_format_version': expected a string"),
        (
            "e.yaml",
            "_format_version: '3.0'\nplugins: [{name: key-auth, config: {key_names: 5}}]\n",
            "expected an array",
        ),
    ] {
        let path = desk.write(name, text);
        let path = path.to_str().unwrap();
        let said = TestGateway::new().setting("SANDGATE_DECLARATIVE_CONFIG", path).try_start().await.err().unwrap();
        let whole = format!("error parsing declarative config file {path}:\n");
        assert!(said.contains(&whole) && said.contains(expected), "{name}: {said}");
    }
    let missing = without_database().setting("SANDGATE_DECLARATIVE_CONFIG", "/nowhere.yaml").try_start().await;
    assert!(missing.err().unwrap().contains("No such file"));
}

#[tokio::test]
async fn a_hangup_reads_the_file_again() {
    let (desk, target) = (Desk::new(), TestTarget::answering("hello").await);
    let path = desk.write("kong.yaml", &file(&target, "/a"));
    let gateway = TestGateway::new().setting("SANDGATE_DECLARATIVE_CONFIG", path.to_str().unwrap()).start().await;
    let pid =
        Pid::from_raw(i32::try_from(gateway.admin.get("/").await.json()["pids"]["master"].as_u64().unwrap()).unwrap());
    let hangup = || kill_process(pid.unwrap(), Signal::HUP).unwrap();
    desk.write("kong.yaml", &file(&target, "/b"));
    hangup();
    gateway.eventually("/b", |answer| answer.status == 401).await;
    assert_eq!(gateway.get("/a").await.status, 404);
    desk.write("kong.yaml", "_format_version: '3.0'\nservices: [{name: x}]\n");
    hangup();
    let patience = std::time::Duration::from_secs(30);
    gateway.process.log.line("is wrong; the configuration stays", patience).await.unwrap();
    assert_eq!(gateway.get("/b").await.status, 401);
}

#[tokio::test]
async fn a_load_swaps_routes_while_requests_flow() {
    let target = TestTarget::answering("hello").await;
    let gateway = without_database().start().await;
    for path in ["/a", "/b", "/a", "/b"] {
        let config = json!({"_format_version": "3.0", "services": [
            {"name": "s", "url": target.url(), "routes": [{"name": "r", "paths": [path]}, {"name": "always", "paths": ["/z"]}]},
        ]});
        gateway.admin.post("/config", config).await.expect(201);
        assert_eq!(gateway.get(path).await.expect(200).text(), "hello");
        assert_eq!(gateway.get("/z").await.expect(200).text(), "hello");
    }
}

#[tokio::test]
async fn modules_of_an_operator_come_from_a_folder() {
    let (desk, target) = (Desk::new(), TestTarget::answering("hello").await);
    let name = "counterheader";
    std::fs::create_dir(desk.path("modules")).unwrap();
    std::fs::write(desk.path("modules/mine.wasm"), guest(name)).unwrap();
    desk.write("modules/mine.json", "{\"grants\": \"*\"}");
    let text = format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  url: {}\n  routes:\n  - {{name: r, paths: [/a], plugins: [{{name: {name}}}]}}\n",
        target.url()
    );
    let path = desk.write("kong.yaml", &text);
    let gateway = TestGateway::new()
        .setting("SANDGATE_DECLARATIVE_CONFIG", path.to_str().unwrap())
        .setting("SANDGATE_MODULES_DIR", desk.path("modules").to_str().unwrap())
        .start()
        .await;
    let module = gateway.module(name).await;
    assert_eq!((&module["state"], &module["source"]), (&json!("ready"), &json!("upload")));
    gateway.get("/a").await.expect(200);
    desk.write("modules/mine.json", "{\"grant\": \"*\"}");
    let refused = without_database().setting("SANDGATE_MODULES_DIR", desk.path("modules").to_str().unwrap());
    let said = refused.try_start().await.err().unwrap();
    assert!(said.contains("mine.wasm: grant: unknown field"), "{said}");
}
