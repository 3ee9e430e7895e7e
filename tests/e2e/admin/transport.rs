use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, exchange};

/// A label, the content type, the body, and the status of `POST /services`.
fn bodies() -> Vec<(&'static str, Option<&'static str>, &'static [u8], u16)> {
    vec![
        ("JSON", Some("application/json"), br#"{"host":"a"}"#, 201),
        ("JSON with a charset", Some("application/json; charset=utf-8"), br#"{"host":"a"}"#, 201),
        ("no JSON", Some("application/json"), b"{", 400),
        ("nothing that claims to be JSON", Some("application/json"), b"", 400),
        ("a form", Some("application/x-www-form-urlencoded"), b"host=a&tags[]=x&tags[]=y", 201),
        ("a form of indexes", Some("application/x-www-form-urlencoded"), b"host=a&tags%5B1%5D=x&tags%5B2%5D=y", 201),
        ("a type that is not read", Some("text/plain"), b"host=a", 415),
        ("no type", None, b"host=a", 415),
        ("neither type nor body", None, b"", 400),
        (
            "parts",
            Some("multipart/form-data; boundary=b"),
            b"--b\r\nContent-Disposition: form-data; name=\"host\"\r\n\r\na.test\r\n--b--\r\n",
            201,
        ),
        (
            "a part in JSON",
            Some("multipart/form-data; boundary=b"),
            b"--b\r\nContent-Disposition: form-data; name=\"host\"\r\n\r\na\r\n--b\r\n\
              Content-Disposition: form-data; name=\"client_certificate\"\r\nContent-Type: application/json\r\n\r\n\
              {\"id\":\"x\"}\r\n--b--\r\n",
            400,
        ),
    ]
}

async fn post(gateway: &Gateway, media_type: Option<&str>, body: &[u8]) -> (u16, String) {
    let call = gateway.admin.call("POST /services").body(body.to_vec());
    let call = media_type.into_iter().fold(call, |call, media_type| call.header("content-type", media_type));
    let answer = call.send().await;
    (answer.status, answer.text())
}

#[tokio::test]
async fn a_body_is_read_by_its_type() {
    let gateway = TestGateway::new().start().await;
    for (label, media_type, body, status) in bodies() {
        let (answered, text) = post(&gateway, media_type, body).await;
        assert_eq!(answered, status, "{label}: {text}");
        assert_eq!(text.is_empty(), status == 415, "{label}: {text}");
    }
}

#[tokio::test]
async fn two_content_types_are_refused() {
    let gateway = TestGateway::new().start().await;
    let call = gateway.admin.call("POST /services").header("content-type", "application/json");
    call.header("content-type", "application/json").body(r#"{"host":"a"}"#).send().await.expect(400);
}

#[tokio::test]
async fn more_than_a_thousand_arguments_are_refused() {
    let gateway = TestGateway::new().start().await;
    let arguments = |count: usize| (0..count).map(|at| format!("a{at}=1")).collect::<Vec<_>>().join("&");
    gateway.admin.get(&format!("/services?{}", arguments(1000))).await.expect(200);
    for answer in [
        gateway.admin.get(&format!("/services?{}", arguments(1001))).await,
        gateway.admin.form("POST /services", &arguments(1001)).await,
    ] {
        assert_eq!(answer.expect(400).json(), json!({ "message": "Too many arguments" }));
    }
}

#[tokio::test]
async fn every_spelling_of_a_form_says_the_same() {
    let gateway = TestGateway::new().start().await;
    for (label, form, field, expected) in [
        ("brackets", "tags[]=x&tags[]=y", "tags", json!(["x", "y"])),
        ("encoded brackets", "tags%5B%5D=x&tags%5B%5D=y", "tags", json!(["x", "y"])),
        ("repeats", "tags=x&tags=y", "tags", json!(["x", "y"])),
        ("indexes", "tags[1]=x&tags[2]=y", "tags", json!(["x", "y"])),
        ("one alone", "tags=x", "tags", json!(["x"])),
        ("an empty text", "path=", "path", Value::Null),
        ("a number", "port=81", "port", json!(81)),
        ("a truth", "enabled=false", "enabled", json!(false)),
    ] {
        let service = gateway.admin.form("POST /services", &format!("host=a&{form}")).await.expect(201).json();
        assert_eq!(service[field], expected, "{label}");
    }
    for form in ["config.second=5&config.redis.port=7", "config[second]=5&config[redis][port]=7"] {
        let plugin = gateway.admin.form("POST /plugins", &format!("name=rate-limiting&{form}")).await.expect(201);
        let plugin = plugin.json();
        assert_eq!((&plugin["config"]["second"], &plugin["config"]["redis"]["port"]), (&json!(5), &json!(7)), "{form}");
        gateway.admin.delete(&format!("/plugins/{}", plugin["id"].as_str().unwrap())).await.expect(204);
    }
}

#[tokio::test]
async fn a_changed_plugin_is_read_by_the_schema_of_its_name() {
    let gateway = TestGateway::new().start().await;
    let plugin = json!({ "name": "rate-limiting", "instance_name": "limit", "config": { "second": 5 } });
    gateway.admin.create("/plugins", plugin).await;
    let changed = gateway.admin.form("PATCH /plugins/limit", "config.minute=60").await.expect(200).json();
    assert_eq!((&changed["config"]["second"], &changed["config"]["minute"]), (&json!(5), &json!(60)));
}

#[tokio::test]
async fn an_unknown_path_is_not_found_for_every_method() {
    let gateway = TestGateway::new().start().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = gateway.admin.call(&format!("{method} /nope")).send().await.expect(404);
        assert_eq!(answer.json(), json!({ "message": "Not found" }), "{method}");
    }
}

#[tokio::test]
async fn a_known_path_refuses_other_methods_and_says_which_it_takes() {
    let gateway = TestGateway::new().start().await;
    for (path, allowed) in [
        ("/", "GET, HEAD, OPTIONS"),
        ("/services", "GET, HEAD, OPTIONS, POST"),
        ("/services/a", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/schemas/services/validate", "OPTIONS, POST"),
        ("/cache", "DELETE, OPTIONS"),
        ("/debug/node/log-level/debug", "OPTIONS, PUT"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
    ] {
        let options = gateway.admin.call(&format!("OPTIONS {path}")).send().await.expect(204);
        assert_eq!((options.header("allow"), options.header("access-control-allow-methods")), (allowed, allowed));
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"].iter().filter(|method| !allowed.contains(*method)) {
            let answer = gateway.admin.call(&format!("{method} {path}")).send().await.expect(405);
            assert_eq!(answer.json(), json!({ "message": "Method not allowed" }), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn paths_are_decoded_and_a_slash_at_the_end_is_borne() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/consumers", json!({ "username": "a b/c" })).await;
    gateway.admin.get("/consumers/a%20b%2Fc").await.expect(200);
    gateway.admin.get("/consumers/").await.expect(200);
    gateway.admin.get("/consumers//").await.expect(404);
    gateway.admin.get("//consumers").await.expect(404);
}

#[tokio::test]
async fn the_whole_target_may_be_asked_for() {
    let gateway = TestGateway::new().start().await;
    let request = "GET http://other.test/services HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n";
    let answer = exchange(gateway.admin.address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
