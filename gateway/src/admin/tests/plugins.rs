use serde_json::json;

use super::Admin;

#[tokio::test]
async fn a_configuration_is_filled_in_by_the_plugins_schema() {
    let admin = Admin::start().await;
    let (status, plugin) =
        admin.call("POST", "/plugins", json!({"name": "rate-limiting", "config": {"minute": 2}})).await;
    assert_eq!(status, 201, "{plugin}");
    let config = &plugin["config"];
    assert_eq!(
        (&config["policy"], &config["redis"]["port"], &config["redis_port"]),
        (&json!("local"), &json!(6379), &json!(6379))
    );
    let path = format!("/plugins/{}", plugin["id"].as_str().unwrap());
    let (_, patched) = admin.call("PATCH", &path, json!({"config": {"redis_host": "r", "hour": 9}})).await;
    let config = &patched["config"];
    assert_eq!((&config["minute"], &config["hour"], &config["redis"]["host"]), (&json!(2), &json!(9), &json!("r")));
}

#[tokio::test]
async fn a_configuration_is_refused_with_every_reason() {
    let admin = Admin::start().await;
    admin.call("PUT", "/consumers/bob", json!({})).await;
    admin.call("PUT", "/services/s", json!({"host": "a"})).await;
    admin.call("PUT", "/services/s/routes/r", json!({"protocols": ["tcp"], "sources": [{"port": 1}]})).await;
    let limits = "'config.second', 'config.minute', 'config.hour', 'config.day', 'config.month', 'config.year'";
    for (body, message) in [
        (json!({}), "name: required field missing".to_owned()),
        (
            json!({"name": "x"}),
            "name: plugin 'x' not enabled; add it to the 'plugins' configuration property".to_owned(),
        ),
        (
            json!({"name": "rate-limiting", "config": {}}),
            format!("at least one of these fields must be non-empty: {limits}"),
        ),
        (
            json!({"name": "rate-limiting", "config": {"minute": 0}}),
            "config.minute: value must be greater than 0".to_owned(),
        ),
        (json!({"name": "key-auth", "consumer": {"username": "bob"}}), "consumer: value must be null".to_owned()),
        (json!({"name": "key-auth", "config": {"realm": "forbidden"}}), "config.realm: is forbidden".to_owned()),
        (
            json!({"name": "key-auth", "route": {"name": "r"}}),
            "protocols: must match the associated route's protocols".to_owned(),
        ),
        (
            json!({"name": "key-auth", "service": {"name": "s"}}),
            "protocols: must match the protocols of at least one route pointing to this Plugin's service".to_owned(),
        ),
        (json!({"name": "file-log", "config": {"path": "/a*"}}), "config.path: not a valid filename".to_owned()),
        (json!({"name": "acl", "config": {"allow": []}}), "exactly one".to_owned()),
    ] {
        let (status, refused) = admin.call("POST", "/plugins", body.clone()).await;
        assert_eq!(status, 400, "{body}");
        assert!(refused["message"].as_str().unwrap().contains(&message), "{body}: {refused}");
    }
}

#[tokio::test]
async fn a_scope_has_each_plugin_once() {
    let admin = Admin::start().await;
    admin.call("PUT", "/services/s", json!({"host": "a"})).await;
    assert_eq!(admin.call("POST", "/services/s/plugins", json!({"name": "key-auth"})).await.0, 201);
    assert_eq!(admin.call("POST", "/plugins", json!({"name": "key-auth"})).await.0, 201);
    let (status, refused) = admin.call("POST", "/plugins", json!({"name": "key-auth"})).await;
    let expected = "UNIQUE violation detected on '{consumer=null,name=\"key-auth\",route=null,service=null}'";
    assert_eq!((status, &refused["message"]), (409, &json!(expected)));
    assert_eq!(admin.get("/").await.1["plugins"]["enabled_in_cluster"], json!(["key-auth"]));
}

#[tokio::test]
async fn schemas_are_shown_and_tried() {
    let admin = Admin::start().await;
    let (_, shown) = admin.get("/schemas/plugins/key-auth").await;
    let names: Vec<_> =
        shown["fields"].as_array().unwrap().iter().flat_map(|field| field.as_object().unwrap().keys()).collect();
    assert_eq!(names, ["consumer", "protocols", "config"]);
    assert_eq!(
        shown["fields"][2]["config"]["fields"][0],
        json!({"key_names": {
            "type": "array", "required": true, "default": ["apikey"], "elements": {"type": "string"},
        }})
    );
    for (path, body, status) in [
        ("/schemas/services/validate", json!({"host": "a"}), 200),
        ("/schemas/services/validate", json!({}), 400),
        (
            "/schemas/keyauth_credentials/validate",
            json!({"consumer": {"id": "11111111-1111-4111-8111-111111111111"}}),
            200,
        ),
        ("/schemas/plugins/validate", json!({"name": "key-auth"}), 200),
        ("/schemas/plugins/validate", json!({"name": "key-auth", "config": {"realm": "forbidden"}}), 400),
        ("/schemas/nope/validate", json!({}), 404),
    ] {
        assert_eq!(admin.call("POST", path, body).await.0, status, "{path}");
    }
}
