use serde_json::{Value, json};

use super::Admin;

const ID: &str = "11111111-1111-4111-8111-111111111111";

#[tokio::test]
async fn an_entity_lives_through_its_life() {
    let admin = Admin::start().await;
    let (status, created) = admin.call("POST", "/services", json!({"name": "s1", "url": "http://a.test:81/x"})).await;
    assert_eq!((status, &created["port"], &created["path"]), (201, &json!(81), &json!("/x")));
    let id = created["id"].as_str().unwrap().to_owned();
    for path in ["/services/s1".to_owned(), format!("/services/{id}"), format!("/services/{}/", id.to_uppercase())] {
        assert_eq!(admin.get(&path).await, (200, created.clone()), "{path}");
    }
    let (_, patched) = admin.call("PATCH", "/services/s1", json!({"retries": 7})).await;
    assert_eq!((&patched["retries"], &patched["port"]), (&json!(7), &json!(81)));
    let (status, replaced) = admin.call("PUT", "/services/s1", json!({"host": "b", "name": "other"})).await;
    assert_eq!(
        (status, &replaced["name"], &replaced["retries"], &replaced["id"]),
        (200, &json!("s1"), &json!(5), &json!(id))
    );
    assert_eq!(admin.call("DELETE", "/services/s1", Value::Null).await, (204, Value::Null));
    assert_eq!(admin.call("DELETE", "/services/s1", Value::Null).await, (204, Value::Null));
    assert_eq!(admin.get("/services/s1").await, (404, json!({"message": "Not found"})));
}

#[tokio::test]
async fn a_refused_write_says_why_and_leaves_nothing() {
    let admin = Admin::start().await;
    admin.call("PUT", &format!("/services/{ID}"), json!({"host": "a", "name": "s"})).await;
    admin.call("POST", "/services/s/routes", json!({"paths": ["/x"], "name": "r"})).await;
    let missing = "00000000-0000-4000-8000-000000000000";
    for (method, path, body, status, code, message) in [
        ("POST", "/services", json!({"host": "a", "name": "s"}), 409, 5, "UNIQUE violation detected on '{name=\"s\"}'".to_owned()),
        ("POST", "/services", json!({"host": "a", "id": ID}), 400, 3, format!("primary key violation on key '{{id=\"{ID}\"}}'")),
        ("PATCH", "/services/nope", json!({}), 404, 6, "could not find the entity with '{name=\"nope\"}'".to_owned()),
        (
            "PATCH",
            &*format!("/services/{missing}"),
            json!({}),
            404,
            6,
            format!("could not find the entity with primary key '{{id=\"{missing}\"}}'"),
        ),
        ("DELETE", "/services/s", Value::Null, 400, 4, "an existing 'routes' entity references this 'services' entity".to_owned()),
        (
            "POST",
            "/routes",
            json!({"paths": ["/x"], "service": {"id": missing}}),
            400,
            4,
            format!("the foreign key '{{id=\"{missing}\"}}' does not reference an existing 'services' entity."),
        ),
        (
            "POST",
            "/routes",
            json!({"paths": ["/x"], "service": {"name": "nope"}}),
            400,
            13,
            "foreign key unresolved (service.name: the foreign key cannot be resolved with '{name=\"nope\"}' for an existing \
             'services' entity)"
                .to_owned(),
        ),
        ("GET", "/acls/nope", Value::Null, 400, 1, "invalid primary key: '{id=\"expected a valid UUID\"}'".to_owned()),
    ] {
        let version = admin.context.store.version().await.unwrap();
        let (answered, body) = admin.call(method, path, body).await;
        let label = format!("{method} {path}");
        assert_eq!((answered, &body["code"], &body["message"]), (status, &json!(code), &json!(message)), "{label}");
        assert_eq!(admin.context.store.version().await.unwrap(), version, "{label}");
    }
}

