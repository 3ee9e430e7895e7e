//! Versions, transactions, dry runs, rollback and the audit log.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use super::*;

impl Admin {
    async fn create(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.call("POST", path, body).await;
        assert_eq!(status, 201, "{body}");
        body
    }

    async fn version(&self) -> u64 {
        self.context.store.version().await.unwrap()
    }

    /// Everything there is.
    async fn dump(&self) -> Vec<String> {
        let all = self.context.store.changes_since(&self.context.registry.load(), u64::MAX).await.unwrap();
        let show = |change: crate::store::Change| format!("{} {:?}", change.collection, change.entity);
        let mut dump: Vec<_> = all.changes.into_iter().map(show).collect();
        dump.sort();
        dump
    }

    async fn transaction(&self, path: &str, operations: Value) -> (u16, Value) {
        self.call("POST", path, json!({ "operations": operations })).await
    }
}

fn orders() -> Value {
    json!([
        { "method": "POST", "path": "/services", "body": { "name": "orders", "host": "a.test" } },
        { "method": "POST", "path": "/routes", "body": { "name": "r", "paths": ["/o"], "service": { "name": "orders" } } },
        { "method": "POST", "path": "/services/orders/plugins", "body": { "name": "key-auth" } },
        { "method": "PUT", "path": "/consumers/bob", "body": { "custom_id": "7" } },
        { "method": "POST", "path": "/consumers/bob/key-auth", "body": { "key": "hush" } },
        { "method": "PATCH", "path": "/routes/r", "body": { "paths": ["/orders"] } },
    ])
}

