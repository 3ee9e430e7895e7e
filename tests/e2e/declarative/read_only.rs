//! Without a database the Admin API reads.

use serde_json::{Value, json};

use super::without_database;
use crate::harness::Gateway;

async fn gateway() -> Gateway {
    let text = "_format_version: '3.0'\nservices: [{name: s, host: h, tags: [t], routes: [{name: r, paths: [/a]}]}]\nconsumers: [{username: bob}]\n";
    without_database().setting("SANDGATE_DECLARATIVE_CONFIG_STRING", text).start().await
}

#[tokio::test]
async fn writes_are_refused_by_what_they_would_do() {
    let gateway = gateway().await;
    let route = json!({"paths": ["/b"], "service": {"id": "22222222-2222-2222-2222-222222222222"}});
    let admin = &gateway.admin;
    let refused = [
        (admin.post("/routes", route).await, "create 'routes'"),
        (admin.post("/services/s/routes", json!({"paths": ["/b"]})).await, "create 'routes'"),
        (admin.put("/services/s", json!({"host": "x"})).await, "create or update 'services'"),
        (admin.put("/services/new", json!({"host": "x"})).await, "create or update 'services'"),
        (admin.patch("/services/s", json!({"host": "x"})).await, "update 'services'"),
        (admin.delete("/services/s").await, "remove 'services'"),
        (admin.post("/consumers/bob/key-auth", json!({})).await, "create 'keyauth_credentials'"),
    ];
    for (answer, what) in refused {
        let message = format!("cannot {what} entities when not using a database");
        let expected = json!({"code": 12, "name": "operation unsupported", "message": message});
        assert_eq!(answer.expect(405).json(), expected);
    }
}

#[tokio::test]
async fn what_is_wrong_anyway_is_said_first() {
    let gateway = gateway().await;
    let wrong = gateway.admin.post("/routes", json!({})).await.expect(400).json();
    assert_eq!(wrong["code"], 2, "{wrong}");
    gateway.admin.patch("/services/none", json!({})).await.expect(404);
    gateway.admin.delete("/services/none").await.expect(204);
}

#[tokio::test]
async fn lists_filters_and_schemas_work_as_ever() {
    let gateway = gateway().await;
    let names =
        |answer: Value| answer["data"].as_array().unwrap().iter().map(|each| each["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(gateway.admin.get("/services?tags=t").await.expect(200).json()), [json!("s")]);
    assert_eq!(names(gateway.admin.get("/services/s/routes").await.expect(200).json()), [json!("r")]);
    assert_eq!(gateway.admin.get("/routes/r/service").await.expect(200).json()["name"], "s");
    assert_eq!(gateway.admin.get("/tags").await.expect(200).json()["data"][0]["tag"], "t");
    gateway.admin.get("/schemas/routes").await.expect(200);
    let valid = gateway.admin.post("/schemas/services/validate", json!({"host": "h"})).await.expect(200).json();
    assert_eq!(valid["message"], "schema validation successful");
}
