use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::{Admin, key_auth, read};

fn greeter(version: &str) -> Value {
    json!({
        "name": "greeter", "version": version, "priority": 7, "consumer_scope": true,
        "capabilities": [{"name": "outbound-http", "scope": ["a.test:443", "b.test:443"]}, {"name": "counters", "scope": []}],
        "config_schema": r#"{"type":"object","required":["greeting"],"properties":{"greeting":{"type":"string","default":"hello"}}}"#,
        "collections": [{
            "name": "greetings", "path": "greetings", "nested_path": "greetings", "parent": "consumers",
            "schema": r#"{"type":"object","required":["text"],"properties":{"text":{"type":"string"}}}"#,
            "unique_fields": ["text"], "unique_in_parent": [], "generated_fields": [], "ttl": false,
        }],
    })
}

async fn upload(admin: &Admin, method: &str, path: &str, module: &Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/wasm");
    read(admin.send(request.body(Body::from(module.to_string())).unwrap()).await).await
}

#[tokio::test]
async fn an_uploaded_module_is_a_plugin_with_its_collections() {
    let admin = Admin::start().await;
    let (status, module) = upload(&admin, "POST", "/modules?grants=*&priority=9", &greeter("1.0.0")).await;
    assert_eq!(
        (status, &module["name"], &module["priority"], &module["state"]),
        (201, &json!("greeter"), &json!(9), &json!("ready"))
    );
    assert_eq!(module["capabilities"]["missing"], json!({}));
    assert_eq!(module["config_schema"]["properties"]["greeting"]["default"], "hello");
    assert_eq!(
        admin.call("POST", "/plugins", json!({"name": "greeter"})).await.1["config"],
        json!({"greeting": "hello"})
    );
    admin.call("PUT", "/consumers/bob", json!({})).await;
    assert_eq!(admin.call("POST", "/consumers/bob/greetings", json!({"text": "hi"})).await.0, 201);
    assert_eq!(admin.get("/greetings/hi/consumer").await.1["username"], "bob");
    assert_eq!(upload(&admin, "POST", "/modules", &greeter("1.0.0")).await.0, 409);
    let response = admin.send(Request::get("/modules/greeter/code").body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "application/wasm");
    assert_eq!(response.headers()["etag"], format!("\"{}\"", module["digest"].as_str().unwrap()));
    assert_eq!(read(response).await.1, greeter("1.0.0"));
}

#[tokio::test]
async fn grants_are_compared_with_what_is_requested() {
    let admin = Admin::start().await;
    upload(&admin, "POST", "/modules", &greeter("1.0.0")).await;
    let grants = json!({"grants": {"outbound-http": ["a.test:443"]}, "failure_policy": "open"});
    let (status, module) = admin.call("PATCH", "/modules/greeter", grants).await;
    assert_eq!(status, 200, "{module}");
    let expected = json!({
        "requested": {"counters": [], "outbound-http": ["a.test:443", "b.test:443"]},
        "effective": {"outbound-http": ["a.test:443"]},
        "missing": {"counters": [], "outbound-http": ["b.test:443"]},
    });
    assert_eq!(module["capabilities"], expected);
    for body in [json!({"failure_policy": "maybe"}), json!({"digest": "x"}), json!({"grants": 1})] {
        assert_eq!(admin.call("PATCH", "/modules/greeter", body.clone()).await.0, 400, "{body}");
    }
}

#[tokio::test]
async fn a_new_version_must_fit_the_configurations() {
    let admin = Admin::start().await;
    upload(&admin, "POST", "/modules?grants=*", &greeter("1.0.0")).await;
    let (_, plugin) = admin.call("POST", "/plugins", json!({"name": "greeter", "config": {"greeting": "hey"}})).await;
    let mut stricter = greeter("2.0.0");
    stricter["config_schema"] = r#"{"type":"object","properties":{"greeting":{"type":"integer"}}}"#.into();
    let version = admin.context.store.version().await.unwrap();
    let (status, refused) = upload(&admin, "PUT", "/modules/greeter", &stricter).await;
    let id = plugin["id"].as_str().unwrap();
    let reason = format!("the configuration of plugin {id} does not fit: config.greeting: expected an integer");
    assert_eq!((status, refused), (400, json!({"message": "the module is refused", "reasons": [reason]})));
    assert_eq!(admin.context.store.version().await.unwrap(), version);
    let mut wider = greeter("2.0.0");
    wider["config_schema"] =
        r#"{"type":"object","properties":{"greeting":{"type":"string"},"loud":{"type":"boolean","default":true}}}"#
            .into();
    let (status, module) = upload(&admin, "PUT", "/modules/greeter", &wider).await;
    assert_eq!((status, &module["version"], &module["grants"]["counters"]), (200, &json!("2.0.0"), &json!([])));
    assert_eq!(admin.get(&format!("/plugins/{id}")).await.1["config"], json!({"greeting": "hey", "loud": true}));
}

#[tokio::test]
async fn a_module_in_use_stays() {
    let admin = Admin::start().await;
    upload(&admin, "POST", "/modules", &greeter("1.0.0")).await;
    let (_, plugin) = admin.call("POST", "/plugins", json!({"name": "greeter"})).await;
    let id = plugin["id"].as_str().unwrap();
    let (status, refused) = admin.call("DELETE", "/modules/greeter", Value::Null).await;
    assert_eq!((status, refused["message"].as_str().unwrap().contains(id)), (400, true));
    admin.call("DELETE", &format!("/plugins/{id}"), Value::Null).await;
    assert_eq!(admin.call("DELETE", "/modules/greeter", Value::Null).await.0, 204);
    assert_eq!(admin.get("/greetings").await.0, 404);
    assert_eq!(admin.call("POST", "/plugins", json!({"name": "greeter"})).await.0, 400);
}

#[tokio::test]
async fn a_refused_module_gets_every_reason() {
    let admin = Admin::start().await;
    let mut thief = key_auth("9.9.9");
    thief["name"] = "thief".into();
    let mut vague = greeter("1.0.0");
    vague["config_schema"] = r#"{"type":"object","anyOf":[]}"#.into();
    vague["collections"][0]["parent"] = "plugins".into();
    for (module, reasons) in [
        (thief, vec!["the collection 'keyauth_credentials' (/key-auths) belongs to 'key-auth'"]),
        (vague, vec!["keyword anyOf", "a collection cannot belong to plugins"]),
        (json!({"version": "1"}), vec!["the manifest has no name"]),
    ] {
        let (status, refused) = upload(&admin, "POST", "/modules", &module).await;
        assert_eq!((status, &refused["message"]), (400, &json!("the module is refused")));
        for reason in reasons {
            assert!(refused["reasons"].to_string().contains(reason), "{refused} lacks {reason}");
        }
    }
}

#[tokio::test]
async fn a_module_comes_as_a_file_of_a_form_too() {
    let admin = Admin::start().await;
    let module = greeter("1.0.0").to_string();
    let body = format!(
        "--x\r\nContent-Disposition: form-data; name=\"grants\"\r\n\r\n*\r\n--x\r\nContent-Disposition: form-data; \
         name=\"cpu_limit\"\r\n\r\n20\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"g.wasm\"\r\n\r\n{module}\r\n--x--\r\n"
    );
    let request =
        Request::post("/modules").header("content-type", "multipart/form-data; boundary=x").body(Body::from(body));
    let (status, made) = read(admin.send(request.unwrap()).await).await;
    assert_eq!((status, &made["cpu_limit"], &made["grants"]["counters"]), (201, &json!(20), &json!([])), "{made}");
}
