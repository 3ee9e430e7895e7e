//! What operators of Kong type: forms as curl sends them, JSON as HTTPie does, names in paths.

use serde_json::{Value, json};

use crate::harness::{TestGateway, TestTarget};

enum Body {
    None,
    /// `curl --data a=b --data c=d`
    Data(&'static str),
    /// `curl --form a=b`
    Form(&'static [(&'static str, &'static str)]),
    /// `http :8001/… a=b c:=1`
    Json(Value),
}

use Body::{Data, Form, Json, None as Nothing};

/// A request, the status of its answer, and what stands where in it.
type Step = (&'static str, Body, u16, &'static [(&'static str, &'static str)]);

fn services_and_routes() -> Vec<Step> {
    vec![
        (
            "POST /services",
            Data("name=example_service&url=http://httpbun.com"),
            201,
            &[("/host", "\"httpbun.com\""), ("/port", "80")],
        ),
        ("GET /services/example_service", Nothing, 200, &[("/retries", "5")]),
        ("PATCH /services/example_service", Data("retries=6"), 200, &[("/retries", "6"), ("/host", "\"httpbun.com\"")]),
        ("GET /services", Nothing, 200, &[("/data/0/name", "\"example_service\""), ("/next", "null")]),
        (
            "POST /services/example_service/routes",
            Data("paths[]=/mock&name=example_route"),
            201,
            &[("/paths", "[\"/mock\"]")],
        ),
        ("GET /services/example_service/routes/example_route", Nothing, 200, &[("/strip_path", "true")]),
        (
            "PATCH /services/example_service/routes/example_route",
            Data("tags=tutorial"),
            200,
            &[("/tags", "[\"tutorial\"]")],
        ),
        ("GET /routes?tags=tutorial", Nothing, 200, &[("/data/0/name", "\"example_route\"")]),
        ("GET /routes/example_route/service", Nothing, 200, &[("/name", "\"example_service\"")]),
        (
            "PUT /services/new_service",
            Data("url=https://example.com/api"),
            200,
            &[("/protocol", "\"https\""), ("/path", "\"/api\"")],
        ),
        (
            "POST /routes/",
            Data("hosts%5B%5D=a.test&hosts%5B%5D=b.test&service.name=new_service"),
            201,
            &[("/hosts", "[\"a.test\",\"b.test\"]")],
        ),
        (
            "POST /services/new_service/routes",
            Form(&[("name", "multi"), ("methods[1]", "GET"), ("methods[2]", "HEAD")]),
            201,
            &[("/methods", "[\"GET\",\"HEAD\"]")],
        ),
        ("DELETE /services/new_service", Nothing, 400, &[("/code", "4")]),
        ("DELETE /routes/multi", Nothing, 204, &[]),
    ]
}

fn plugins_and_consumers() -> Vec<Step> {
    vec![
        (
            "POST /services",
            Json(json!({ "name": "example_service", "url": "http://httpbun.com", "retries": 2 })),
            201,
            &[("/retries", "2")],
        ),
        (
            "POST /services/example_service/routes",
            Json(json!({ "name": "example_route", "paths": ["/mock"] })),
            201,
            &[],
        ),
        (
            "POST /plugins",
            Data("name=rate-limiting&config.minute=5&config.policy=local"),
            201,
            &[("/config/minute", "5"), ("/service", "null")],
        ),
        (
            "POST /services/example_service/plugins",
            Data("name=rate-limiting&config.minute=6&config.policy=local"),
            201,
            &[("/config/limit_by", "\"consumer\"")],
        ),
        (
            "POST /routes/example_route/plugins",
            Data("name=key-auth&config.key_names=apikey"),
            201,
            &[("/config/key_names", "[\"apikey\"]")],
        ),
        ("POST /consumers/", Data("username=jsmith"), 201, &[("/username", "\"jsmith\"")]),
        (
            "POST /consumers/jsmith/plugins",
            Data("name=rate-limiting&config.second=7&config.policy=local"),
            201,
            &[("/config/second", "7")],
        ),
        ("POST /consumers/jsmith/key-auth", Data("key=top-secret-key"), 201, &[("/key", "\"top-secret-key\"")]),
        ("POST /consumers/jsmith/key-auth", Nothing, 201, &[("/ttl", "null")]),
        ("GET /key-auths/top-secret-key/consumer", Nothing, 200, &[("/username", "\"jsmith\"")]),
        ("POST /consumers/jsmith/acls", Data("group=group1"), 201, &[("/group", "\"group1\"")]),
    ]
}

/// After `plugins_and_consumers`.
fn more_plugins() -> Vec<Step> {
    vec![
        (
            "POST /services/example_service/plugins",
            Data("name=acl&config.allow=group1&config.hide_groups_header=true"),
            201,
            &[("/config/allow", "[\"group1\"]"), ("/config/hide_groups_header", "true")],
        ),
        (
            "POST /routes/example_route/plugins",
            Data("name=request-transformer&config.add.headers=x-new-header:value&config.add.headers=x-other:two"),
            201,
            &[("/config/add/headers", "[\"x-new-header:value\",\"x-other:two\"]")],
        ),
        (
            "POST /plugins",
            Json(json!({ "name": "correlation-id", "config": { "header_name": "my-trace" } })),
            201,
            &[("/config/generator", "\"uuid#counter\"")],
        ),
        ("GET /services/example_service/plugins", Nothing, 200, &[("/next", "null")]),
        ("GET /plugins/enabled", Nothing, 200, &[]),
    ]
}

fn upstreams() -> Vec<Step> {
    vec![
        (
            "POST /upstreams",
            Data("name=example_upstream"),
            201,
            &[("/algorithm", "\"round-robin\""), ("/slots", "10000")],
        ),
        ("POST /upstreams/example_upstream/targets", Data("target=httpbun.com:80"), 201, &[("/weight", "100")]),
        (
            "POST /upstreams/example_upstream/targets",
            Data("target=httpbin.org:80&weight=300"),
            201,
            &[("/weight", "300")],
        ),
        ("GET /upstreams/example_upstream/targets", Nothing, 200, &[("/next", "null")]),
        ("PATCH /upstreams/example_upstream/targets/httpbin.org:80", Data("weight=0"), 200, &[("/weight", "0")]),
        ("PUT /services/example_service", Data("host=example_upstream"), 200, &[("/host", "\"example_upstream\"")]),
        (
            "PATCH /upstreams/example_upstream",
            Data("healthchecks.active.healthy.interval=5&healthchecks.active.http_path=/ready"),
            200,
            &[("/healthchecks/active/healthy/interval", "5"), ("/healthchecks/active/type", "\"http\"")],
        ),
        ("DELETE /upstreams/example_upstream/targets/httpbin.org:80", Nothing, 204, &[]),
    ]
}

#[tokio::test]
async fn the_quick_start_guides_work_as_they_are_typed() {
    let plugins = plugins_and_consumers().into_iter().chain(more_plugins()).collect();
    for steps in [services_and_routes(), plugins, upstreams()] {
        let gateway = TestGateway::new().start().await;
        for (line, body, status, expected) in steps {
            let call = gateway.admin.call(line);
            let call = match &body {
                Nothing => call,
                Data(data) => call.header("content-type", "application/x-www-form-urlencoded").body(*data),
                Form(parts) => call.header("content-type", "multipart/form-data; boundary=xx").body(multipart(parts)),
                Json(json) => call.json(json),
            };
            let answer = gateway.admin.write(call).await;
            assert_eq!(answer.status, status, "{line}: {}", answer.text());
            for (pointer, value) in expected {
                let found = answer.json().pointer(pointer).cloned();
                assert_eq!(found, Some(serde_json::from_str(value).unwrap()), "{line}: {pointer} of {}", answer.text());
            }
        }
    }
}

fn multipart(parts: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--xx\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    parts.iter().map(part).collect::<String>() + "--xx--\r\n"
}

#[tokio::test]
async fn the_quick_start_ends_with_a_guarded_route() {
    let (gateway, target) = (TestGateway::new().start().await, TestTarget::answering("mock").await);
    gateway.admin.form("POST /services", &format!("name=example_service&url={}", target.url())).await.expect(201);
    gateway.admin.form("POST /services/example_service/routes", "paths[]=/mock&name=example_route").await.expect(201);
    assert_eq!(gateway.get("/mock/anything").await.expect(200).text(), "mock");
    gateway.admin.form("POST /consumers/", "username=luka").await.expect(201);
    gateway.admin.form("POST /consumers/luka/key-auth", "key=top-secret-key").await.expect(201);
    gateway.admin.form("POST /plugins/", "name=key-auth&config.key_names=apikey").await.expect(201);
    gateway.get("/mock/anything").await.expect(401);
    gateway.get_with("/mock/anything", &[("apikey", "bad-key")]).await.expect(401);
    gateway.get_with("/mock/anything", &[("apikey", "top-secret-key")]).await.expect(200);
}
