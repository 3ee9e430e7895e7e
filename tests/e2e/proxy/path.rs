use serde_json::json;

use crate::harness::{TestGateway, TestTarget};

/// Service path, route path, strip_path, request, what the target sees.
const CASES: [(&str, &str, bool, &str, &str); 22] = [
    ("/", "/", true, "/route/req", "/route/req"),
    ("/", "/route", false, "/routereq", "/routereq"),
    ("/", "/route", true, "/route", "/"),
    ("/", "/route", true, "/route/", "/"),
    ("/", "/route", true, "/routereq", "/req"),
    ("/", "/route/", true, "/route/req", "/req"),
    ("/srv", "/rou", false, "/roureq", "/srv/roureq"),
    ("/srv", "/rou", true, "/roureq", "/srv/req"),
    ("/srv/", "/rou", false, "/rou", "/srv/rou"),
    ("/srv/", "/rou", true, "/rou", "/srv"),
    ("/service", "/", true, "/", "/service"),
    ("/service", "/route", false, "/route", "/service/route"),
    ("/service", "/route", true, "/route/", "/service/"),
    ("/service", "/route/", true, "/route/req", "/service/req"),
    ("/service/", "/route", true, "/route/", "/service/"),
    ("/service", "/route", true, "/route./req", "/service/req"),
    ("/service", "/route", true, "/route%2E%2E/req", "/service/req"),
    ("/service", "/route", false, "/route../req", "/service/route../req"),
    ("/", "/route", false, "/route//a/../%66oo", "/route/foo"),
    ("/", "/route", true, "/route/a%20b%2fc", "/a%20b%2Fc"),
    ("/", "~/v\\d+", true, "/v12/x", "/x"),
    ("/srv", "~/v\\d+/", false, "/v12/x", "/srv/v12/x"),
];

#[tokio::test]
async fn the_target_sees_service_path_and_request_path_joined() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    for (number, (service, route, strip, request, expected)) in CASES.iter().enumerate() {
        let host = format!("case-{number}.test");
        let url = format!("{}{service}", target.url());
        let created = gateway.admin.create("/services", json!({ "url": url })).await;
        let route =
            json!({ "hosts": [host], "paths": [route], "strip_path": strip, "service": { "id": created["id"] } });
        gateway.admin.create("/routes", route).await;
        let echo = gateway.get_with(request, &[("host", &host)]).await.echo();
        assert_eq!(echo.target(), *expected, "{:?}", CASES[number]);
    }
}

#[tokio::test]
async fn the_query_is_passed_byte_for_byte() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/a", [&target]).start().await;
    for query in ["?b=2&a=1", "?a=%2f%20+&a", "?", "?x=a/../b//c"] {
        assert_eq!(gateway.get(&format!("/a/b{query}")).await.echo().target(), format!("/b{query}"));
    }
}

#[tokio::test]
async fn the_host_is_the_services_unless_it_is_preserved() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route_with("own", &target, json!({ "paths": ["/own"] })).await;
    gateway.route_with("kept", &target, json!({ "paths": ["/kept"], "preserve_host": true })).await;
    let host = [("host", "Shop.test:99")];
    assert_eq!(gateway.get_with("/own", &host).await.echo().header("host"), target.address.to_string());
    assert_eq!(gateway.get_with("/kept", &host).await.echo().header("host"), "Shop.test:99");
}
