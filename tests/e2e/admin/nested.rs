use serde_json::json;

use crate::harness::{Gateway, TestGateway};

/// Two services, `a` with a route `r`.
async fn two_services() -> Gateway {
    let gateway = TestGateway::new().start().await;
    for name in ["a", "b"] {
        gateway.admin.create("/services", json!({ "name": name, "host": "a.test" })).await;
    }
    gateway.admin.create("/services/a/routes", json!({ "name": "r", "paths": ["/r"] })).await;
    gateway
}

#[tokio::test]
async fn children_are_listed_below_their_parent() {
    let gateway = two_services().await;
    let names = |list: serde_json::Value| {
        list["data"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(gateway.admin.get("/services/a/routes").await.expect(200).json()), ["r"]);
    assert_eq!(names(gateway.admin.get("/services/b/routes").await.expect(200).json()), [""; 0]);
    gateway.admin.get("/services/none/routes").await.expect(404);
}

#[tokio::test]
async fn a_child_is_only_found_below_its_own_parent() {
    let gateway = two_services().await;
    gateway.admin.get("/services/a/routes/r").await.expect(200);
    for line in ["GET", "PATCH", "DELETE"] {
        let call = gateway.admin.call(&format!("{line} /services/b/routes/r"));
        let call = if line == "PATCH" { call.json(&json!({})) } else { call };
        call.send().await.expect(404);
    }
    gateway.admin.delete("/services/a/routes/r").await.expect(204);
    gateway.admin.get("/routes/r").await.expect(404);
}

#[tokio::test]
async fn a_put_below_another_parent_moves_the_child() {
    let gateway = two_services().await;
    let moved = gateway.admin.put("/services/b/routes/r", json!({ "paths": ["/r"] })).await.expect(200).json();
    assert_eq!(moved["service"]["id"], gateway.admin.get("/services/b").await.json()["id"]);
}

#[tokio::test]
async fn the_parent_of_a_child_can_be_read_and_changed() {
    let gateway = two_services().await;
    assert_eq!(gateway.admin.get("/routes/r/service").await.expect(200).json()["name"], "a");
    gateway.admin.patch("/routes/r/service", json!({ "retries": 1 })).await.expect(200);
    assert_eq!(gateway.admin.get("/services/a").await.json()["retries"], 1);
    gateway.admin.delete("/routes/r/service").await.expect(405);
}

#[tokio::test]
async fn plugins_belong_to_what_they_were_created_below() {
    let gateway = two_services().await;
    gateway.admin.create("/consumers", json!({ "username": "ann" })).await;
    for (path, field) in [("/services/a", "service"), ("/routes/r", "route"), ("/consumers/ann", "consumer")] {
        let plugin = json!({ "name": "rate-limiting", "config": { "minute": 1 } });
        let plugin = gateway.admin.create(&format!("{path}/plugins"), plugin).await;
        assert_eq!(plugin[field]["id"], gateway.admin.get(path).await.json()["id"], "{path}");
        let listed = gateway.admin.get(&format!("{path}/plugins")).await.expect(200).json();
        assert_eq!(listed["data"], json!([plugin]), "{path}");
    }
}

#[tokio::test]
async fn targets_are_listed_newest_first() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/upstreams", json!({ "name": "u" })).await;
    for target in ["a.test:1", "b.test:1"] {
        gateway.admin.create("/upstreams/u/targets", json!({ "target": target })).await;
    }
    let listed = gateway.admin.get("/upstreams/u/targets").await.expect(200).json();
    assert_eq!((&listed["data"][0]["target"], &listed["data"][1]["target"]), (&json!("b.test:1"), &json!("a.test:1")));
    let twice = gateway.admin.post("/upstreams/u/targets", json!({ "target": "a.test:1" })).await.expect(409).json();
    assert_eq!(twice["code"], 5);
}

#[tokio::test]
async fn a_parent_cannot_be_deleted_through_its_child() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    gateway.admin.create("/routes", json!({ "name": "with", "paths": ["/a"], "service": { "name": "a" } })).await;
    gateway.admin.create("/routes", json!({ "name": "without", "paths": ["/b"] })).await;
    gateway.admin.delete("/routes/with/service").await.expect(405);
    gateway.admin.delete("/routes/without/service").await.expect(404);
    gateway.admin.get("/services/a").await.expect(200);
}
