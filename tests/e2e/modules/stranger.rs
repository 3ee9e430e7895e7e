//! The plugin of a newcomer, as `plugin-sdk/examples/greeting` tells it: built outside the workspace, uploaded with curl
//! while traffic flows, configured, called, changed, uploaded again.

use serde_json::json;

use crate::harness::{Gateway, Load, TestGateway, TestTarget, guest, marked, within_an_hour};

async fn with_greeting() -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("demo", "/demo", &target).await;
    gateway.admin.upload("POST /modules", guest("greeting")).await.expect(201);
    (gateway, target)
}

#[tokio::test]
async fn it_greets_target_and_client() {
    let (gateway, target) = with_greeting().await;
    gateway.plugin("demo", "greeting", json!({ "word": "Salve", "answer_path": "/demo/hi" })).await;
    let answer = gateway.get_with("/demo/x", &[("x-name", "Ada")]).await;
    assert_eq!((answer.header("x-greeted-by"), answer.has("x-greetings")), ("Salve", false));
    assert_eq!(answer.echo().header("x-greeting"), "Salve, Ada");
    assert_eq!(gateway.get("/demo/hi").await.expect(200).text(), "Salve, stranger");
    assert_eq!(target.count(), 1, "its own path is answered by the plugin");
}

#[tokio::test]
async fn it_counts_once_that_is_granted() {
    let (gateway, _target) = with_greeting().await;
    gateway.plugin("demo", "greeting", json!({ "hourly": 2 })).await;
    gateway.get("/demo").await.expect(200);
    gateway.admin.patch("/modules/greeting", json!({ "grants": { "counters": [] } })).await.expect(200);
    within_an_hour().await;
    for count in ["1", "2"] {
        assert_eq!(gateway.get("/demo").await.expect(200).header("x-greetings"), count);
    }
    assert_eq!(gateway.get("/demo").await.expect(429).json()["message"], "That is enough for one hour");
}

#[tokio::test]
async fn wrong_settings_are_refused_with_their_place() {
    let (gateway, _target) = with_greeting().await;
    let refusal = gateway.admin.form("POST /routes/demo/plugins", "name=greeting&config.hourly=0").await;
    assert_eq!(
        refusal.expect(400).json()["fields"],
        json!({ "config": { "hourly": "value should be between 1 and 1000000" } })
    );
    gateway.admin.form("POST /routes/demo/plugins", "name=greeting&config.word=Salve").await.expect(201);
}

#[tokio::test]
async fn it_is_put_in_and_replaced_while_traffic_flows() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("demo", "/demo", &target).await;
    gateway.applied().await;
    let load = Load::start(gateway.proxy(), "/demo", 4);
    load.made(20).await;
    gateway.admin.upload("POST /modules?grants=*", guest("greeting")).await.expect(201);
    gateway.plugin("demo", "greeting", json!({ "hourly": 1_000_000 })).await;
    assert!(gateway.get("/demo").await.has("x-greetings"));
    let changed = marked(&guest("greeting"), "1.1.0");
    gateway.admin.upload("PUT /modules/greeting", changed).await.expect(200);
    assert!(gateway.get("/demo").await.has("x-greetings"));
    load.made(200).await;
    load.stop_without_failures(200).await;
}
