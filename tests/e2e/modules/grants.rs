use serde_json::json;

use crate::harness::{Gateway, TestGateway, TestTarget, guest};

const ALL: [&str; 9] =
    ["consumers", "counters", "key-value", "metrics", "queue", "sinks", "outbound-http", "crypto", "secrets"];

async fn with_plugin(name: &str, line: &str) -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.admin.upload(line, guest(name)).await.expect(201);
    gateway.applied().await;
    gateway.plugin("a", name, json!({})).await;
    (gateway, target)
}

#[tokio::test]
async fn what_was_not_granted_is_refused_by_name() {
    let (gateway, _target) = with_plugin("meddle", "POST /modules?grants=*").await;
    let answer = gateway.get("/").await.expect(200);
    let told = answer.header("x-meddle");
    assert_eq!(told.matches("=denied:").count(), 14, "{told}");
    for name in ALL {
        assert!(told.contains(&format!("{name}=denied:{name}")), "{name}: {told}");
    }
}

#[tokio::test]
async fn granting_what_the_manifest_does_not_request_changes_nothing() {
    let (gateway, _target) = with_plugin("meddle", "POST /modules").await;
    let grants: serde_json::Map<_, _> = ALL.iter().map(|name| ((*name).to_owned(), json!(["*"]))).collect();
    gateway.admin.patch("/modules/meddle", json!({ "grants": grants })).await.expect(200);
    let answer = gateway.get("/").await.expect(200);
    assert_eq!(answer.header("x-meddle").matches("=denied:").count(), 14, "{}", answer.header("x-meddle"));
}

#[tokio::test]
async fn a_grant_makes_the_call_work_and_taking_it_back_ends_that() {
    let (gateway, _target) = with_plugin("counterheader", "POST /modules").await;
    let module = gateway.module("counterheader").await;
    assert_eq!(module["capabilities"]["missing"], json!({ "counters": [] }));
    assert_eq!(gateway.get("/").await.echo().header("x-count"), "0");
    gateway.admin.patch("/modules/counterheader", json!({ "grants": { "counters": [] } })).await.expect(200);
    assert_eq!(gateway.get("/").await.echo().header("x-count"), "1");
    assert_eq!(gateway.module("counterheader").await["capabilities"]["missing"], json!({}));
    gateway.admin.patch("/modules/counterheader", json!({ "grants": {} })).await.expect(200);
    assert_eq!(gateway.get("/").await.echo().header("x-count"), "0");
}

#[tokio::test]
async fn what_a_plugin_measures_is_among_the_metrics_of_the_gateway() {
    let (gateway, _target) = with_plugin("measure", "POST /modules?grants=*").await;
    for _ in 0..2 {
        assert_eq!(gateway.get("/").await.expect(200).header("x-measure"), "ok, ok, invalid, invalid");
    }
    let metrics = gateway.admin.get("/metrics").await.expect(200).text();
    for line in [
        "# TYPE kong_plugin_measure_calls counter\nkong_plugin_measure_calls 4\n",
        "# TYPE kong_plugin_measure_size histogram\n",
        "kong_plugin_measure_size_bucket{le=\"2\"} 0\nkong_plugin_measure_size_bucket{le=\"5\"} 2\n",
        "kong_plugin_measure_size_count 2\nkong_plugin_measure_size_sum 6\n",
    ] {
        assert_eq!(metrics.matches(line).count(), 1, "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn a_file_outside_the_granted_folder_is_not_written() {
    let target = TestTarget::answering("a").await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    let allowed = gateway.file("logs/");
    std::fs::create_dir(&allowed).unwrap();
    gateway.admin.patch("/modules/file-log", json!({ "grants": { "sinks": [allowed] } })).await.expect(200);
    let path = gateway.file("elsewhere.log");
    let plugin = gateway.plugin("a", "file-log", json!({ "path": path })).await;
    gateway.get("/").await.expect(200);
    gateway.process.log.line("sinks", std::time::Duration::from_secs(30)).await.unwrap();
    assert!(!path.exists());
    let id = plugin["id"].as_str().unwrap();
    let config = json!({ "config": { "path": gateway.file("logs/access.log") } });
    gateway.admin.patch(&format!("/plugins/{id}"), config).await.expect(200);
    gateway.get("/").await.expect(200);
    gateway.lines("logs/access.log", 1).await;
}
