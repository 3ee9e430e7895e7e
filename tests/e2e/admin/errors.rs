use serde_json::{Value, json};

use crate::harness::TestGateway;

/// A label, where to post what, and the fields of the refusal.
fn mistakes() -> Vec<(&'static str, &'static str, Value, Value)> {
    let protocols = "expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp";
    vec![
        ("a missing field", "/services", json!({}), json!({ "host": "required field missing" })),
        ("an unknown field", "/services", json!({ "host": "a", "x": 1 }), json!({ "x": "unknown field" })),
        (
            "a number as text",
            "/services",
            json!({ "host": "a", "port": "80" }),
            json!({ "port": "expected an integer" }),
        ),
        (
            "a number out of range",
            "/services",
            json!({ "host": "a", "port": 70000 }),
            json!({ "port": "value should be between 0 and 65535" }),
        ),
        (
            "a word out of a list",
            "/services",
            json!({ "host": "a", "protocol": "ftp" }),
            json!({ "protocol": protocols }),
        ),
        (
            "an element out of a list",
            "/routes",
            json!({ "paths": ["/"], "protocols": ["foo", "http"] }),
            json!({ "protocols": [protocols] }),
        ),
        (
            "a plugin that is not there",
            "/plugins",
            json!({ "name": "nope" }),
            json!({ "name": "plugin 'nope' not enabled; add it to the 'plugins' configuration property" }),
        ),
        (
            "a setting of a plugin",
            "/plugins",
            json!({ "name": "key-auth", "config": { "key_names": "a" } }),
            json!({ "config": { "key_names": "expected an array" } }),
        ),
        (
            "nobody",
            "/consumers",
            json!({}),
            json!({ "@entity": ["at least one of these fields must be non-empty: 'custom_id', 'username'"] }),
        ),
    ]
}

#[tokio::test]
async fn mistakes_are_answered_with_kongs_objects() {
    let gateway = TestGateway::new().start().await;
    for (label, path, entity, fields) in mistakes() {
        let refusal = gateway.admin.post(path, entity).await.expect(400).json();
        assert_eq!((&refusal["code"], &refusal["name"]), (&json!(2), &json!("schema violation")), "{label}");
        assert_eq!(refusal["fields"], fields, "{label}");
    }
}

#[tokio::test]
async fn several_mistakes_are_counted_and_sorted() {
    let gateway = TestGateway::new().start().await;
    let refusal = gateway.admin.post("/services", json!({ "port": 70000, "x": 1 })).await.expect(400).json();
    let expected = "3 schema violations (host: required field missing; port: value should be between 0 and 65535; \
                    x: unknown field)";
    assert_eq!(refusal["message"], expected);
}

#[tokio::test]
async fn a_route_needs_something_to_match_by() {
    let gateway = TestGateway::new().start().await;
    let message = "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'";
    let expected = json!({
        "code": 2,
        "name": "schema violation",
        "message": format!("schema violation ({message})"),
        "fields": { "@entity": [message] },
    });
    assert_eq!(gateway.admin.post("/routes", json!({})).await.expect(400).json(), expected);
}

#[tokio::test]
async fn a_name_that_is_taken_is_a_conflict() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    let conflict = gateway.admin.post("/services", json!({ "name": "a", "host": "a.test" })).await.expect(409).json();
    let expected = json!({
        "code": 5,
        "name": "unique constraint violation",
        "message": "UNIQUE violation detected on '{name=\"a\"}'",
        "fields": { "name": "a" },
    });
    assert_eq!(conflict, expected);
}

#[tokio::test]
async fn an_id_that_is_taken_is_a_violation() {
    let gateway = TestGateway::new().start().await;
    let service = gateway.admin.create("/services", json!({ "host": "a.test" })).await;
    let again = json!({ "id": service["id"], "host": "a.test" });
    let refusal = gateway.admin.post("/services", again).await.expect(400).json();
    assert_eq!((&refusal["code"], &refusal["name"]), (&json!(3), &json!("primary key violation")));
}

#[tokio::test]
async fn the_same_plugin_twice_in_one_place_is_a_conflict() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    gateway.admin.create("/plugins", json!({ "name": "key-auth" })).await;
    gateway.admin.create("/services/a/plugins", json!({ "name": "key-auth" })).await;
    let conflict = gateway.admin.post("/plugins", json!({ "name": "key-auth" })).await.expect(409).json();
    let fields = json!({ "consumer": null, "name": "key-auth", "route": null, "service": null });
    assert_eq!((&conflict["code"], &conflict["fields"]), (&json!(5), &fields));
}

#[tokio::test]
async fn a_parent_that_is_not_there_is_named() {
    let gateway = TestGateway::new().start().await;
    let id = "7e1c5a4e-9f3c-4f6f-8d43-0d6f1b1a2c3d";
    let route = json!({ "paths": ["/a"], "service": { "id": id } });
    let refusal = gateway.admin.post("/routes", route).await.expect(400).json();
    let message = format!("the foreign key '{{id=\"{id}\"}}' does not reference an existing 'services' entity.");
    assert_eq!((&refusal["code"], &refusal["message"]), (&json!(4), &json!(message)));
    assert_eq!(refusal["fields"], json!({ "service": { "id": id } }));
    let route = json!({ "paths": ["/a"], "service": { "name": "none" } });
    let refusal = gateway.admin.post("/routes", route).await.expect(400).json();
    assert_eq!((&refusal["code"], &refusal["name"]), (&json!(13), &json!("foreign keys unresolved")));
}

