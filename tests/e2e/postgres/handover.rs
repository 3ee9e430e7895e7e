//! Another process takes over on the same database; and what the database lacks.

use std::{process::Command, time::Duration};

use tempfile::TempDir;

use super::{database, sql};
use crate::harness::{Load, TestGateway, TestTarget};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handover_costs_no_request_and_changes_go_on() {
    let url = database().await;
    let target = TestTarget::answering("a").await;
    let mut gateway = TestGateway::new().on_postgres(&url).route("/", [&target]).start().await;
    gateway.applied().await;
    let (kept, fresh) = (Load::start(gateway.proxy(), "/", 2), Load::fresh(gateway.proxy(), "/", 2));
    for number in 1..=2 {
        gateway.process.hand_over(PATIENCE).await.unwrap_or_else(|error| panic!("hand-over {number}: {error:#}"));
        let name = format!("after-{number}");
        gateway.route(&name, &format!("/{name}"), &target).await;
        gateway.get(&format!("/{name}")).await.expect(200);
    }
    kept.stop_without_failures(50).await;
    fresh.stop_without_failures(50).await;
    let nodes = gateway.admin.get("/cluster").await.expect(200).json();
    assert_eq!(nodes["data"].as_array().unwrap().len(), 1, "it is the same node: {nodes}");
}

#[tokio::test]
async fn migrations_are_listed_and_applied_by_command() {
    let url = database().await;
    let data = TempDir::new().unwrap();
    let command = |arguments: &[&str]| said(&data, &url, arguments);
    let (code, text) = command(&["migrate", "status"]);
    assert!(code == Some(5) && text.contains("0001 initial: pending"), "{text}");
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(sql(&url, tables).await, "0", "asking changes nothing");
    assert_eq!(command(&["migrate", "up"]).0, Some(0));
    let (code, text) = command(&["migrate", "status"]);
    assert!(code == Some(0) && text.contains("0001 initial: applied") && !text.contains("pending"), "{text}");
    assert!(command(&["migrate", "up"]).1.contains("0 migrations applied"));
}

#[tokio::test]
async fn who_only_looks_refuses_an_older_and_a_newer_schema() {
    let (url, data) = (database().await, TempDir::new().unwrap());
    let refused = |expected: &str| {
        let (file, out) = (data.path().join("kong.yaml"), data.path().join("out.yaml"));
        std::fs::write(&file, "_format_version: '3.0'\n").unwrap();
        let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
        for arguments in [&["check", file][..], &["diff", file], &["dump"], &["export", out]] {
            let (code, text) = said(&data, &url, &[&["config"], arguments].concat());
            match expected {
                "" => assert_eq!(code, Some(0), "{text}"),
                expected => assert!(code == Some(2) && text.contains(expected), "{arguments:?}: {text}"),
            }
        }
    };
    refused("is older than this program");
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(sql(&url, tables).await, "0");
    assert_eq!(said(&data, &url, &["migrate", "up"]).0, Some(0));
    refused("");
    sql(&url, "UPDATE _sqlx_migrations SET version = 9000 WHERE version = 1").await;
    refused("is newer than this program: it has migration 9000");
    sql(&url, "DELETE FROM _sqlx_migrations WHERE version = 9000").await;
    refused("is older than this program: 1 migrations are pending");
    assert_eq!(sql(&url, "SELECT count(*) FROM _sqlx_migrations WHERE version = 1").await, "0");
}

/// Exit code and words of a command on this database.
fn said(data: &TempDir, url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandgate"));
    command.args(arguments).env_clear().env("SANDGATE_DATA_DIR", data.path()).env("SANDGATE_DATABASE_URL", url);
    command.env("SANDGATE_PLUGIN_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled"));
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}