#[tokio::test]
async fn children_belong_to_their_parent() {
    let admin = Admin::start().await;
    admin.call("PUT", "/services/one", json!({"host": "a"})).await;
    admin.call("PUT", "/services/two", json!({"host": "b"})).await;
    let (status, route) = admin.call("PUT", "/services/one/routes/r", json!({"paths": ["/r"]})).await;
    assert_eq!((status, &route["name"]), (200, &json!("r")));
    assert_eq!(admin.get("/services/two/routes/r").await.0, 404);
    assert_eq!(admin.get("/routes/r/service").await.1["name"], "one");
    assert_eq!(admin.call("DELETE", "/services/two/routes/r", Value::Null).await.0, 404);
    let (_, moved) = admin.call("PUT", "/services/two/routes/r", json!({"paths": ["/r"]})).await;
    assert_eq!(moved["id"], route["id"]);
    assert_eq!(admin.get("/routes/r/service").await.1["name"], "two");
    assert_eq!(admin.call("PATCH", "/routes/r/service", json!({"retries": 1})).await.1["name"], "two");
    assert_eq!(admin.call("DELETE", "/routes/r/service", Value::Null).await.0, 405);
    admin.call("PATCH", "/routes/r", json!({"service": null})).await;
    assert_eq!(admin.get("/routes/r/service").await.0, 404);
    let (_, made) = admin.call("PUT", "/routes/r/service", json!({"host": "new"})).await;
    assert_eq!(admin.get("/routes/r").await.1["service"]["id"], made["id"]);
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let admin = Admin::start().await;
    for number in 0..5 {
        let body = json!({"username": format!("c{number}"), "tags": ["all", format!("g{}", number % 2)]});
        admin.call("POST", "/consumers", body).await;
    }
    for (first, expected) in
        [("/consumers?size=2", 5), ("/consumers?size=1&tags=g0", 3), ("/consumers?tags=g0/g1", 5), ("/tags?size=3", 10)]
    {
        let (mut path, mut seen) = (json!(first), 0);
        while let Some(next) = path.as_str() {
            let (status, page) = admin.get(next).await;
            assert_eq!(status, 200, "{next}");
            seen += page["data"].as_array().unwrap().len();
            assert_eq!(page["next"].is_null(), page.get("offset").is_none());
            path = page["next"].clone();
        }
        assert_eq!(seen, expected, "{first}");
    }
    assert_eq!(admin.get("/consumers?custom_id=none").await.1, json!({"data": [], "next": null}));
}

#[tokio::test]
async fn credentials_come_from_the_manifest_alone() {
    let admin = Admin::start().await;
    admin.call("PUT", "/consumers/bob", json!({"custom_id": "b"})).await;
    let (status, made) = admin.call("POST", "/consumers/bob/key-auth", json!({"ttl": 60})).await;
    assert_eq!((status, made["key"].as_str().unwrap().len(), made["ttl"].as_u64() > Some(58)), (201, 32, true));
    assert_eq!(admin.call("POST", "/consumers/bob/key-auth", json!({"key": "k"})).await.0, 201);
    let (_, found) = admin.get("/key-auths/k").await;
    assert_eq!((&found["key"], &found["ttl"]), (&json!("k"), &Value::Null));
    assert_eq!(admin.get("/key-auths/k/consumer").await.1["username"], "bob");
    assert_eq!(admin.call("POST", "/consumers/bob/key-auth", json!({"key": "k"})).await.0, 409);
    assert_eq!(admin.call("PUT", "/consumers/bob/acls/gold", json!({})).await.1["group"], "gold");
    assert_eq!(admin.get("/consumers/bob/acls/gold").await.0, 200);
    assert_eq!(admin.call("POST", "/consumers/bob/acls", json!({"group": "gold"})).await.1["code"], 5);
    assert_eq!(admin.call("DELETE", "/consumers/bob/acls/gold", Value::Null).await.0, 204);
    admin.call("DELETE", "/consumers/bob", Value::Null).await;
    assert_eq!(admin.get("/key-auths").await.1["data"], json!([]));
}

#[tokio::test]
async fn targets_are_found_by_their_address() {
    let admin = Admin::start().await;
    admin.call("PUT", "/upstreams/u", json!({})).await;
    admin.call("POST", "/upstreams/u/targets", json!({"target": "127.0.0.1"})).await;
    assert_eq!(admin.get("/upstreams/u/targets/127.0.0.1:8000").await.1["weight"], 100);
    assert_eq!(
        admin.call("PUT", "/upstreams/u/targets/127.0.0.1", json!({"weight": 0})).await.1["target"],
        "127.0.0.1:8000"
    );
    assert_eq!(admin.call("PUT", "/upstreams/u/targets/127.0.0.2", json!({})).await.0, 404);
    let (_, health) = admin.get("/upstreams/u/health").await;
    assert_eq!(health["data"][0]["health"], "HEALTHCHECKS_OFF");
    assert_eq!(admin.get("/targets").await.0, 404);
    assert_eq!(admin.call("DELETE", "/upstreams/u", Value::Null).await.0, 204);
}
