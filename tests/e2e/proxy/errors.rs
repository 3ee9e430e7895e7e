use serde_json::json;

use crate::harness::{TestGateway, TestTarget};

#[tokio::test]
async fn what_matches_no_route_is_not_found() {
    let gateway = TestGateway::new().start().await;
    let answer = gateway.get("/").await.expect(404);
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    let id = answer.header("x-kong-request-id");
    let expected = format!("{{\n  \"message\":\"no Route matched with those values\",\n  \"request_id\":\"{id}\"\n}}");
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn the_client_chooses_the_format_of_errors() {
    let gateway = TestGateway::new().start().await;
    let cases = [
        ("application/json", "application/json; charset=utf-8", "{\n  \"message\":\"no Route"),
        ("text/plain", "text/plain; charset=utf-8", "no Route matched with those values\nrequest_id: "),
        ("text/html", "text/html; charset=utf-8", "<!doctype html>"),
        ("application/xml", "application/xml; charset=utf-8", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>"),
        ("text/plain;q=0.2, application/xml;q=0.5", "application/xml; charset=utf-8", "<?xml"),
        ("image/png", "application/json; charset=utf-8", "{"),
        ("*/*", "application/json; charset=utf-8", "{"),
    ];
    for (accept, kind, begin) in cases {
        let answer = gateway.get_with("/", &[("accept", accept)]).await.expect(404);
        assert_eq!(answer.header("content-type"), kind, "{accept}");
        assert!(answer.text().starts_with(begin), "{accept}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_route_without_a_service_is_unavailable() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/routes", json!({ "paths": ["/"] })).await;
    assert_eq!(gateway.get("/").await.expect(503).json()["message"], "no Service found with those values");
}

#[tokio::test]
async fn an_upstream_without_targets_is_unavailable() {
    let gateway = TestGateway::new().route("/", []).start().await;
    assert_eq!(gateway.get("/").await.expect(503).json()["message"], "failure to get a peer from the ring-balancer");
}

#[tokio::test]
async fn a_target_that_refuses_is_a_bad_gateway() {
    let target = TestTarget::refusing();
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let answer = gateway.get("/").await.expect(502);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "nobody asked for another format");
    assert!(answer.text().starts_with("An invalid response was received from the upstream server\nrequest_id: "));
    let answer = gateway.get_with("/", &[("accept", "application/json")]).await.expect(502);
    assert_eq!(answer.json()["message"], "An invalid response was received from the upstream server");
}

#[tokio::test]
async fn a_target_that_never_answers_times_out() {
    let target = TestTarget::waiting().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.admin.patch("/services/a", json!({ "read_timeout": 100, "retries": 0 })).await.expect(200);
    let answer = gateway.get("/").await.expect(504);
    assert!(answer.text().starts_with("The upstream server is timing out"), "{}", answer.text());
    gateway.until(async || target.count() > 0).await;
    assert_eq!(target.count(), 1);
}

#[tokio::test]
async fn a_target_that_does_not_speak_http_is_a_bad_gateway() {
    for (label, bytes) in
        [("nonsense", &b"hello\r\n\r\n"[..]), ("nothing", b""), ("half a head", b"HTTP/1.1 200 OK\r\nX:")]
    {
        let target = TestTarget::raw(bytes).await;
        let gateway = TestGateway::new().route("/", [&target]).start().await;
        assert_eq!(gateway.get("/").await.status, 502, "{label}");
    }
}

#[tokio::test]
async fn statuses_of_the_target_pass_with_their_bodies() {
    for status in [204, 301, 404, 418, 500, 503, 599] {
        let target = TestTarget::status(status).await;
        let gateway = TestGateway::new().route("/", [&target]).start().await;
        gateway.get("/").await.expect(status);
        assert_eq!(target.count(), 1, "{status} is an answer, not a reason to try again");
    }
}

#[tokio::test]
async fn plain_http_is_told_to_upgrade_where_the_route_wants_tls() {
    let target = TestTarget::answering("safe").await;
    let gateway = TestGateway::new().start().await;
    gateway.route_with("a", &target, json!({ "paths": ["/"], "protocols": ["https"] })).await;
    let answer = gateway.get("/").await.expect(426);
    assert_eq!(answer.json()["message"], "Please use HTTPS protocol");
    assert_eq!((answer.header("connection"), answer.header("upgrade")), ("Upgrade", "TLS/1.2, HTTP/1.1"));
    assert_eq!(gateway.call_tls("GET /").await.send().await.expect(200).text(), "safe");
}

#[tokio::test]
async fn plain_http_is_sent_to_tls_where_the_route_says_so() {
    let target = TestTarget::answering("safe").await;
    let gateway = TestGateway::new().start().await;
    let route = json!({ "paths": ["/"], "protocols": ["https"], "https_redirect_status_code": 301 });
    gateway.route_with("a", &target, route).await;
    let answer = gateway.get_with("/a//b?c=%2f", &[("host", "shop.test")]).await.expect(301);
    assert_eq!(answer.header("location"), "https://shop.test/a//b?c=%2f");
    let forwarded = [("host", "shop.test"), ("x-forwarded-host", "front.test:80")];
    assert_eq!(gateway.get_with("/", &forwarded).await.header("location"), "https://shop.test/", "nobody is trusted");
}

#[tokio::test]
async fn clients_of_a_trusted_peer_are_sent_to_the_host_they_asked() {
    let target = TestTarget::answering("safe").await;
    let gateway = TestGateway::new().setting("SANDGATE_TRUSTED_IPS", "127.0.0.0/8").start().await;
    let route = json!({ "paths": ["/"], "protocols": ["https"], "https_redirect_status_code": 308 });
    gateway.route_with("a", &target, route).await;
    let cases = [
        ("front.test", "front.test"),
        ("front.test:80", "front.test"),
        ("a.test, b.test", "shop.test"),
        ("a/b", "shop.test"),
    ];
    for (said, host) in cases {
        let answer = gateway.get_with("/x", &[("host", "shop.test"), ("x-forwarded-host", said)]).await.expect(308);
        assert_eq!(answer.header("location"), format!("https://{host}/x"));
    }
}

#[tokio::test]
async fn trace_is_never_served() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.call("TRACE /").await.send().await.expect(405);
    assert_eq!(target.count(), 0);
}
