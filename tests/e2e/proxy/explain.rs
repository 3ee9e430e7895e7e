use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget};

async fn explained(gateway: &Gateway, question: Value) -> Value {
    gateway.admin.post("/routes/explain", question).await.expect(200).json()
}

/// Three routes to one service, with plugins at every scope.
async fn gateway() -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "s", "url": format!("{}/base", target.url()) })).await;
    for route in [
        json!({ "name": "wide", "paths": ["/a"] }),
        json!({ "name": "long", "paths": ["/a/b", "~/z/(?<id>\\d+)"] }),
        json!({ "name": "host", "hosts": ["*.x.test"], "paths": ["/h"], "methods": ["GET"] }),
        json!({ "name": "secure", "paths": ["/secure"], "protocols": ["https"] }),
    ] {
        gateway.admin.create("/services/s/routes", route).await;
    }
    gateway.admin.create("/plugins", json!({ "name": "correlation-id" })).await;
    gateway.admin.create("/services/s/plugins", json!({ "name": "key-auth" })).await;
    gateway.admin.create("/routes/long/plugins", json!({ "name": "key-auth" })).await;
    gateway.applied().await;
    (gateway, target)
}

#[tokio::test]
async fn the_winner_is_the_route_that_the_request_takes() {
    let (gateway, _target) = gateway().await;
    let said = explained(&gateway, json!({ "path": "/a//b/../b/c?x=1" })).await;
    assert_eq!(said["route"]["name"], "long");
    assert_eq!(said["service"]["name"], "s");
    assert_eq!(said["path"], "/a/b/c");
    assert_eq!(said["matched"]["path"], "/a/b");
    assert_eq!(said["upstream_path"], "/base/c");
    assert_eq!(said["refused"], Value::Null);
    let said = explained(&gateway, json!({ "path": "/z/42" })).await;
    assert_eq!(said["matched"]["path"], "~/z/(?<id>\\d+)");
    assert_eq!(said["matched"]["captures"]["id"], "42");
    let said = explained(&gateway, json!({ "url": "http://a.x.test:8000/h" })).await;
    assert_eq!((&said["matched"]["host"], &said["matched"]["method"]), (&json!("*.x.test"), &json!("GET")));
}

#[tokio::test]
async fn each_loser_has_its_reason() {
    let (gateway, _target) = gateway().await;
    let said = explained(&gateway, json!({ "path": "/a/b" })).await;
    let losers: Vec<_> =
        said["losers"].as_array().unwrap().iter().map(|loser| (&loser["route"]["name"], &loser["reason"])).collect();
    assert_eq!(losers.len(), 3);
    assert_eq!(losers[0], (&json!("wide"), &json!("it matches, but the winner matches by a longer path")));
    assert!(losers.contains(&(&json!("host"), &json!("the host is none of its hosts"))));
    assert!(losers.contains(&(&json!("secure"), &json!("the path matches none of its paths"))));
    let said = explained(&gateway, json!({ "method": "PUT", "host": "a.x.test", "path": "/h" })).await;
    assert_eq!(said["losers"][0]["reason"], "the method is none of its methods");
    assert_eq!(said["refused"]["status"], 404);
}

#[tokio::test]
async fn what_the_gateway_would_refuse_is_said() {
    let (gateway, _target) = gateway().await;
    let said = explained(&gateway, json!({ "host": "h", "path": "/secure" })).await;
    assert_eq!((&said["route"]["name"], &said["refused"]["status"]), (&json!("secure"), &json!(426)));
    assert_eq!(explained(&gateway, json!({ "url": "https://h/secure" })).await["refused"], Value::Null);
    let said = explained(&gateway, json!({ "path": "/a%zz" })).await;
    assert_eq!((&said["refused"]["status"], &said["refused"]["code"]), (&json!(400), &json!("ambiguous-path")));
}

#[tokio::test]
async fn plugins_are_shown_in_order_with_where_they_come_from() {
    let (gateway, _target) = gateway().await;
    assert_eq!(
        running(&explained(&gateway, json!({ "path": "/a" })).await),
        [("correlation-id", Some("global")), ("key-auth", Some("service"))].map(owned)
    );
    assert_eq!(
        running(&explained(&gateway, json!({ "path": "/a/b" })).await),
        [("correlation-id", Some("global")), ("key-auth", Some("route"))].map(owned)
    );
}

#[tokio::test]
async fn a_consumer_counts_for_plugins_that_run_after_authentication() {
    let (gateway, _target) = gateway().await;
    let consumer = gateway.admin.create("/consumers", json!({ "username": "kim" })).await;
    for (name, config) in [
        ("correlation-id", json!({ "header_name": "x-own" })),
        ("rate-limiting", json!({ "minute": 5, "policy": "local" })),
    ] {
        gateway.admin.create("/consumers/kim/plugins", json!({ "name": name, "config": config })).await;
    }
    gateway.applied().await;
    let said = explained(&gateway, json!({ "path": "/a", "consumer": "kim" })).await;
    let expected =
        [("correlation-id", Some("global")), ("key-auth", Some("service")), ("rate-limiting", Some("consumer"))];
    assert_eq!(running(&said), expected.map(owned));
    assert_eq!(said["plugins"][2]["configurations"][0]["consumer"], consumer["id"]);
    let said = explained(&gateway, json!({ "path": "/a" })).await;
    assert_eq!(running(&said)[2], owned(("rate-limiting", None)));
}

