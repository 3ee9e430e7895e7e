//! What a page in a browser on the same machine can do.

use serde_json::json;

use super::close;
use crate::harness::{Admin, TestGateway};

async fn status(admin: &Admin, line: &str, headers: &[(&str, &str)]) -> u16 {
    let call = headers.iter().fold(admin.call(line), |call, (name, value)| call.header(name, value));
    call.json(&json!({ "host": "a.test" })).send().await.status
}

#[tokio::test]
async fn a_page_from_elsewhere_changes_nothing_in_an_open_admin_api() {
    let gateway = TestGateway::new().start().await;
    let host = gateway.admin.address.to_string();
    for (headers, expected) in [
        (&[][..], 201),
        (&[("origin", "http://localhost:8002")], 201),
        (&[("origin", "http://127.0.0.1:8002")], 201),
        (&[("origin", "https://evil.test")], 403),
        (&[("origin", "null")], 403),
        (&[("origin", "http://evil.test:8001"), ("host", "evil.test:8001")], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-origin"), ("host", &*host)], 201),
    ] {
        assert_eq!(status(&gateway.admin, "POST /services", headers).await, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_page_may_read_an_open_admin_api_as_with_kong() {
    let gateway = TestGateway::new().start().await;
    let answer = gateway.admin.call("GET /services").header("origin", "http://a.test").send().await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), "http://a.test");
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(gateway.admin.get("/").await.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn a_page_needs_a_token_like_everybody_and_may_be_from_anywhere() {
    let gateway = TestGateway::new().start().await;
    let root = close(&gateway).await;
    assert_eq!(status(&root, "POST /services", &[("origin", "https://ops.test")]).await, 201);
    let call = gateway.admin.call("OPTIONS /services").header("origin", "https://ops.test");
    let preflight = call.header("access-control-request-headers", "authorization").send().await.expect(204);
    assert_eq!(preflight.header("access-control-allow-headers"), "authorization");
    assert_eq!(preflight.header("access-control-allow-origin"), "*");
    assert!(!preflight.has("access-control-allow-credentials"));
}

#[tokio::test]
async fn the_url_of_a_web_interface_names_the_only_origin() {
    let setting = TestGateway::new().setting("SANDGATE_ADMIN_GUI_URL", "https://ops.test/manager, http://b.test:81");
    let gateway = setting.start().await;
    for (origin, named, expected) in [
        ("https://ops.test", "https://ops.test", 201),
        ("http://b.test:81", "http://b.test:81", 201),
        ("http://b.test", "https://ops.test", 403),
    ] {
        let answer = gateway.admin.call("GET /").header("origin", origin).send().await.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), named, "{origin}");
        assert_eq!(status(&gateway.admin, "POST /services", &[("origin", origin)]).await, expected, "{origin}");
    }
}
