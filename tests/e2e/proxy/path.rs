use serde_json::json;

use crate::harness::{TestGateway, TestTarget};

/// Service path, route path (none: by host alone), `strip_path`, requests, what the target sees by `path_handling` v0 and v1.
type Case = (&'static str, &'static str, &'static [bool], &'static [&'static str], &'static str, &'static str);

const CASES: [Case; 34] = [
    ("/", "/", &[true, false], &["/route/req"], "/route/req", "/route/req"),
    ("/", "/route", &[false], &["/routereq"], "/routereq", "/routereq"),
    ("/", "/route", &[true], &["/route", "/route/"], "/", "/"),
    ("/", "/route", &[true], &["/routereq"], "/req", "/req"),
    ("/", "/route/", &[true], &["/route/req"], "/req", "/req"),
    ("/srv", "/rou", &[false], &["/roureq"], "/srv/roureq", "/srvroureq"),
    ("/srv", "/rou", &[true], &["/roureq"], "/srv/req", "/srvreq"),
    ("/srv/", "/rou", &[false], &["/rou"], "/srv/rou", "/srv/rou"),
    ("/srv/", "/rou", &[true], &["/rou"], "/srv", "/srv/"),
    ("/service", "/", &[true, false], &["/"], "/service", "/service"),
    ("/service", "/", &[true, false], &["/route/"], "/service/route/", "/serviceroute/"),
    ("/service", "/route", &[false], &["/route"], "/service/route", "/serviceroute"),
    ("/service", "/route", &[true], &["/route"], "/service", "/service"),
    ("/service", "/route", &[true], &["/route/"], "/service/", "/service/"),
    ("/service", "/route", &[true], &["/routereq"], "/service/req", "/servicereq"),
    ("/service", "/route/", &[true], &["/route/"], "/service/", "/service"),
    ("/service", "/route/", &[true], &["/route/req"], "/service/req", "/servicereq"),
    ("/service/", "/", &[true, false], &["/"], "/service/", "/service/"),
    ("/service/", "/", &[true, false], &["/route"], "/service/route", "/service/route"),
    ("/service/", "/route", &[true], &["/route"], "/service", "/service/"),
    ("/service/", "/route", &[true], &["/route/"], "/service/", "/service/"),
    ("/service/", "/route", &[true], &["/routereq"], "/service/req", "/service/req"),
    ("/service/", "/route/", &[true], &["/route/"], "/service/", "/service/"),
    ("/service/", "/route/", &[true], &["/route/req"], "/service/req", "/service/req"),
    ("/service", "", &[true, false], &["/"], "/service", "/service"),
    ("/service", "", &[true, false], &["/route"], "/service/route", "/serviceroute"),
    ("/service/", "", &[true, false], &["/"], "/service/", "/service/"),
    (
        "/service",
        "/route",
        &[true],
        &["/route./req", "/route%2E/req", "/route../req", "/route%2e%2E/req"],
        "/service/req",
        "/servicereq",
    ),
    ("/service", "/route", &[false], &["/route./req", "/route%2E/req"], "/service/route./req", "/serviceroute./req"),
    (
        "/service",
        "/route",
        &[false],
        &["/route../req", "/route%2E%2E/req"],
        "/service/route../req",
        "/serviceroute../req",
    ),
    ("/", "/route", &[false], &["/route//a/../%66oo"], "/route/foo", "/route/foo"),
    ("/", "/route", &[true], &["/route/a%20b%2fc"], "/a%20b%2Fc", "/a%20b%2Fc"),
    ("/", "~/v\\d+", &[true], &["/v12/x"], "/x", "/x"),
    ("/srv", "~/v\\d+/", &[false], &["/v12/x"], "/srv/v12/x", "/srvv12/x"),
];

/// Asks for every case with this `path_handling`.
async fn joins_paths(gateway: TestGateway, handling: &str) {
    let target = TestTarget::echoing().await;
    let gateway = gateway.start().await;
    for (number, (service, route, strips, ..)) in CASES.iter().enumerate() {
        let url = format!("{}{service}", target.url());
        let created = gateway.admin.create("/services", json!({ "url": url })).await;
        for strip in *strips {
            let host = format!("{strip}-{number}.test");
            let paths: Vec<&str> = Some(*route).filter(|route| !route.is_empty()).into_iter().collect();
            let route = json!({
                "hosts": [host], "paths": paths, "strip_path": strip, "path_handling": handling,
                "service": { "id": created["id"] },
            });
            gateway.admin.create("/routes", route).await;
        }
    }
    for (number, (_, _, strips, requests, v0, v1)) in CASES.iter().enumerate() {
        let expected = if handling == "v1" { v1 } else { v0 };
        for (strip, request) in strips.iter().flat_map(|strip| requests.iter().map(move |request| (strip, request))) {
            let host = format!("{strip}-{number}.test");
            let echo = gateway.get_with(request, &[("host", &host)]).await.echo();
            assert_eq!(echo.target(), *expected, "{request} with {strip}: {:?}", CASES[number]);
        }
    }
}

#[tokio::test]
async fn the_target_sees_service_path_and_request_path_joined() {
    joins_paths(TestGateway::new(), "v0").await;
}

#[tokio::test]
async fn the_traditional_flavor_joins_paths_as_routes_say() {
    let traditional = || TestGateway::new().setting("SANDGATE_ROUTER_FLAVOR", "traditional");
    joins_paths(traditional(), "v0").await;
    joins_paths(traditional(), "v1").await;
}

#[tokio::test]
async fn other_flavors_join_paths_in_one_way() {
    // As Kong's: v1 is stored, and v0 is what is done.
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    let service = json!({ "name": "s", "url": format!("{}/service", target.url()) });
    gateway.admin.create("/services", service).await;
    let route = json!({ "paths": ["/route"], "strip_path": false, "path_handling": "v1" });
    gateway.admin.create("/services/s/routes", route).await;
    assert_eq!(gateway.get("/route").await.echo().target(), "/service/route");
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
