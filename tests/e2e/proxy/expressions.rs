use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget};

/// Each route leads to a service path of its own name.
async fn with_routes(routes: &[(&str, Value)]) -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().setting("SANDGATE_ROUTER_FLAVOR", "expressions").start().await;
    for (name, route) in routes {
        let service = json!({ "name": name, "url": format!("{}/{name}", target.url()) });
        gateway.admin.create("/services", service).await;
        gateway.admin.create(&format!("/services/{name}/routes"), route.clone()).await;
    }
    (gateway, target)
}

async fn target_of(gateway: &Gateway, line: &str, headers: &[(&str, &str)]) -> String {
    let call = gateway.call(line).await;
    let answer = headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await;
    if answer.status == 404 { "none".to_owned() } else { answer.expect(200).echo().target().to_owned() }
}

#[tokio::test]
async fn expressions_route_by_priority_and_come_before_other_routes() {
    let (gateway, _target) = with_routes(&[
        ("classic", json!({ "paths": ["/a/very/long/path"], "methods": ["GET"] })),
        ("low", json!({ "expression": r#"http.path ^= "/a""#, "priority": 1 })),
        ("high", json!({ "expression": r#"http.path ^= "/a" && http.headers.x_kind == "b""#, "priority": 2 })),
        ("query", json!({ "expression": r#"any(http.queries.v) == "2""#, "strip_path": false })),
        ("segment", json!({ "expression": r#"http.path.segments.1 == "users""#, "priority": 7 })),
        ("other", json!({ "paths": ["/other"] })),
    ])
    .await;
    let cases: [(&str, &[(&str, &str)], &str); 7] = [
        ("GET /a/very/long/path", &[], "/low/very/long/path"),
        ("GET /a/x", &[("X-Kind", "b")], "/high/x"),
        ("GET /a/x", &[("X-Kind", "c")], "/low/x"),
        ("GET /q?v=1&v=2", &[], "/query/q?v=1&v=2"),
        ("GET /a/users", &[("X-Kind", "b")], "/segment/a/users"),
        ("GET /other/x", &[], "/other/x"),
        ("GET /nothing", &[], "none"),
    ];
    for (line, headers, expected) in cases {
        assert_eq!(target_of(&gateway, line, headers).await, expected, "{line} {headers:?}");
    }
}

#[tokio::test]
async fn what_an_expression_matched_is_stripped() {
    let (gateway, _target) = with_routes(&[
        ("equal", json!({ "expression": r#"http.path == "/equal/path""# })),
        ("regex", json!({ "expression": r##"http.path ~ r#"^/users/\d+"#"## })),
        ("kept", json!({ "expression": r#"http.path ^= "/kept""#, "strip_path": false })),
    ])
    .await;
    for (path, expected) in [
        ("/equal/path", "/equal"),
        ("/users/42/name", "/regex/name"),
        ("/kept/x", "/kept/kept/x"),
        ("/%75sers/42//name", "/regex/name"),
    ] {
        assert_eq!(target_of(&gateway, &format!("GET {path}"), &[]).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_changed_expression_is_served() {
    let (gateway, _target) =
        with_routes(&[("a", json!({ "name": "a", "expression": r#"http.path ^= "/old""# }))]).await;
    assert_eq!(target_of(&gateway, "GET /old", &[]).await, "/a");
    gateway.admin.patch("/routes/a", json!({ "expression": r#"http.path ^= "/new""# })).await.expect(200);
    gateway.applied().await;
    assert_eq!(target_of(&gateway, "GET /new", &[]).await, "/a");
    assert_eq!(target_of(&gateway, "GET /old", &[]).await, "none");
}

#[tokio::test]
async fn what_has_no_meaning_is_a_schema_violation() {
    let gateway = TestGateway::new().setting("SANDGATE_ROUTER_FLAVOR", "expressions").start().await;
    let cases = [
        (json!({ "expression": r#"http.bogus == "a""# }), "Unknown LHS field"),
        (json!({ "expression": "http.path == 1" }), "Type mismatch between the LHS and RHS values of predicate"),
        (json!({ "expression": "http.path ==" }), " --> 1:13"),
        (json!({ "expression": r#"http.path == "/""#, "paths": ["/"] }), "cannot set 'expression' with"),
        (json!({ "paths": ["/"], "priority": 1 }), "cannot set 'priority' with"),
        (json!({ "expression": r#"http.path == "/""#, "regex_priority": 1 }), "cannot set 'regex_priority'"),
        (json!({ "protocols": ["tcp"], "expression": r#"http.path == "/""# }), "Unknown LHS field"),
    ];
    for (route, expected) in cases {
        let answer = gateway.admin.post("/routes", route.clone()).await.expect(400).json();
        assert_eq!((&answer["name"], &answer["code"]), (&json!("schema violation"), &json!(2)), "{route}");
        let message = answer["fields"]["@entity"][0].as_str().unwrap_or_default();
        let whole = message.strip_prefix("Router Expression failed validation: ").unwrap_or_default();
        assert!(whole.starts_with(expected), "{route}: {answer}");
    }
    let priority = json!({ "expression": r#"http.path == "/""#, "priority": -1 });
    let answer = gateway.admin.post("/routes", priority).await.expect(400).json();
    assert_eq!(answer["fields"]["priority"], "value should be between 0 and 70368744177663");
}

#[tokio::test]
async fn other_flavors_know_no_expressions() {
    let gateway = TestGateway::new().start().await;
    let route = json!({ "paths": ["/"], "expression": r#"http.path == "/""# });
    let answer = gateway.admin.post("/routes", route).await.expect(400).json();
    assert_eq!(answer["fields"], json!({ "expression": "unknown field" }));
    assert!(
        !gateway.admin.create("/routes", json!({ "paths": ["/"] })).await.as_object().unwrap().contains_key("priority")
    );
}

#[tokio::test]
async fn the_flavor_shows_in_schemas_and_at_the_root() {
    let gateway = TestGateway::new().setting("SANDGATE_ROUTER_FLAVOR", "expressions").start().await;
    let root = gateway.admin.get("/").await.expect(200).json();
    assert_eq!(root["configuration"]["router_flavor"], "expressions");
    let schema = gateway.admin.get("/schemas/routes").await.expect(200).json();
    let fields = schema["fields"].as_array().unwrap().iter().filter_map(|field| field.as_object()?.keys().next());
    assert_eq!(fields.filter(|name| matches!(&***name, "expression" | "priority")).count(), 2);
    let document = gateway.admin.get("/openapi.json").await.expect(200).text();
    assert!(document.contains("\"expression\"") && document.contains("/routes/explain"));
}

#[tokio::test]
async fn of_equal_routes_the_older_one_wins_in_the_traditional_flavor() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().setting("SANDGATE_ROUTER_FLAVOR", "traditional").start().await;
    for (name, created_at, id) in [("young", 2_000, 'f'), ("old", 1_000, '0')] {
        let service = json!({ "name": name, "url": format!("{}/{name}", target.url()) });
        gateway.admin.create("/services", service).await;
        let id = format!("{id}0000000-0000-4000-8000-000000000000");
        let route =
            json!({ "id": id, "paths": ["/a"], "created_at": created_at, "path_handling": "v1", "strip_path": false });
        gateway.admin.create(&format!("/services/{name}/routes"), route).await;
    }
    // The text of both paths put together without a slash, as v1 does.
    assert_eq!(target_of(&gateway, "GET /a", &[]).await, "/olda");
}

#[tokio::test]
async fn requests_are_told_by_where_they_come_from() {
    let (gateway, _target) = with_routes(&[
        ("any", json!({ "paths": ["/"] })),
        ("far", json!({ "paths": ["/"], "sources": [{ "ip": "192.0.2.0/24" }] })),
        ("near", json!({ "paths": ["/near"], "sources": [{ "ip": "127.0.0.0/8" }], "protocols": ["http"] })),
    ])
    .await;
    assert_eq!(target_of(&gateway, "GET /near/x", &[]).await, "/near/x");
    assert_eq!(target_of(&gateway, "GET /x", &[]).await, "/any/x");
    let said = gateway.admin.post("/routes/explain", json!({ "path": "/x", "client_ip": "192.0.2.9" })).await;
    assert_eq!(said.expect(200).json()["service"]["name"], "far");
}

#[tokio::test]
async fn in_other_flavors_only_streams_have_sources() {
    let gateway = TestGateway::new().start().await;
    let route = json!({ "paths": ["/"], "sources": [{ "ip": "127.0.0.1" }] });
    let refused = gateway.admin.post("/routes", route).await.expect(400).json();
    assert_eq!(refused["fields"]["sources"], "cannot set 'sources' when 'protocols' is 'http' or 'https'");
}
