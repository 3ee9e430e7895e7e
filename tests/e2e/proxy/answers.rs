//! What answers tell of the gateway, by its settings.

use std::{fs, net::SocketAddr};

use http::Response;
use rustix::process::Signal;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::harness::{Answer, Gateway, TestGateway, TestTarget, full};

const OWN: [&str; 7] = [
    "via",
    "server",
    "x-kong-upstream-latency",
    "x-kong-proxy-latency",
    "x-kong-response-latency",
    "x-kong-upstream-status",
    "x-kong-request-id",
];

/// Which of the gateway's headers an answer has.
fn own(answer: &Answer) -> Vec<&'static str> {
    OWN.into_iter().filter(|name| answer.headers.contains_key(*name)).collect()
}

/// Those of a target's answer, of an answer of the gateway and of one of the Admin API, with this in `headers`.
async fn told(setting: &str) -> [Vec<&'static str>; 3] {
    let target = TestTarget::replying(|_| Response::new(full("a"))).await;
    let gateway = TestGateway::new().setting("SANDGATE_HEADERS", setting).route("/a", [&target]).start().await;
    let proxied = own(&gateway.get("/a").await.expect(200));
    let refused = own(&gateway.get("/b").await.expect(404));
    let admin = gateway.admin.get("/services").await;
    let names = ["server", "x-kong-admin-latency"];
    [proxied, refused, names.into_iter().filter(|name| admin.headers.contains_key(*name)).collect()]
}

#[tokio::test]
async fn headers_are_those_that_the_setting_names() {
    let [proxied, refused, admin] = told("server_tokens, latency_tokens, X-Kong-Request-Id").await;
    assert_eq!(proxied, ["via", "x-kong-upstream-latency", "x-kong-proxy-latency", "x-kong-request-id"]);
    assert_eq!(refused, ["server", "x-kong-response-latency", "x-kong-request-id"]);
    assert_eq!(admin, ["server", "x-kong-admin-latency"]);
    assert!(told("off").await.iter().all(Vec::is_empty));
    let [proxied, refused, admin] = told("via, X-Kong-Upstream-Status,X-Kong-Response-Latency").await;
    assert_eq!(
        (proxied, refused, admin.len()),
        (vec!["via", "x-kong-upstream-status"], vec!["x-kong-response-latency"], 0)
    );
}

#[tokio::test]
async fn the_status_of_the_target_shows_behind_that_of_a_plugin() {
    let target = TestTarget::replying(|_| Response::builder().status(201).body(full("a")).unwrap()).await;
    let gateway =
        TestGateway::new().setting("SANDGATE_HEADERS", "X-Kong-Upstream-Status").route("/", [&target]).start().await;
    let answer = gateway.get("/").await.expect(201);
    assert_eq!(answer.headers["x-kong-upstream-status"], "201");
}

#[tokio::test]
async fn an_upstream_without_targets_was_never_asked() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/upstreams", json!({ "name": "empty" })).await;
    gateway.admin.create("/services", json!({ "name": "s", "host": "empty" })).await;
    gateway.admin.create("/services/s/routes", json!({ "paths": ["/"] })).await;
    let answer = gateway.get("/").await.expect(503);
    assert_eq!(own(&answer), ["server", "x-kong-response-latency", "x-kong-request-id"]);
}

#[tokio::test]
async fn targets_need_not_hear_the_id_of_a_request() {
    let target = TestTarget::echoing().await;
    let silent = TestGateway::new().setting("SANDGATE_HEADERS_UPSTREAM", "off").route("/", [&target]).start().await;
    let echo = silent.get_with("/", &[("x-kong-request-id", "the client's")]).await.echo();
    assert_eq!(echo.header("x-kong-request-id"), "the client's", "as from Kong");
}

#[tokio::test]
async fn who_may_ask_hears_which_route_it_was() {
    let target = TestTarget::answering("a").await;
    for (switch, is_told) in [("on", true), ("off", false)] {
        let gateway = TestGateway::new().setting("SANDGATE_ALLOW_DEBUG_HEADER", switch).start().await;
        let service = gateway.admin.create("/services", json!({ "name": "s", "url": target.url() })).await;
        let route = gateway.admin.create("/services/s/routes", json!({ "name": "r", "paths": ["/"] })).await;
        let answer = gateway.get_with("/", &[("kong-debug", "1")]).await.expect(200);
        let said = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let wanted = |value: &Value| is_told.then(|| value.as_str().unwrap().to_owned());
        assert_eq!(said("kong-route-id"), wanted(&route["id"]));
        assert_eq!(said("kong-route-name"), wanted(&json!("r")));
        assert_eq!(said("kong-service-id"), wanted(&service["id"]));
        assert_eq!(said("kong-service-name"), wanted(&json!("s")));
        let unasked = gateway.get("/").await.expect(200);
        assert!(!unasked.headers.contains_key("kong-route-id"));
    }
}

