use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget};

/// A target that answers with the value of the header that its route's service path put in the path: the route's name.
async fn with_routes(routes: &[(&str, Value)]) -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    for (name, route) in routes {
        let service = json!({ "name": name, "url": format!("{}/{name}", target.url()) });
        gateway.admin.create("/services", service).await;
        gateway.admin.create(&format!("/services/{name}/routes"), route.clone()).await;
    }
    (gateway, target)
}

async fn winner(gateway: &Gateway, line: &str, headers: &[(&str, &str)]) -> String {
    let call = gateway.call(line).await;
    let answer = headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await;
    if answer.status == 404 {
        return "none".into();
    }
    answer.echo().target().split('/').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn more_conditions_go_before_fewer() {
    let (gateway, _target) = with_routes(&[
        ("path", json!({ "paths": ["/a/long/path"] })),
        ("method", json!({ "paths": ["/a"], "methods": ["POST"] })),
        ("host", json!({ "paths": ["/a"], "hosts": ["a.test"] })),
        ("header", json!({ "paths": ["/a"], "hosts": ["a.test"], "headers": { "x-version": ["2", "3"] } })),
        ("all", json!({ "paths": ["/a"], "hosts": ["a.test"], "headers": { "x-version": ["2"] }, "methods": ["PUT"] })),
    ])
    .await;
    let cases: [(&str, &[(&str, &str)], &str); 8] = [
        ("GET /a/long/path", &[], "path"),
        ("GET /a", &[], "none"),
        ("POST /a/long/path", &[], "method"),
        ("GET /a/long/path", &[("host", "a.test")], "host"),
        ("GET /a", &[("host", "a.test:8000")], "host"),
        ("GET /a", &[("host", "a.test"), ("X-Version", "3")], "header"),
        ("PUT /a", &[("host", "a.test"), ("X-Version", "2")], "all"),
        ("PUT /a", &[("host", "a.test"), ("X-Version", "4")], "host"),
    ];
    for (line, headers, expected) in cases {
        assert_eq!(winner(&gateway, line, headers).await, expected, "{line} {headers:?}");
    }
}

#[tokio::test]
async fn regexes_go_before_prefixes_and_longer_prefixes_before_shorter() {
    let (gateway, _target) = with_routes(&[
        ("short", json!({ "paths": ["/a"] })),
        ("long", json!({ "paths": ["/a/b"] })),
        ("regex", json!({ "paths": ["~/a/\\d+$"] })),
        ("first", json!({ "paths": ["~/a/[0-9]7$"], "regex_priority": 5 })),
    ])
    .await;
    let cases = [
        ("GET /a", "short"),
        ("GET /ab", "short"),
        ("GET /a/b/c", "long"),
        ("GET /a/12", "regex"),
        ("GET /a/12/x", "short"),
        ("GET /a/17", "first"),
        ("GET /b", "none"),
    ];
    for (line, expected) in cases {
        assert_eq!(winner(&gateway, line, &[]).await, expected, "{line}");
    }
}

#[tokio::test]
async fn plain_hosts_go_before_wildcards() {
    let (gateway, _target) = with_routes(&[
        ("left", json!({ "hosts": ["*.a.test"] })),
        ("right", json!({ "hosts": ["shop.*"] })),
        ("plain", json!({ "hosts": ["shop.a.test"] })),
        ("port", json!({ "hosts": ["b.test:9"] })),
    ])
    .await;
    let cases = [
        ("shop.a.test", "plain"),
        ("x.y.a.test", "left"),
        ("shop.b.test", "right"),
        ("b.test:9", "port"),
        ("b.test:10", "none"),
        ("a.test", "none"),
    ];
    for (host, expected) in cases {
        assert_eq!(winner(&gateway, "GET /", &[("host", host)]).await, expected, "{host}");
    }
}

#[tokio::test]
async fn headers_match_by_value_or_by_regex() {
    let (gateway, _target) = with_routes(&[
        ("value", json!({ "headers": { "x-tier": ["Gold"] } })),
        ("regex", json!({ "headers": { "x-tier": ["~*^silver-\\d+$"] } })),
    ])
    .await;
    for (value, expected) in [("gold", "value"), ("GOLD", "value"), ("silver-7", "regex"), ("silver", "none")] {
        assert_eq!(winner(&gateway, "GET /", &[("X-Tier", value)]).await, expected, "{value}");
    }
}

#[tokio::test]
async fn a_disabled_service_has_no_routes() {
    let (gateway, _target) = with_routes(&[("a", json!({ "paths": ["/"] }))]).await;
    assert_eq!(winner(&gateway, "GET /", &[]).await, "a");
    gateway.admin.patch("/services/a", json!({ "enabled": false })).await.expect(200);
    assert_eq!(winner(&gateway, "GET /", &[]).await, "none");
}
