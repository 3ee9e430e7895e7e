use serde_json::{Value, json};

use crate::harness::TestGateway;

/// An entity of each core collection that needs nothing else, and a change to it.
fn samples() -> [(&'static str, Value, Value); 6] {
    [
        ("services", json!({ "name": "a", "host": "a.test" }), json!({ "retries": 2 })),
        ("routes", json!({ "name": "a", "paths": ["/a"] }), json!({ "strip_path": false })),
        ("consumers", json!({ "username": "a" }), json!({ "custom_id": "4711" })),
        ("plugins", json!({ "name": "key-auth", "instance_name": "a" }), json!({ "enabled": false })),
        ("upstreams", json!({ "name": "a" }), json!({ "slots": 100 })),
        ("upstreams/b/targets", json!({ "target": "a.test:80" }), json!({ "weight": 7 })),
    ]
}

#[tokio::test]
async fn every_collection_creates_reads_changes_and_deletes() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/upstreams", json!({ "name": "b" })).await;
    for (path, entity, change) in samples() {
        let created = gateway.admin.create(&format!("/{path}"), entity).await;
        let one = format!("/{path}/{}", created["id"].as_str().unwrap());
        assert_eq!(gateway.admin.get(&one).await.expect(200).json(), created, "{path}");
        let changed = gateway.admin.patch(&one, change.clone()).await.expect(200).json();
        for (field, value) in change.as_object().unwrap() {
            assert_eq!(changed[field], *value, "{path}");
        }
        if !path.contains("targets") {
            gateway.admin.delete(&one).await.expect(204);
            gateway.admin.get(&one).await.expect(404);
        }
    }
}

#[tokio::test]
async fn a_service_is_shown_with_every_default() {
    let gateway = TestGateway::new().start().await;
    let service = gateway.admin.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    let expected = [
        ("protocol", json!("http")),
        ("port", json!(80)),
        ("path", Value::Null),
        ("retries", json!(5)),
        ("connect_timeout", json!(60000)),
        ("write_timeout", json!(60000)),
        ("read_timeout", json!(60000)),
        ("enabled", json!(true)),
        ("tags", Value::Null),
        ("tls_verify", Value::Null),
        ("ca_certificates", Value::Null),
        ("client_certificate", Value::Null),
    ];
    for (field, value) in expected {
        assert_eq!(service.get(field), Some(&value), "{field}");
    }
}

#[tokio::test]
async fn a_url_becomes_protocol_host_port_and_path() {
    let gateway = TestGateway::new().start().await;
    let cases = [
        ("http://a.test", json!(["http", "a.test", 80, null])),
        ("http://a.test/", json!(["http", "a.test", 80, "/"])),
        ("https://a.test/x/y", json!(["https", "a.test", 443, "/x/y"])),
        ("http://127.0.0.1:8080/x", json!(["http", "127.0.0.1", 8080, "/x"])),
        ("http://[::1]:8080/x", json!(["http", "::1", 8080, "/x"])),
        ("https://user:pass@a.test:444/x?y=1#z", json!(["https", "a.test", 444, "/x"])),
        ("http://a.test?y=1", json!(["http", "a.test", 80, null])),
        ("//a.test:443/x;y", json!(["https", "a.test", 443, "/x"])),
        ("//a.test", json!(["http", "a.test", 80, null])),
        ("tcp://a.test:9", json!(["tcp", "a.test", 9, null])),
    ];
    for (url, expected) in cases {
        let service = gateway.admin.create("/services", json!({ "url": url })).await;
        let parts = json!([service["protocol"], service["host"], service["port"], service["path"]]);
        assert_eq!((parts, service.get("url")), (expected, None), "{url}");
    }
    for (url, fields) in [
        ("a.test", json!({ "host": "required field missing", "path": "should start with: /" })),
        ("http:///x", json!({ "host": "required field missing" })),
        ("http://a.test:99999", json!({ "port": "value should be between 0 and 65535" })),
        ("http://a.test:x", json!({ "port": "expected an integer" })),
    ] {
        let refused = gateway.admin.post("/services", json!({ "url": url })).await.expect(400).json();
        assert_eq!(refused["fields"], fields, "{url}");
    }
}

#[tokio::test]
async fn put_creates_and_replaces() {
    let gateway = TestGateway::new().start().await;
    let created = gateway.admin.put("/services/a", json!({ "host": "a.test", "retries": 2 })).await.expect(200).json();
    assert_eq!((&created["name"], &created["retries"]), (&json!("a"), &json!(2)));
    let replaced = gateway.admin.put("/services/a", json!({ "host": "b.test" })).await.expect(200).json();
    assert_eq!(replaced["id"], created["id"], "the entity stays the same one");
    assert_eq!((&replaced["host"], &replaced["retries"]), (&json!("b.test"), &json!(5)), "absent fields take defaults");
}

#[tokio::test]
async fn put_takes_the_id_in_the_path() {
    let gateway = TestGateway::new().start().await;
    let id = "7e1c5a4e-9f3c-4f6f-8d43-0d6f1b1a2c3d";
    let service = gateway.admin.put(&format!("/services/{id}"), json!({ "host": "a.test" })).await.expect(200).json();
    assert_eq!(service["id"], id);
}

