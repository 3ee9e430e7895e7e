//! `/config`.

use serde_json::{Value, json};

use super::without_database;
use crate::harness::{Answer, Gateway, TestGateway};

async fn post(gateway: &Gateway, line: &str, media_type: &str, body: &str) -> Answer {
    let call = gateway.admin.call(line).header("content-type", media_type).body(body.to_owned());
    gateway.admin.write(call).await
}

const YAML: &str = "_format_version: \"3.0\"\nconsumers:\n- username: bob\n";

#[tokio::test]
async fn every_form_of_a_configuration_is_taken() {
    let gateway = without_database().start().await;
    let id = |answer: Value| answer["consumers"].as_object().unwrap().keys().next().cloned();
    let object =
        gateway.admin.post("/config", json!({"_format_version": "3.0", "consumers": [{"username": "bob"}]})).await;
    let first = id(object.expect(201).json());
    assert!(first.is_some());
    let text = gateway.admin.post("/config", json!({ "config": YAML })).await.expect(201).json();
    let yaml = post(&gateway, "POST /config", "application/yaml", YAML).await.expect(201).json();
    let other = post(&gateway, "POST /config", "text/yaml; charset=utf-8", YAML).await.expect(201).json();
    let form = form_urlencoded::Serializer::new(String::new()).append_pair("config", YAML).finish();
    let form = gateway.admin.form("POST /config", &form).await.expect(201).json();
    let multipart = format!(
        "--x\r\nContent-Disposition: form-data; name=\"config\"; filename=\"kong.yaml\"\r\n\r\n{YAML}\r\n--x--\r\n"
    );
    let multipart =
        post(&gateway, "POST /config", "multipart/form-data; boundary=x", &multipart).await.expect(201).json();
    for answer in [text, yaml, other, form, multipart] {
        assert_eq!(id(answer), first, "ids do not depend on the form");
    }
}

#[tokio::test]
async fn the_answer_has_every_entity_by_id_without_nulls() {
    let gateway = without_database().start().await;
    let answer = post(&gateway, "POST /config", "application/yaml", YAML).await.expect(201).json();
    let consumers = answer["consumers"].as_object().unwrap();
    let (id, bob) = consumers.iter().next().unwrap();
    assert_eq!((&bob["id"], &bob["username"], bob.get("custom_id")), (&json!(id), &json!("bob"), None));
    let read = gateway.admin.get("/consumers/bob").await.expect(200).json();
    assert_eq!((&read["id"], &read["custom_id"]), (&json!(id), &Value::Null));
}

#[tokio::test]
async fn the_hash_is_that_of_the_text() {
    let gateway = without_database().start().await;
    let hash = async || gateway.admin.get("/status").await.expect(200).json()["configuration_hash"].clone();
    assert_eq!(hash().await, "0".repeat(32));
    assert!(gateway.admin.get("/status").await.json().get("database").is_none());
    gateway.admin.post("/config?check_hash=1", json!({ "config": YAML })).await.expect(201);
    // md5sum of the text.
    assert_eq!(hash().await, "7ce91d8290f86f744bb6ee1d78b19018");
    let same = gateway.admin.post("/config?check_hash=1", json!({ "config": YAML })).await;
    assert_eq!((same.status, same.text().as_str()), (304, ""));
    gateway.admin.post("/config", json!({ "config": YAML })).await.expect(201);
    gateway.admin.post("/config", json!({"_format_version": "3.0"})).await.expect(201);
    assert_eq!(hash().await, "0".repeat(32));
    assert_eq!(gateway.admin.get("/consumers").await.json()["data"], json!([]));
}

#[tokio::test]
async fn a_wrong_configuration_leaves_the_old_one() {
    let gateway = without_database().start().await;
    gateway.admin.post("/config", json!({ "config": YAML })).await.expect(201);
    let wrong =
        json!({"_format_version": "3.0", "services": [{"name": "a", "host": "h"}, {"name": "b", "port": 70000}]});
    let answer = gateway.admin.post("/config", wrong).await.expect(400).json();
    let service = json!({"host": "required field missing", "port": "value should be between 0 and 65535"});
    let expected = json!({
        "code": 14, "name": "invalid declarative configuration",
        "message": "declarative config is invalid: {services={[2]={host=\"required field missing\",port=\"value should be between 0 and 65535\"}}}",
        "fields": {"services": [null, service]},
    });
    assert_eq!(answer, expected);
    let unparsed = post(&gateway, "POST /config", "text/yaml", "a: b: c").await.expect(400).json();
    let error = "failed parsing declarative configuration: 1:5: mapping values are not allowed in this context";
    assert_eq!(unparsed["fields"], json!({ "error": error }));
    gateway.admin.get("/consumers/bob").await.expect(200);
    for body in [json!({}), json!({"config": 5})] {
        let nothing = gateway.admin.post("/config", body).await.expect(400).json();
        assert_eq!(nothing, json!({"message": "expected a declarative configuration"}));
    }
}

#[tokio::test]
async fn flattened_errors_name_their_entities() {
    let gateway = without_database().start().await;
    let wrong = json!({"_format_version": "3.0", "foo": 1, "services": [
        {"name": "s", "host": "h", "id": "11111111-1111-1111-1111-111111111111",
         "routes": [{"name": "r", "tags": ["t"], "protocols": ["http"], "paths": ["x"]}]},
    ]});
    let answer = gateway.admin.post("/config?flatten_errors=1", wrong).await.expect(400).json();
    assert_eq!(answer["fields"], json!({"foo": "unknown field"}));
    let entity = json!({"name": "r", "tags": ["t"], "protocols": ["http"], "paths": ["x"],
                        "service": {"id": "11111111-1111-1111-1111-111111111111"}});
    let error =
        json!({"type": "field", "field": "paths.1", "message": "should start with: / (fixed path) or ~/ (regex path)"});
    let expected = json!([{"entity_type": "route", "entity_name": "r", "entity_tags": ["t"], "entity": entity, "errors": [error]}]);
    assert_eq!(answer["flattened_errors"], expected);
}

#[tokio::test]
async fn what_a_plugin_refuses_has_its_place() {
    let gateway = without_database().start().await;
    let config =
        json!({"_format_version": "3.0", "plugins": [{"name": "rate-limiting", "config": {"policy": "local"}}]});
    let answer = gateway.admin.post("/config", config).await.expect(400).json();
    assert!(answer["fields"]["plugins"][0].is_object(), "{answer}");
}

#[tokio::test]
async fn what_is_read_back_can_be_loaded_again() {
    let gateway = without_database().start().await;
    let text = "_format_version: '3.0'\nservices: [{name: s, host: h, routes: [{name: r, paths: [/a]}]}]\nplugins: [{name: key-auth}]\n";
    gateway.admin.post("/config", json!({ "config": text })).await.expect(201);
    let read = gateway.admin.get("/config").await.expect(200).json()["config"].as_str().unwrap().to_owned();
    assert!(read.starts_with("_format_version: '3.0'\n_transform: false\n"), "{read}");
    gateway.admin.post("/config", json!({ "config": read })).await.expect(201);
    assert_eq!(gateway.admin.get("/config").await.expect(200).json()["config"], json!(read));
}

#[tokio::test]
async fn with_a_database_there_is_no_such_thing() {
    let gateway = TestGateway::new().start().await;
    let message = json!({"message": "this endpoint is only available when Kong is configured to not use a database"});
    assert_eq!(gateway.admin.get("/config").await.expect(400).json(), message);
    assert_eq!(gateway.admin.post("/config", json!({})).await.expect(400).json(), message);
}