#[tokio::test]
async fn a_transaction_is_one_version() {
    let admin = Admin::start().await;
    let (status, answer) = admin.transaction("/transactions", orders()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((answer["version"].as_u64(), admin.version().await), (Some(1), 1));
    let statuses: Vec<_> =
        answer["results"].as_array().unwrap().iter().map(|result| result["status"].clone()).collect();
    assert_eq!(json!(statuses), json!([201, 201, 201, 200, 201, 200]));
    assert_eq!(admin.get("/routes/r").await.1["paths"], json!(["/orders"]));
    assert_eq!(admin.notified.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_transaction_with_a_bad_operation_changes_nothing() {
    let admin = Admin::start().await;
    admin.create("/services", json!({ "name": "there", "host": "a.test" })).await;
    let before = admin.dump().await;
    let service =
        |name: &str| json!({ "method": "POST", "path": "/services", "body": { "name": name, "host": "a.test" } });
    let cases = [
        (json!({ "method": "POST", "path": "/services", "body": { "name": "c", "port": 99_999 } }), 400, 2),
        (service("there"), 409, 5),
        (json!({ "method": "PATCH", "path": "/services/none", "body": {} }), 404, 6),
        (
            json!({ "method": "POST", "path": "/routes", "body": { "paths": ["/"], "service": { "name": "none" } } }),
            400,
            13,
        ),
    ];
    for (bad, status, code) in cases {
        let (found, answer) =
            admin.transaction("/transactions", json!([service("a"), service("b"), bad, service("d")])).await;
        assert_eq!(
            (found, &answer["operation"], &answer["error"]["code"]),
            (status, &json!(2), &json!(code)),
            "{answer}"
        );
        assert_eq!(admin.dump().await, before);
    }
    assert_eq!(admin.version().await, 1);
}

#[tokio::test]
async fn what_is_no_transaction_is_refused() {
    let admin = Admin::start().await;
    let cases = [
        (json!({}), "operations must be a list"),
        (json!({ "operations": [] }), "operations must be 1 to 10000"),
        (json!({ "operations": [], "more": 1 }), "unknown field 'more'"),
        (
            json!({ "operations": [{ "method": "GET", "path": "/" }] }),
            "operations[0]: method must be POST, PUT, PATCH or DELETE",
        ),
        (
            json!({ "operations": [{ "method": "POST", "path": "/services", "body": 1 }] }),
            "operations[0]: body must be an object",
        ),
        (
            json!({ "operations": [{ "method": "POST", "path": "/services", "b": 1 }] }),
            "operations[0]: unknown field 'b'",
        ),
    ];
    for (body, message) in cases {
        let (status, answer) = admin.call("POST", "/transactions", body).await;
        assert_eq!((status, answer["message"].as_str()), (400, Some(message)));
    }
    for path in ["/modules/x", "/transactions", "/config/versions/0/rollback", "/schemas/services/validate"] {
        let (status, answer) = admin.transaction("/transactions", json!([{ "method": "POST", "path": path }])).await;
        assert!([400, 405].contains(&status), "{path}: {status} {answer}");
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_shows_what_the_write_does() {
    let admin = Admin::start().await;
    admin.create("/services", json!({ "name": "s", "host": "a.test" })).await;
    let cases = [
        ("POST", "/services", json!({ "id": "6ff5a0aa-5a5c-4b4d-a4d4-0a0a0a0a0a0a", "name": "t", "host": "b.test" })),
        ("PATCH", "/services/s", json!({ "port": 8080, "tags": ["x"] })),
        ("DELETE", "/services/s", Value::Null),
    ];
    for (method, path, body) in cases {
        let (before, version) = (admin.dump().await, admin.version().await);
        let (status, tried) = admin.call(method, &format!("{path}?dry_run=1"), body.clone()).await;
        assert_eq!((status, &tried["dry_run"], &tried["version"]), (200, &json!(true), &json!(version)), "{tried}");
        assert_eq!((admin.dump().await, admin.version().await), (before, version));
        admin.call(method, path, body).await;
        let (_, done) = admin.get(&format!("/config/versions/{version}/diff/{}", version + 1)).await;
        assert_eq!(without_times(&tried["data"]), without_times(&done["data"]), "{method} {path}");
        assert_eq!(done["data"].as_array().unwrap().len(), 1);
    }
}

fn without_times(changes: &Value) -> Value {
    let mut changes = changes.clone();
    for change in changes.as_array_mut().unwrap() {
        for side in ["before", "after"] {
            for field in ["created_at", "updated_at"] {
                if let Some(entity) = change[side].as_object_mut() {
                    entity.remove(field);
                }
            }
        }
        if let Some(fields) = change.get_mut("fields").and_then(Value::as_array_mut) {
            fields.retain(|field| field != "updated_at");
        }
    }
    changes
}

#[tokio::test]
async fn a_dry_run_refuses_what_the_write_would() {
    let admin = Admin::start().await;
    let (status, answer) = admin.call("POST", "/services?dry_run=1", json!({ "name": "x", "port": 99_999 })).await;
    assert_eq!((status, &answer["code"]), (400, &json!(2)));
    let (status, answer) = admin.call("DELETE", "/services/none?dry_run=1", Value::Null).await;
    assert_eq!((status, &answer["data"]), (200, &json!([])), "there is nothing to delete");
    let (status, answer) = admin.transaction("/transactions?dry_run=1", orders()).await;
    assert_eq!((status, answer["data"].as_array().unwrap().len()), (200, 5), "{answer}");
    assert_eq!(answer["changes"], json!({ "created": 5, "updated": 0, "deleted": 0 }));
    assert_eq!(admin.version().await, 0);
    let (status, _) = admin.call("POST", "/schemas/services/validate?dry_run=1", json!({})).await;
    assert_eq!(status, 400, "nothing could be committed there");
    assert_eq!(admin.call("POST", "/services?dry_run=perhaps", json!({ "host": "a" })).await.0, 400);
}

#[tokio::test]
async fn a_dry_run_of_an_upload_installs_nothing() {
    let admin = Admin::start().await;
    let manifest = json!({ "name": "mine", "version": "1", "priority": 1, "config_schema": { "type": "object" } });
    let upload = |path: &str| {
        let request = Request::post(path).header("content-type", "application/wasm");
        request.body(Body::from(manifest.to_string())).unwrap()
    };
    let (status, answer) = read(admin.send(upload("/modules?dry_run=1")).await).await;
    assert_eq!((status, &answer["data"][0]["name"]), (200, &json!("mine")), "{answer}");
    assert_eq!(admin.get("/schemas/plugins/mine").await.0, 404);
    assert_eq!(read(admin.send(upload("/modules")).await).await.0, 201);
}

#[tokio::test]
async fn a_diff_tells_created_changed_and_gone() {
    let admin = Admin::start().await;
    let kept = admin.create("/services", json!({ "name": "kept", "host": "a.test" })).await;
    admin.create("/services", json!({ "name": "gone", "host": "a.test" })).await;
    admin.call("PATCH", "/services/kept", json!({ "port": 8080 })).await;
    admin.call("DELETE", "/services/gone", Value::Null).await;
    admin.create("/consumers", json!({ "username": "new" })).await;
    let (_, diff) = admin.get("/config/versions/2/diff/current").await;
    let show = |change: &Value| json!([change["action"], change["name"]]);
    let shown: Vec<_> = diff["data"].as_array().unwrap().iter().map(show).collect();
    assert_eq!(shown.len(), 3, "{diff}");
    for expected in [json!(["create", "new"]), json!(["update", "kept"]), json!(["delete", "gone"])] {
        assert!(shown.contains(&expected), "{expected}: {shown:?}");
    }
    let changed = diff["data"].as_array().unwrap().iter().find(|change| change["id"] == kept["id"]).unwrap();
    let fields = changed["fields"].as_array().unwrap();
    assert!(fields.contains(&json!("port")) && fields.iter().all(|field| field == "port" || field == "updated_at"));
    assert_eq!((&changed["before"]["port"], &changed["after"]["port"]), (&json!(80), &json!(8080)));
    let (_, back) = admin.get("/config/versions/5/diff/2").await;
    assert_eq!(back["data"][0]["action"], "delete", "seen from the later version the consumer goes");
    let (_, first) = admin.get("/config/versions/2/diff/5?size=1").await;
    let (_, rest) = admin.get(first["next"].as_str().unwrap()).await;
    assert_eq!((first["data"].as_array().unwrap().len(), rest["data"].as_array().unwrap().len()), (1, 1));
    for path in ["/config/versions/2/diff/9", "/config/versions/9", "/config/versions/x", "/config/versions/0"] {
        assert!([404, 410].contains(&admin.get(path).await.0), "{path}");
    }
}

#[tokio::test]
async fn versions_are_listed_newest_first() {
    let admin = Admin::start().await;
    admin.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    admin.call("DELETE", "/services/a", Value::Null).await;
    let (_, page) = admin.get("/config/versions?size=1").await;
    assert_eq!(
        (&page["data"][0]["version"], &page["data"][0]["summary"]),
        (&json!(2), &json!("DELETE /services/a: 1 deleted"))
    );
    let (_, page) = admin.get(page["next"].as_str().unwrap()).await;
    assert_eq!((&page["data"][0]["version"], &page["next"]), (&json!(1), &Value::Null));
    assert_eq!(admin.get("/config/versions/1").await.1["actor"], "anonymous");
}

#[tokio::test]
async fn a_rollback_restores_exactly() {
    let admin = Admin::start().await;
    admin.transaction("/transactions", orders()).await;
    admin.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    admin.create("/services", json!({ "name": "b", "host": "b.test" })).await;
    let (version, before) = (admin.version().await, admin.dump().await);
    // Names are swapped, a parent goes with its children, and a child moves to a parent that did not exist.
    for (method, path, body) in [
        ("PATCH", "/services/a", json!({ "name": "c" })),
        ("PATCH", "/services/b", json!({ "name": "a" })),
        ("PATCH", "/services/c", json!({ "name": "b" })),
        ("DELETE", "/consumers/bob", Value::Null),
        ("POST", "/services", json!({ "name": "new", "host": "n.test" })),
        ("PATCH", "/routes/r", json!({ "service": { "name": "new" } })),
        ("DELETE", "/services/orders", Value::Null),
    ] {
        let (status, answer) = admin.call(method, path, body).await;
        assert!(status < 300, "{method} {path}: {answer}");
    }
    let after = admin.dump().await;
    let path = format!("/config/versions/{version}/rollback");
    let (status, tried) = admin.call("POST", &format!("{path}?dry_run=1"), Value::Null).await;
    assert_eq!((status, admin.dump().await), (200, after.clone()));
    let (status, answer) = admin.call("POST", &path, Value::Null).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(tried["data"], answer["data"], "the dry run said so");
    assert_eq!(answer["version"], json!(version + 8), "a new version, not the old one");
    assert_eq!(admin.dump().await, before);
    let (status, answer) = admin.call("POST", &format!("/config/versions/{}/rollback", version + 7), Value::Null).await;
    assert_eq!((status, admin.dump().await), (200, after), "{answer}");
}

#[tokio::test]
async fn a_rollback_brings_a_module_and_its_entities_back() {
    let admin = Admin::start().await;
    let manifest = json!({
        "name": "mine", "version": "1", "priority": 1, "config_schema": { "type": "object" },
        "collections": [{
            "name": "mine_things", "path": "mine-things", "nested_path": "mine", "parent": "consumers",
            "schema": r#"{"type":"object","properties":{"word":{"type":"string"}}}"#,
            "unique_fields": [], "unique_in_parent": [], "generated_fields": [], "ttl": false,
        }],
    });
    let upload = Request::post("/modules").header("content-type", "application/wasm");
    assert_eq!(read(admin.send(upload.body(Body::from(manifest.to_string())).unwrap()).await).await.0, 201);
    admin.create("/consumers", json!({ "username": "bob" })).await;
    admin.create("/consumers/bob/mine", json!({ "word": "x" })).await;
    let (version, before) = (admin.version().await, admin.dump().await);
    admin.call("DELETE", "/consumers/bob", Value::Null).await;
    assert_eq!(admin.call("DELETE", "/modules/mine", Value::Null).await.0, 204);
    assert_eq!(admin.get("/mine-things").await.0, 404);
    let (status, answer) = admin.call("POST", &format!("/config/versions/{version}/rollback"), Value::Null).await;
    assert_eq!((status, admin.dump().await), (200, before), "{answer}");
    assert_eq!(admin.get("/consumers/bob/mine").await.1["data"][0]["word"], "x");
    assert_eq!(admin.get("/schemas/plugins/mine").await.0, 200);
}

#[tokio::test]
async fn the_audit_log_has_who_and_what_but_no_secret() {
    let admin = Admin::start().await;
    admin.create("/consumers", json!({ "username": "bob" })).await;
    let mut request = Request::post("/consumers/bob/key-auth").header("content-type", "application/json");
    request.extensions_mut().unwrap().insert(Door { peer: "10.1.2.3:99".parse().unwrap(), ..here() });
    let request = request.body(Body::from(json!({ "key": "hush-hush" }).to_string())).unwrap();
    assert_eq!(read(admin.send(request).await).await.0, 201);
    let config = json!({ "minute": 5, "policy": "redis", "redis": { "host": "r.test", "password": "hush-hush" } });
    admin.create("/plugins", json!({ "name": "rate-limiting", "config": config })).await;
    let (_, audit) = admin.get("/audit").await;
    let last = &audit["data"][1];
    let head = json!([last["actor"], last["address"], last["method"], last["path"], last["version"], last["outcome"]]);
    assert_eq!(head, json!(["anonymous", "10.1.2.3", "POST", "/consumers/bob/key-auth", 2, "committed"]));
    assert_eq!(
        (&last["entities"][0]["collection"], &last["entities"][0]["action"]),
        (&json!("keyauth_credentials"), &json!("create"))
    );
    for path in ["/audit", "/config/versions", "/config/versions/2", "/config/versions/0/diff/3"] {
        let (status, answer) = admin.get(path).await;
        assert_eq!(status, 200);
        assert!(!answer.to_string().contains("hush-hush"), "{path}: {answer}");
    }
    assert_eq!(admin.get("/audit?version=1").await.1["data"].as_array().unwrap().len(), 1);
    assert_eq!(admin.get("/audit?actor=nobody").await.1["data"], json!([]));
    assert_eq!(admin.get("/audit?outcome=perhaps").await.0, 400);
}

#[tokio::test]
async fn a_refused_write_is_taken_down_and_a_refused_look_is_not() {
    let mut admin = Admin::start().await;
    for method in ["GET", "DELETE"] {
        let request = Request::builder().method(method).uri("/services/a").body(Body::empty()).unwrap();
        let call = crate::admin::call::Call::new(admin.context.clone(), request);
        crate::admin::audit::refused(&call, http::StatusCode::FORBIDDEN);
        crate::admin::audit::refused(&call, http::StatusCode::BAD_REQUEST);
    }
    let refused = admin.refused.try_recv().unwrap();
    assert_eq!((&*refused.request.method, &*refused.request.path, refused.status), ("DELETE", "/services/a", 403));
    assert!(admin.refused.try_recv().is_err());
}

#[tokio::test]
async fn waiting_ends_when_the_version_is_served_or_names_who_lags() {
    let admin = Admin::start().await;
    let service = json!({ "name": "a", "host": "a.test" });
    let (status, answer) = admin.call("POST", "/services?wait=applied&wait_timeout=0.01", service).await;
    assert_eq!((status, &answer["lagging"][0]["hostname"]), (504, &json!("node")), "{answer}");
    assert_eq!((&answer["version"], &answer["answer"]["status"]), (&json!(1), &json!(201)));
    assert_eq!(admin.get("/services/a").await.0, 200, "the write stands");
    admin.served.send_replace(1);
    assert_eq!(admin.get("/config/versions/1?wait=applied").await.0, 200);
    let other = crate::store::NodeReport { id: "other".into(), hostname: "far".into(), ..Default::default() };
    admin.context.store.report(&other).await.unwrap();
    let (status, answer) =
        admin.call("PATCH", "/services/a?wait=applied&wait_timeout=0.01", json!({ "port": 81 })).await;
    admin.served.send_replace(2);
    assert_eq!(status, 504);
    assert_eq!(answer["lagging"].as_array().unwrap().len(), 2, "{answer}");
    admin.context.store.report(&crate::store::NodeReport { version: 2, ..other }).await.unwrap();
    assert_eq!(admin.get("/config/versions/2?wait=applied").await.0, 200);
    for query in ["wait=built", "wait=applied&wait_timeout=x", "wait=applied&wait_timeout=1000"] {
        assert_eq!(admin.call("PATCH", &format!("/services/a?{query}"), json!({ "port": 82 })).await.0, 400);
    }
    assert_eq!(admin.version().await, 2);
}

#[tokio::test]
async fn the_version_is_told_to_those_who_ask_for_something_of_ours() {
    let admin = Admin::start().await;
    let cases = [
        ("/consumers", None, false),
        ("/consumers?dry_run=1", None, true),
        ("/consumers", Some("x-sandgate-config-version"), true),
        ("/consumers", Some("x-sandgate-anything"), true),
        ("/transactions", None, true),
    ];
    admin.served.send_replace(u64::MAX);
    for (number, (path, header, told)) in cases.into_iter().enumerate() {
        let consumer = json!({ "username": format!("u{number}") });
        let body = match path {
            "/transactions" => json!({ "operations": [{ "method": "POST", "path": "/consumers", "body": consumer }] }),
            _ => consumer,
        };
        let mut request = Request::post(path).header("content-type", "application/json");
        if let Some(name) = header {
            request = request.header(name, "1");
        }
        let response = admin.send(request.body(Body::from(body.to_string())).unwrap()).await;
        assert_eq!(response.headers().contains_key("x-sandgate-config-version"), told, "{path} {header:?}");
    }
}