#[tokio::test]
async fn patch_merges_records_and_replaces_lists() {
    let gateway = TestGateway::new().start().await;
    let config = json!({ "key_names": ["a", "b"], "hide_credentials": true });
    let plugin = gateway.admin.create("/plugins", json!({ "name": "key-auth", "config": config })).await;
    let path = format!("/plugins/{}", plugin["id"].as_str().unwrap());
    let changed = gateway.admin.patch(&path, json!({ "config": { "key_names": ["c"] } })).await.expect(200).json();
    assert_eq!(changed["config"]["key_names"], json!(["c"]));
    assert_eq!(changed["config"]["hide_credentials"], true, "what is absent stays");
}

#[tokio::test]
async fn null_in_a_patch_resets_a_field() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "a", "host": "a.test", "path": "/x", "tags": ["t"] })).await;
    let changed = gateway.admin.patch("/services/a", json!({ "path": null, "tags": null })).await.expect(200).json();
    assert_eq!((&changed["path"], &changed["tags"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn forms_are_read_by_the_schema() {
    let gateway = TestGateway::new().start().await;
    let form = "name=a&host=a.test&port=8080&enabled=false&path=&tags[]=x&tags[]=y";
    let service = gateway.admin.form("POST /services", form).await.expect(201).json();
    let seen = json!([service["port"], service["enabled"], service["path"], service["tags"]]);
    assert_eq!(seen, json!([8080, false, null, ["x", "y"]]));
    let form = "paths=/a&hosts[1]=a.test&hosts[2]=b.test&headers.x-version[]=1&service.name=a";
    let route = gateway.admin.form("POST /routes", form).await.expect(201).json();
    assert_eq!(json!([route["paths"], route["hosts"]]), json!([["/a"], ["a.test", "b.test"]]));
    assert_eq!(json!([route["headers"], route["service"]["id"]]), json!([{ "x-version": ["1"] }, service["id"]]));
}

#[tokio::test]
async fn a_plugin_configured_by_form_is_read_by_its_own_schema() {
    let gateway = TestGateway::new().start().await;
    let form = "name=rate-limiting&config.minute=5&config.policy=local&config.hide_client_headers=true";
    let plugin = gateway.admin.form("POST /plugins", form).await.expect(201).json();
    let config = &plugin["config"];
    assert_eq!(json!([config["minute"], config["hide_client_headers"], config["hour"]]), json!([5, true, null]));
}

#[tokio::test]
async fn multipart_forms_are_forms_too() {
    let gateway = TestGateway::new().start().await;
    let body = "--x\r\nContent-Disposition: form-data; name=\"host\"\r\n\r\na.test\r\n\
                --x\r\nContent-Disposition: form-data; name=\"port\"\r\n\r\n81\r\n--x--\r\n";
    let call =
        gateway.admin.call("POST /services").header("content-type", "multipart/form-data; boundary=x").body(body);
    let service = call.send().await.expect(201).json();
    assert_eq!((&service["host"], &service["port"]), (&json!("a.test"), &json!(81)));
}

#[tokio::test]
async fn deleting_what_is_not_there_succeeds() {
    let gateway = TestGateway::new().start().await;
    for path in ["/services/none", "/routes/none", "/consumers/none", "/upstreams/none"] {
        gateway.admin.delete(path).await.expect(204);
    }
}

#[tokio::test]
async fn a_consumer_takes_its_plugins_and_credentials_along() {
    let gateway = TestGateway::new().start().await;
    gateway.consumer("ann", "a-key").await;
    let plugin =
        gateway.admin.create("/consumers/ann/plugins", json!({ "name": "rate-limiting", "config": { "minute": 1 } }));
    let plugin = plugin.await;
    gateway.admin.delete("/consumers/ann").await.expect(204);
    gateway.admin.get("/key-auths/a-key").await.expect(404);
    gateway.admin.get(&format!("/plugins/{}", plugin["id"].as_str().unwrap())).await.expect(404);
}

#[tokio::test]
async fn a_service_with_routes_is_not_deleted() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    gateway.admin.create("/services/a/routes", json!({ "paths": ["/a"] })).await;
    let refusal = gateway.admin.delete("/services/a").await.expect(400).json();
    let expected = json!({
        "code": 4,
        "name": "foreign key violation",
        "message": "an existing 'routes' entity references this 'services' entity",
        "fields": { "@referenced_by": "routes" },
    });
    assert_eq!(refusal, expected);
}

#[tokio::test]
async fn a_target_gets_a_port_and_a_weight() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/upstreams", json!({ "name": "u" })).await;
    let target = gateway.admin.create("/upstreams/u/targets", json!({ "target": "a.test" })).await;
    assert_eq!((&target["target"], &target["weight"]), (&json!("a.test:8000"), &json!(100)));
    assert!(target["created_at"].is_f64(), "{}", target["created_at"]);
    let changed = gateway.admin.patch("/upstreams/u/targets/a.test:8000", json!({ "weight": 0 })).await.expect(200);
    assert_eq!(changed.json()["weight"], 0);
    gateway.admin.delete("/upstreams/u/targets/a.test:8000").await.expect(204);
    assert_eq!(gateway.admin.get("/upstreams/u/targets").await.json()["data"], json!([]));
}
