use serde_json::json;

use crate::harness::{Call, TestGateway};

const BUILT_IN: [&str; 7] =
    ["acl", "correlation-id", "file-log", "http-log", "key-auth", "rate-limiting", "request-transformer"];

#[tokio::test]
async fn the_root_says_what_clients_of_kong_look_for() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/plugins", json!({ "name": "key-auth" })).await;
    let root = gateway.admin.get("/").await.expect(200).json();
    assert_eq!(root["version"], "3.9.1");
    assert!(root["sandgate"]["version"].is_string() && root["node_id"].is_string() && root["hostname"].is_string());
    assert_eq!(root["plugins"]["enabled_in_cluster"], json!(["key-auth"]));
    assert_eq!(root["plugins"]["available_on_server"]["key-auth"]["priority"], 1250);
    assert_eq!(root["configuration"]["router_flavor"], "traditional_compatible");
}

#[tokio::test]
async fn the_node_stays_the_same_after_a_restart() {
    let mut gateway = TestGateway::new().start().await;
    let before = gateway.admin.get("/").await.json()["node_id"].clone();
    gateway.restart().await.unwrap();
    assert_eq!(gateway.admin.get("/").await.json()["node_id"], before);
}

#[tokio::test]
async fn status_counts_requests_and_reaches_the_database() {
    let gateway = TestGateway::new().start().await;
    gateway.get_times("/", 5).await;
    let status = gateway.admin.get("/status").await.expect(200).json();
    assert_eq!(status["database"], json!({ "reachable": true }));
    assert!(status["server"]["total_requests"].as_u64().unwrap() >= 5, "{}", status["server"]);
}

#[tokio::test]
async fn the_status_api_is_ready_and_reads_only() {
    let gateway = TestGateway::new().start().await;
    let call = |line: &str| Call::new(gateway.process.at.status, line);
    assert_eq!(call("GET /status/ready").send().await.expect(200).json(), json!({ "message": "ready" }));
    call("GET /status").send().await.expect(200);
    assert!(call("GET /metrics").send().await.expect(200).text().contains("sandgate_snapshot_version"));
    call("GET /services").send().await.expect(404);
}

#[tokio::test]
async fn the_built_in_plugins_are_enabled() {
    let gateway = TestGateway::new().start().await;
    let enabled = gateway.admin.get("/plugins/enabled").await.expect(200).json();
    assert_eq!(enabled, json!({ "enabled_plugins": BUILT_IN }));
}

#[tokio::test]
async fn every_built_in_plugin_has_a_schema_with_defaults() {
    let gateway = TestGateway::new().start().await;
    for name in BUILT_IN {
        let schema = gateway.admin.get(&format!("/schemas/plugins/{name}")).await.expect(200).json();
        let fields = schema["fields"].as_array().unwrap();
        let config = fields.iter().find_map(|field| field.get("config")).unwrap();
        assert_eq!(config["type"], "record", "{name}");
        assert!(!config["fields"].as_array().unwrap().is_empty(), "{name}");
    }
    let schema = gateway.admin.get("/schemas/plugins/key-auth").await.json().to_string();
    assert!(schema.contains(r#""default":["apikey"]"#), "{schema}");
}

#[tokio::test]
async fn core_entities_have_schemas() {
    let gateway = TestGateway::new().start().await;
    for name in ["services", "routes", "consumers", "plugins", "upstreams", "targets", "keyauth_credentials", "acls"] {
        let schema = gateway.admin.get(&format!("/schemas/{name}")).await.expect(200).json();
        assert!(!schema["fields"].as_array().unwrap().is_empty(), "{name}");
    }
    let missing = gateway.admin.get("/schemas/nope").await.expect(404).json();
    assert_eq!(missing, json!({ "message": "No entity named 'nope'" }));
    let missing = gateway.admin.get("/schemas/plugins/nope").await.expect(404).json();
    assert_eq!(missing, json!({ "message": "No plugin named 'nope'" }));
}

#[tokio::test]
async fn entities_are_validated_without_being_stored() {
    let gateway = TestGateway::new().start().await;
    let good = gateway.admin.post("/schemas/services/validate", json!({ "host": "a.test" })).await.expect(200).json();
    assert_eq!(good, json!({ "message": "schema validation successful" }));
    gateway.admin.post("/schemas/services/validate", json!({})).await.expect(400);
    let plugin = json!({ "name": "rate-limiting", "config": { "minute": 10, "hour": 5 } });
    gateway.admin.post("/schemas/plugins/validate", plugin).await.expect(400);
    assert_eq!(gateway.admin.get("/services").await.json()["data"], json!([]));
}

#[tokio::test]
async fn browsers_may_ask_from_elsewhere() {
    let gateway = TestGateway::new().start().await;
    let call = gateway.admin.call("OPTIONS /services").header("origin", "http://a.test");
    let answer = call.header("access-control-request-headers", "x-a").send().await.expect(204);
    assert_eq!(answer.header("access-control-allow-origin"), "http://a.test");
    assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD, OPTIONS, POST");
    assert_eq!(answer.header("access-control-allow-headers"), "x-a");
}

#[tokio::test]
async fn answers_have_kongs_headers_and_head_has_no_body() {
    let gateway = TestGateway::new().start().await;
    let answer = gateway.admin.get("/services/").await.expect(200);
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    assert!(answer.header("server").starts_with("sandgate/"));
    answer.header("x-kong-admin-latency").parse::<u64>().unwrap();
    let head = gateway.admin.call("HEAD /services").send().await.expect(200);
    assert_eq!(head.text(), "");
}