fn output(answer: &Answer) -> Option<Value> {
    answer.headers.get("x-kong-request-debug-output").map(|text| serde_json::from_slice(text.as_bytes()).unwrap())
}

#[tokio::test]
async fn who_may_ask_hears_where_the_time_went() {
    let target = TestTarget::echoing().await;
    let token = "a-token-of-the-tests";
    let gateway = TestGateway::new().setting("SANDGATE_REQUEST_DEBUG_TOKEN", token);
    let gateway = gateway.setting("SANDGATE_TRUSTED_IPS", "127.0.0.0/8").route("/", [&target]).start().await;
    gateway.admin.create("/plugins", json!({ "name": "correlation-id", "config": { "echo_downstream": true } })).await;
    let near = gateway.get_with("/", &[("x-kong-request-debug", "*")]).await.expect(200);
    let tree = output(&near).expect("this machine may ask");
    assert_eq!(tree["request_id"].as_str().unwrap().as_bytes(), near.headers["x-kong-request-id"].as_bytes());
    let time = |tree: &Value| tree["total_time"].as_f64().unwrap();
    let children = &tree["child"];
    let upstream = &children["upstream"];
    assert!(time(&tree) >= time(&children["access"]) + time(upstream), "{tree}");
    assert_eq!(time(&upstream["child"]["time_to_first_byte"]), time(upstream), "{tree}");
    assert!(time(&children["access"]["child"]["plugins"]["child"]["correlation-id"]) > 0.0, "{tree}");
    assert!(time(&children["header_filter"]) >= 0.0, "{tree}");
    let far = ("x-real-ip", "192.0.2.1");
    let asked = [far, ("x-kong-request-debug", "*")];
    assert_eq!(output(&gateway.get_with("/", &asked).await.expect(200)), None);
    let known = [far, ("x-kong-request-debug", "*"), ("x-kong-request-debug-token", token)];
    let answer = gateway.get_with("/", &known).await.expect(200);
    assert!(output(&answer).is_some());
    assert!(!answer.text().contains(token), "the token is not for the target");
    assert_eq!(output(&gateway.get("/").await), None);
}

#[tokio::test]
async fn errors_are_worded_as_files_say() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let gateway = TestGateway::new()
        .setting("SANDGATE_ERROR_TEMPLATE_JSON", &file("json", r#"{"error":"%s","id":"%s"}"#))
        .setting("SANDGATE_ERROR_TEMPLATE_HTML", &file("html", "<h1>100%% %s</h1>"))
        .setting("SANDGATE_ERROR_DEFAULT_TYPE", "text/html")
        .start()
        .await;
    let decided = gateway.get_with("/", &[("accept", "application/json")]).await.expect(404);
    let id = decided.headers["x-kong-request-id"].to_str().unwrap();
    assert_eq!(decided.json(), json!({ "error": "no Route matched with those values", "id": id }));
    // 405: what Kong's proxy refuses itself, for a client that says nothing of types.
    let broken = gateway.call("TRACE /").await.send().await.expect(405);
    assert_eq!(broken.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(broken.text(), "<h1>100% Method not allowed</h1>");
    file("html", "<h2>%s</h2>");
    gateway.process.signal(Signal::HUP).unwrap();
    let asks = async || gateway.call("TRACE /").await.send().await.text() == "<h2>Method not allowed</h2>";
    gateway.until(asks).await;
    file("html", "no place");
    gateway.process.signal(Signal::HUP).unwrap();
    gateway.process.log.line("errors are worded as before", std::time::Duration::from_secs(30)).await.unwrap();
    assert!(asks().await);
}

#[tokio::test]
async fn a_template_without_a_place_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain");
    fs::write(&path, "sorry").unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_ERROR_TEMPLATE_PLAIN", path.to_str().unwrap());
    let error = gateway.try_start().await.err().expect("it must not start");
    assert!(error.contains("has no place for the message"), "{error}");
}

/// A port that nobody else gets, and that the gateway may listen on.
fn reserved() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Whether a route of this host, with its port, takes a request that names none.
async fn takes(gateway: &Gateway, host: &str) -> bool {
    gateway.get_with("/", &[("host", host.split(':').next().unwrap())]).await.status == 200
}

#[tokio::test]
async fn clients_know_a_port_by_another() {
    let (_held, address) = reserved();
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new()
        .setting("SANDGATE_PROXY_LISTEN", &format!("{address} reuseport, 127.0.0.1:0 ssl"))
        .setting("SANDGATE_PORT_MAPS", &format!("80:{}", address.port()))
        .start()
        .await;
    gateway.admin.create("/services", json!({ "name": "s", "url": target.url() })).await;
    for host in ["outside.test:80".to_owned(), format!("inside.test:{}", address.port())] {
        gateway.admin.create("/services/s/routes", json!({ "hosts": [host] })).await;
    }
    let echo = gateway.get_with("/", &[("host", "outside.test")]).await.expect(200).echo();
    assert_eq!(echo.header("x-forwarded-port"), "80");
    assert!(!takes(&gateway, "inside.test").await);
}
