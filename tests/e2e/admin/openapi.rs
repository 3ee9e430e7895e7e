use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestPostgres, TestTarget, environment};

/// Programs of the Python environment.
async fn programs() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    tokio::task::spawn_blocking(move || environment(target)).await.unwrap().unwrap()
}

async fn run(mut command: Command) -> (bool, String) {
    let output: Output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// One entity of each kind, so that requests find something.
async fn furnished(gateway: TestGateway) -> (Gateway, TestTarget) {
    let target = TestTarget::answering("fine").await;
    let gateway = gateway.start().await;
    gateway.route("seed", "/seed", &target).await;
    for (path, entity) in [
        ("/consumers", json!({ "username": "seed", "custom_id": "seed", "tags": ["seed"] })),
        ("/consumers/seed/key-auth", json!({ "key": "seed" })),
        ("/consumers/seed/acls", json!({ "group": "seed" })),
        ("/upstreams", json!({ "name": "seed" })),
        ("/upstreams/seed/targets", json!({ "target": "127.0.0.1:9" })),
        ("/plugins", json!({ "name": "key-auth", "instance_name": "seed" })),
        ("/routes/seed/plugins", json!({ "name": "rate-limiting", "config": { "hour": 5 } })),
    ] {
        gateway.admin.create(path, entity).await;
    }
    (gateway, target)
}

async fn document(gateway: &Gateway) -> PathBuf {
    let text = gateway.admin.get("/openapi.json").await.expect(200).text();
    let file = gateway.file("openapi.json");
    fs::write(&file, text).unwrap();
    file
}

/// Keys in paths that name the seed, so that not every request ends at "Not found"; Kong's names for the rest.
fn settings(document: &Value) -> String {
    let paths = document["paths"].as_object().unwrap().keys();
    let parts = paths.flat_map(|path| path.split('/'));
    let names: BTreeSet<&str> = parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
    let mut text = String::from("[parameters]\n");
    for name in names {
        let value = match name {
            "targets" => "127.0.0.1:9",
            "modules" => "key-auth",
            "name" => "services",
            "db_entity_name" => "routes",
            "log_level" => "notice",
            _ => "seed",
        };
        text.push_str(&format!("\"path.{name}\" = \"{value}\"\n"));
    }
    text
}

/// How keys in paths are chosen.
#[derive(PartialEq)]
enum Keys {
    /// Those of entities that are there.
    Known,
    /// Any text.
    Random,
}

/// Runs schemathesis against a gateway, with these arguments on top. One worker: with more, it is not repeatable.
async fn examine(gateway: TestGateway, keys: Keys, arguments: &[&str]) {
    let (mut gateway, _target) = furnished(gateway).await;
    let file = document(&gateway).await;
    let described: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let mut command = Command::new(programs().await.join("schemathesis"));
    command.current_dir(gateway.file(""));
    if keys == Keys::Known {
        let config = gateway.file("schemathesis.toml");
        fs::write(&config, settings(&described)).unwrap();
        command.arg("--config-file").arg(config);
    }
    command.arg("run").arg(&file).args(["--url", &format!("http://{}", gateway.admin.address), "--checks", CHECKS]);
    command.args(["--workers", "1", "--seed", "4", "--generation-database", "none", "--no-shrink", "--no-color"]);
    command.args(["--request-timeout", "60", "--continue-on-failure", "--suppress-health-check", "all"]);
    // Kong's answer there is 501; and the first token that is made locks out who has none.
    command.args(["--warnings", "off", "--exclude-path", "/status/dns", "--exclude-path-regex", "^/admin-"]);
    command.args(arguments);
    let (good, said) = run(command).await;
    assert!(good, "{said}");
    gateway.admin.get("/services").await.expect(200);
    assert!(gateway.process.is_alive(), "{said}");
}

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[tokio::test]
async fn the_document_is_openapi_3_1() {
    let gateway = TestGateway::new().start().await;
    let mut command = Command::new(programs().await.join("python"));
    command.args(["-m", "openapi_spec_validator", "--errors", "all"]).arg(document(&gateway).await);
    let (good, said) = run(command).await;
    assert!(good, "{said}");
}

#[tokio::test]
async fn every_operation_does_what_the_document_says() {
    examine(TestGateway::new(), Keys::Known, &["--phases", "examples,fuzzing", "--max-examples", "5"]).await;
}

#[tokio::test]
async fn every_operation_does_so_on_postgresql() {
    let url = tokio::task::spawn_blocking(|| TestPostgres::shared().database()).await.unwrap();
    let gateway = TestGateway::new().on_postgres(&url);
    examine(gateway, Keys::Known, &["--phases", "examples,fuzzing", "--max-examples", "5"]).await;
}

#[tokio::test]
async fn every_operation_does_so_for_keys_of_any_kind() {
    examine(TestGateway::new(), Keys::Random, &["--phases", "fuzzing", "--max-examples", "5"]).await;
}

#[tokio::test]
async fn the_edges_of_every_field_are_as_the_document_says() {
    // Collections and their entities: what hangs below them is made of the same.
    examine(
        TestGateway::new(),
        Keys::Known,
        &["--phases", "coverage", "--include-path-regex", r"^/[^/]+(/\{[^/]+\})?$"],
    )
    .await;
}