fn owned((name, from): (&str, Option<&str>)) -> (String, Option<String>) {
    (name.to_owned(), from.map(str::to_owned))
}

/// Each plugin with the place of the configuration that would run.
fn running(said: &Value) -> Vec<(String, Option<String>)> {
    let from = |plugin: &Value| {
        let mut all = plugin["configurations"].as_array().unwrap().iter();
        all.find(|one| one["runs"] == true).map(|one| one["from"].as_str().unwrap().to_owned())
    };
    let all = said["plugins"].as_array().unwrap().iter();
    all.map(|plugin| (plugin["name"].as_str().unwrap().to_owned(), from(plugin))).collect()
}

#[tokio::test]
async fn a_question_with_a_mistake_is_refused() {
    let (gateway, _target) = gateway().await;
    for (question, expected) in [
        (json!({ "paht": "/a" }), "unknown field `paht`"),
        (json!({ "url": "http://h/", "path": "/" }), "url: cannot be set together with host or path"),
        (json!({ "method": "GE T" }), "method: "),
        (json!({ "protocol": "ftp" }), "protocol: 'ftp' is none of"),
        (json!({ "headers": { "host": "a" } }), "headers.host: use host in its place"),
        (json!({ "client_ip": "nowhere" }), "invalid IP address"),
    ] {
        let answer = gateway.admin.post("/routes/explain", question.clone()).await.expect(400).json();
        assert!(answer["message"].as_str().unwrap().starts_with(expected), "{question}: {answer}");
    }
}

#[tokio::test]
async fn expressions_are_explained() {
    let gateway = TestGateway::new().setting("SANDGATE_ROUTER_FLAVOR", "expressions").start().await;
    for (name, text, priority) in [("a", r#"http.path ^= "/a""#, 1), ("b", "net.src.ip in 10.0.0.0/8", 2)] {
        gateway.admin.create("/routes", json!({ "name": name, "expression": text, "priority": priority })).await;
    }
    gateway.admin.create("/routes", json!({ "name": "c", "paths": ["/a"] })).await;
    gateway.applied().await;
    let said = explained(&gateway, json!({ "path": "/a", "client_ip": "10.0.0.9" })).await;
    assert_eq!((&said["route"]["name"], &said["matched"]["priority"]), (&json!("b"), &json!(2)));
    assert_eq!(said["matched"]["expression"], "net.src.ip in 10.0.0.0/8");
    let losers: Vec<_> = said["losers"].as_array().unwrap().iter().map(|loser| &loser["reason"]).collect();
    assert!(losers.contains(&&json!("it matches, but the winner has a larger priority")), "{losers:?}");
    assert!(losers.contains(&&json!("it matches, but the winner has an expression")), "{losers:?}");
    let said = explained(&gateway, json!({ "path": "/a" })).await;
    assert_eq!(said["route"]["name"], "a");
    assert!(said["losers"].as_array().unwrap().iter().any(|loser| loser["reason"] == "its expression does not hold"));
}

#[tokio::test]
async fn a_grpc_route_is_explained_with_the_http_that_it_needs() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "g", "url": "grpc://127.0.0.1:9" })).await;
    gateway.admin.create("/services/g/routes", json!({ "name": "g", "protocols": ["grpc"], "paths": ["/p.S"] })).await;
    gateway.applied().await;
    let mut question = json!({ "method": "POST", "host": "h", "path": "/p.S/Do", "protocol": "grpc" });
    let said = explained(&gateway, question.clone()).await;
    assert_eq!((&said["route"]["name"], &said["refused"]), (&json!("g"), &Value::Null));
    question["http_version"] = json!("1.1");
    assert_eq!(explained(&gateway, question.clone()).await["refused"]["status"], 426);
    question["protocol"] = json!("http");
    assert_eq!(explained(&gateway, question.clone()).await["refused"]["status"], 415);
    question["headers"] = json!({ "content-type": "application/grpc+proto" });
    question.as_object_mut().unwrap().remove("http_version");
    assert_eq!(explained(&gateway, question).await["refused"], Value::Null);
}

#[tokio::test]
async fn a_route_may_be_called_explain() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.get("/routes/explain").await.expect(404);
    gateway.admin.create("/routes", json!({ "name": "explain", "paths": ["/e"] })).await;
    assert_eq!(gateway.admin.get("/routes/explain").await.expect(200).json()["name"], "explain");
    let changed = gateway.admin.patch("/routes/explain", json!({ "paths": ["/f"] })).await.expect(200).json();
    assert_eq!(changed["paths"], json!(["/f"]));
    gateway.applied().await;
    assert_eq!(explained(&gateway, json!({ "path": "/f" })).await["route"]["name"], "explain");
    gateway.admin.delete("/routes/explain").await.expect(204);
    gateway.admin.get("/routes/explain").await.expect(404);
}
