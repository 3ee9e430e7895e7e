use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway};

async fn level(gateway: &Gateway) -> String {
    let said = gateway.admin.get("/debug/node/log-level").await.expect(200).json();
    said["message"].as_str().unwrap().to_owned()
}

async fn put(gateway: &Gateway, target: &str) -> (u16, String) {
    let answer = gateway.admin.call(&format!("PUT {target}")).send().await;
    (answer.status, answer.json()["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_log_level_is_changed_and_comes_back() {
    let gateway = TestGateway::new().start().await;
    assert_eq!(level(&gateway).await, "log level: notice");
    let debug = "/debug/node/log-level/debug?timeout=6";
    assert_eq!(put(&gateway, debug).await, (200, "log level changed".into()));
    assert_eq!(level(&gateway).await, "log level: debug");
    assert_eq!(put(&gateway, debug).await, (200, "log level is already debug".into()));
    gateway.process.log.line("the log level is back", std::time::Duration::from_secs(30)).await.unwrap();
    assert_eq!(level(&gateway).await, "log level: notice");
}

#[tokio::test]
async fn the_changed_level_decides_what_is_logged() {
    let gateway = TestGateway::new().start().await;
    assert_eq!(put(&gateway, "/debug/node/log-level/error").await.0, 200);
    assert!(!gateway.process.log.tail().contains("the log level was changed"), "a notice, which is now left out");
    assert_eq!(put(&gateway, "/debug/cluster/log-level/notice").await.0, 200);
    let wait = std::time::Duration::from_secs(30);
    gateway.process.log.line("the log level was changed", wait).await.unwrap();
}

#[tokio::test]
async fn a_level_that_is_none_is_named() {
    let gateway = TestGateway::new().start().await;
    assert_eq!(put(&gateway, "/debug/node/log-level/loud").await, (400, "unknown log level: loud".into()));
    let (status, _) = put(&gateway, "/debug/node/log-level/debug?timeout=-1").await;
    assert_eq!((status, level(&gateway).await.as_str()), (400, "log level: notice"));
    let call = gateway.admin.call("PUT /debug/node/log-level/debug").json(&json!({ "timeout": 0 }));
    assert_eq!(call.send().await.expect(200).json(), json!({ "message": "log level changed" }));
}

#[tokio::test]
async fn status_shows_sizes_as_asked() {
    let gateway = TestGateway::new().start().await;
    let shown = async |arguments: &str| gateway.admin.get(&format!("/status?{arguments}")).await.expect(200).json();
    let resident = async |arguments: &str| shown(arguments).await["memory"]["resident"].clone();
    assert!(resident("unit=b").await.as_u64().unwrap() > 1_000_000);
    for (arguments, unit, digits) in
        [("", "MiB", 2), ("unit=k", "KiB", 2), ("unit=G&scale=5", "GiB", 5), ("scale=0", "MiB", 0)]
    {
        let text = resident(arguments).await.as_str().unwrap().to_owned();
        let (number, shown) = text.split_once(' ').unwrap();
        let behind = number.split_once('.').map_or(0, |(_, digits)| digits.len());
        assert_eq!((shown, behind), (unit, digits), "{arguments}: {text}");
    }
    for (arguments, message) in [
        ("unit=x", "invalid unit 'x' (expected 'k/K', 'm/M', or 'g/G')"),
        ("scale=-1", "scale must be equal or greater than 0"),
    ] {
        let refusal = gateway.admin.get(&format!("/status?{arguments}")).await.expect(400).json();
        assert_eq!(refusal["message"], message, "{arguments}");
    }
}

#[tokio::test]
async fn background_tasks_are_listed_as_timers() {
    let gateway = TestGateway::new().start().await;
    let timers = gateway.admin.get("/timers").await.expect(200).json();
    assert_eq!(timers["stats"]["timers"]["publisher"]["is_running"], true, "{timers}");
    assert_eq!(timers["worker"], json!({ "id": 0, "count": 1 }));
}

#[tokio::test]
async fn what_kong_has_a_cache_for_is_never_stale_here() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    assert_eq!(gateway.admin.get("/cache/services:a").await.expect(404).json(), json!({ "message": "Not found" }));
    gateway.admin.delete("/cache/services:a").await.expect(204);
    gateway.admin.delete("/cache").await.expect(204);
    gateway.admin.get("/services/a").await.expect(200);
}

#[tokio::test]
async fn metrics_and_dns_are_asked_of_the_admin_api_too() {
    let gateway = TestGateway::new().start().await;
    let metrics = gateway.admin.get("/metrics").await.expect(200);
    assert!(metrics.header("content-type").starts_with("text/plain") && metrics.text().contains("sandgate_"));
    let dns: Value = gateway.admin.get("/status/dns").await.expect(501).json();
    assert_eq!(dns, json!({ "message": "not implemented with the legacy DNS client" }));
}