#[tokio::test]
async fn a_patch_of_nothing_says_what_is_missing() {
    let gateway = TestGateway::new().start().await;
    let missing = gateway.admin.patch("/services/none", json!({ "retries": 1 })).await.expect(404).json();
    let expected = json!({
        "code": 6,
        "name": "not found",
        "message": "could not find the entity with '{name=\"none\"}'",
        "fields": { "name": "none" },
    });
    assert_eq!(missing, expected);
    assert_eq!(gateway.admin.get("/services/none").await.expect(404).json(), json!({ "message": "Not found" }));
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_told_apart() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    let cases = [
        ("GET /nothing", 404, "Not found"),
        ("POST /nothing", 404, "Not found"),
        ("GET /targets", 404, "Not found"),
        ("PATCH /services", 405, "Method not allowed"),
        ("DELETE /services", 405, "Method not allowed"),
        ("POST /services/a", 405, "Method not allowed"),
        ("POST /status", 405, "Method not allowed"),
    ];
    for (line, status, message) in cases {
        let answer = gateway.admin.call(line).send().await.expect(status).json();
        assert_eq!(answer, json!({ "message": message }), "{line}");
    }
}

#[tokio::test]
async fn bodies_need_a_known_content_type() {
    let gateway = TestGateway::new().start().await;
    let post = |kind: &str| gateway.admin.call("POST /services").header("content-type", kind).body("host=a.test");
    for kind in ["text/plain", "application/xml"] {
        assert_eq!(post(kind).send().await.expect(415).text(), "", "{kind}");
    }
    gateway.admin.call("POST /services").body("host=a.test").send().await.expect(415);
    gateway.admin.call("POST /consumers").send().await.expect(400);
    let answer = post("application/json").send().await.expect(400).json();
    assert_eq!(answer, json!({ "message": "Cannot parse JSON body" }));
}

#[tokio::test]
async fn a_plugin_that_needs_no_consumer_refuses_one() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/consumers", json!({ "username": "ann" })).await;
    let refusal = gateway.admin.post("/consumers/ann/plugins", json!({ "name": "key-auth" })).await.expect(400).json();
    assert_eq!(refusal["fields"], json!({ "consumer": "value must be null" }));
}

/// JSON, or nearly, that is no entity.
const ODD_BODIES: &[&str] = &[
    "null",
    "[]",
    "1",
    "\"text\"",
    "{",
    "{\"host\":}",
    "{\"host\":null}",
    "{\"host\":{}}",
    "{\"host\":[\"a\"]}",
    "{\"host\":\"a.test\",\"port\":1e400}",
    "{\"host\":\"a.test\",\"port\":-1}",
    "{\"host\":\"a.test\",\"port\":1.5}",
    "{\"host\":\"\\u0000\"}",
    "{\"host\":\"a.test\",\"id\":\"no uuid\"}",
    "{\"host\":\"a.test\",\"tags\":[1,null]}",
    "{\"\":1}",
    "{\"url\":\"::::\"}",
    "{\"url\":1}",
];

#[tokio::test]
async fn odd_bodies_are_refused_and_break_nothing() {
    let gateway = TestGateway::new().start().await;
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    for path in ["/services", "/routes", "/consumers", "/plugins", "/upstreams", "/key-auths"] {
        for body in ODD_BODIES.iter().copied().chain([deep.as_str()]) {
            let call = gateway.admin.call(&format!("POST {path}")).header("content-type", "application/json");
            let answer = call.body(body.to_owned()).send().await;
            assert_eq!(answer.status, 400, "{path} {:.60}: {}", body, answer.text());
        }
    }
}

/// Paths that few clients ask for.
const ODD_PATHS: &[&str] = &[
    "/services/%00",
    "/services/%ff",
    "/services/a%2Fb",
    "/services/%",
    "//services",
    "/services//",
    "/services/a/b/c/d",
    "/services/..",
    "/../etc",
    "/services?size=1&size=2",
    "/services?%",
    "/services?tags=%ff",
    "/tags/%ff",
    "/modules/..",
    "/schemas/",
    "/upstreams/x/health",
    "/upstreams/x/targets/y/healthy",
    "/consumers?custom_id=",
];

#[tokio::test]
async fn odd_paths_are_answered_and_break_nothing() {
    let gateway = TestGateway::new().start().await;
    for path in ODD_PATHS {
        let answer = gateway.admin.get(path).await;
        assert!(answer.status < 500, "{path}: {answer:?}");
    }
    gateway.admin.get("/status").await.expect(200);
}

#[tokio::test]
async fn names_may_be_written_in_any_script() {
    let gateway = TestGateway::new().start().await;
    let consumer = gateway.admin.create("/consumers", json!({ "username": "Zoë / 山 & co" })).await;
    let found = gateway.admin.get("/consumers/Zo%C3%AB%20%2F%20%E5%B1%B1%20%26%20co").await.expect(200).json();
    assert_eq!(found, consumer);
}
