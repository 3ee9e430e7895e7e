use http::Version;

use crate::harness::{Call, Client, TestGateway, TestTarget, Wire};

#[tokio::test]
async fn every_wire_reaches_the_target() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let (plain, tls) = (gateway.process.at.proxy, gateway.process.at.proxy_tls);
    let cases = [
        (Wire::Http1, plain, Version::HTTP_11, "http", "1.1 sandgate/"),
        (Wire::Http2, plain, Version::HTTP_2, "http", "2 sandgate/"),
        (Wire::Tls, tls, Version::HTTP_11, "https", "1.1 sandgate/"),
        (Wire::TlsHttp2, tls, Version::HTTP_2, "https", "2 sandgate/"),
    ];
    for (wire, address, version, scheme, via) in cases {
        let call = Call::new(address, "POST /a?b=c").over(wire).header("host", "shop.test").body("hello");
        let answer = call.send().await.expect(200);
        assert_eq!(answer.version, version, "{wire:?}");
        let echo = answer.echo();
        assert_eq!((echo.target(), echo.body()), ("/a?b=c", "hello"), "{wire:?}");
        assert_eq!(echo.header("x-forwarded-proto"), scheme, "{wire:?}");
        assert_eq!(echo.header("x-forwarded-host"), "shop.test", "{wire:?}");
        assert!(echo.header("via").starts_with(via), "{wire:?}: {}", echo.header("via"));
    }
}

#[tokio::test]
async fn many_streams_share_an_http2_connection() {
    let target = TestTarget::answering("stream").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let client = Client::connect(gateway.proxy(), Wire::Http2).await.unwrap();
    for answer in client.get_at_once("/", 50).await {
        assert_eq!(answer.unwrap().expect(200).text(), "stream");
    }
}

#[tokio::test]
async fn errors_over_http2_have_no_headers_of_http1() {
    let gateway = TestGateway::new().start().await;
    let answer = gateway.call("GET /").await.over(Wire::Http2).send().await.expect(404);
    assert!(!answer.has("connection") && !answer.has("transfer-encoding") && !answer.has("keep-alive"));
    assert_eq!(answer.json()["message"], "no Route matched with those values");
}

#[tokio::test]
async fn without_a_certificate_a_default_one_is_shown() {
    let target = TestTarget::answering("default").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    assert_eq!(gateway.call_tls("GET /").await.send().await.expect(200).text(), "default");
}

#[tokio::test]
async fn routes_by_host_see_the_authority_of_http2() {
    let target = TestTarget::answering("shop").await;
    let gateway = TestGateway::new().start().await;
    gateway.route_with("a", &target, serde_json::json!({ "hosts": ["shop.test"] })).await;
    for (host, status) in [("shop.test", 200), ("shop.test:443", 200), ("other.test", 404)] {
        gateway.call("GET /").await.over(Wire::Http2).header("host", host).send().await.expect(status);
    }
}
