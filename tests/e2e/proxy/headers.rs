use http::Response;
use serde_json::json;

use crate::harness::{TestGateway, TestTarget, exchange, full};

#[tokio::test]
async fn the_target_learns_who_asked_for_what() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/a", [&target]).start().await;
    let echo = gateway.get_with("/a/b?c=d", &[("host", "Shop.test:99"), ("x-forwarded-for", "10.0.0.1")]).await.echo();
    let expected = [
        ("x-forwarded-for", "10.0.0.1, 127.0.0.1".to_owned()),
        ("x-real-ip", "127.0.0.1".to_owned()),
        ("x-forwarded-proto", "http".to_owned()),
        ("x-forwarded-host", "shop.test".to_owned()),
        ("x-forwarded-port", gateway.proxy().port().to_string()),
        ("x-forwarded-path", "/a/b".to_owned()),
        ("x-forwarded-prefix", "/a".to_owned()),
    ];
    for (name, value) in expected {
        assert_eq!(echo.header(name), value, "{name}");
    }
    assert!(echo.header("via").starts_with("1.1 sandgate/"), "{}", echo.header("via"));
}

#[tokio::test]
async fn strangers_are_not_believed() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let claims = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-path", "/evil"),
        ("x-forwarded-prefix", "/evil"),
        ("x-real-ip", "6.6.6.6"),
        ("x-kong-request-id", "evil"),
    ];
    let echo = gateway.get_with("/", &claims).await.echo();
    for (name, value) in claims {
        assert_ne!(echo.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn trusted_peers_are_believed() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().setting("SANDGATE_TRUSTED_IPS", "127.0.0.0/8").route("/", [&target]).start().await;
    let claims = [("x-forwarded-proto", "https"), ("x-forwarded-host", "shop.test"), ("x-real-ip", "10.1.2.3")];
    let echo = gateway.get_with("/", &claims).await.echo();
    for (name, value) in claims {
        assert_eq!(echo.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn headers_of_one_hop_stay_on_it() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let headers = [
        ("connection", "x-private, close"),
        ("x-private", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("upgrade", "foo"),
        ("x-public", "1"),
        ("proxy-authorization", "Basic eDp5"),
    ];
    let echo = gateway.get_with("/", &headers).await.echo();
    for name in ["x-private", "keep-alive", "proxy-connection", "te", "upgrade"] {
        assert!(!echo.has(name), "{name}: {}", echo.header(name));
    }
    assert_eq!((echo.header("x-public"), echo.header("proxy-authorization")), ("1".into(), "Basic eDp5".into()));
}

#[tokio::test]
async fn headers_of_the_targets_hop_stay_on_it_too() {
    let target = TestTarget::replying(|_| {
        let response = Response::builder().header("connection", "x-private").header("x-private", "1");
        let response =
            response.header("keep-alive", "timeout=5").header("set-cookie", "a=1").header("set-cookie", "b=2");
        response.header("server", "origin/1").header("via", "1.0 inner").body(full("")).unwrap()
    })
    .await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let answer = gateway.get("/").await.expect(200);
    assert!(!answer.has("x-private") && !answer.has("keep-alive"));
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(answer.header("server"), "origin/1");
    let via = answer.headers.get_all("via").iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(", ");
    assert!(via.starts_with("1.0 inner, 1.1 sandgate/"), "{via}");
}

#[tokio::test]
async fn proxied_answers_tell_both_latencies() {
    let target = TestTarget::answering("a").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let answer = gateway.get("/").await.expect(200);
    for name in ["x-kong-upstream-latency", "x-kong-proxy-latency"] {
        answer.header(name).parse::<u64>().unwrap();
    }
    assert!(!answer.has("x-kong-response-latency"));
    let id = answer.header("x-kong-request-id");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()), "{id}");
}

#[tokio::test]
async fn answers_of_the_gateway_tell_one_latency_and_who_it_is() {
    let gateway = TestGateway::new().start().await;
    let answer = gateway.get("/").await.expect(404);
    answer.header("x-kong-response-latency").parse::<u64>().unwrap();
    assert!(answer.header("server").starts_with("sandgate/"));
    assert!(!answer.has("via") && !answer.has("x-kong-upstream-latency") && !answer.has("x-kong-proxy-latency"));
}

#[tokio::test]
async fn the_request_id_is_one_for_client_target_and_errors() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/a", [&target]).start().await;
    let answer = gateway.get("/a").await;
    let id = answer.header("x-kong-request-id").to_owned();
    assert_eq!(answer.echo().header("x-kong-request-id"), id);
    let answer = gateway.get("/nothing").await.expect(404);
    assert_eq!(answer.json()["request_id"], json!(answer.header("x-kong-request-id")));
}

#[tokio::test]
async fn a_client_cannot_name_away_what_a_plugin_adds() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let adds = json!({ "name": "request-transformer", "config": { "add": { "headers": ["x-vouched:yes"] } } });
    gateway.admin.create("/services/service-0/plugins", adds).await;
    gateway.applied().await;
    let headers = [("connection", "close, x-vouched, x-own"), ("x-own", "1"), ("x-vouched", "no")];
    let echo = gateway.get_with("/", &headers).await.echo();
    assert_eq!(echo.header("x-vouched"), "yes");
    assert!(!echo.has("x-own"));
}

#[tokio::test]
async fn bytes_that_are_no_text_hide_no_address() {
    let target = TestTarget::replying(|request| {
        let address = request.headers.get("x-real-ip").map_or("-", |value| value.to_str().unwrap()).to_owned();
        Response::new(full(address))
    })
    .await;
    let gateway = TestGateway::new()
        .setting("SANDGATE_TRUSTED_IPS", "127.0.0.0/8")
        .setting("SANDGATE_REAL_IP_HEADER", "X-Forwarded-For")
        .route("/", [&target])
        .start()
        .await;
    gateway.applied().await;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: \xff, 203.0.113.9\r\n\r\n";
    let answer = exchange(gateway.proxy(), request).await;
    assert!(answer.ends_with("203.0.113.9"), "{answer}");
}
