//! What the gateway says of itself, where a target was asked in vain or nothing is to be said, and what a request says about
//! itself.

use serde_json::{Value, json};

use crate::harness::{Answer, TestGateway, TestTarget, Wire, exchange};

/// The times that an answer tells.
fn times(answer: &Answer) -> Option<Value> {
    let output = answer.headers.get("x-kong-request-debug-output")?;
    Some(serde_json::from_slice(output.as_bytes()).unwrap())
}

#[tokio::test]
async fn a_node_that_says_nothing_of_itself_does_not_to_the_malformed_either() {
    let gateway = TestGateway::new().setting("SANDGATE_HEADERS", "off").start().await;
    let malformed = exchange(gateway.proxy(), b"GET / HTTP/1.1\r\nHost : a\r\n\r\n").await.to_lowercase();
    assert!(malformed.starts_with("http/1.1 400"), "{malformed}");
    assert!(!malformed.contains("server:") && !malformed.contains("x-kong-"), "{malformed}");
}

#[tokio::test]
async fn a_target_that_was_asked_in_vain_has_a_status_too() {
    let dead = TestTarget::refusing();
    let gateway = TestGateway::new().setting("SANDGATE_HEADERS", "X-Kong-Upstream-Status, Via");
    let gateway = gateway.route("/", [&dead]).start().await;
    let answer = gateway.get("/").await.expect(502);
    assert_eq!(answer.header("x-kong-upstream-status"), "502");
    assert!(answer.has("via") && !answer.has("server"));
}

#[tokio::test]
async fn a_client_of_this_machine_may_ask_what_took_how_long() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let plugin = gateway.plugin("service-0", "correlation-id", json!({ "echo_downstream": true })).await;
    for wire in [Wire::Http1, Wire::TlsHttp2] {
        let call = if wire == Wire::Http1 { gateway.call("GET /").await } else { gateway.call_tls("GET /").await };
        let answer = call.over(wire).header("x-kong-request-debug", "*").send().await;
        let times = times(&answer).unwrap();
        assert_eq!(times["request_id"], answer.header("x-kong-request-id"), "{wire:?}");
        let total = times["total_time"].as_f64().unwrap();
        let access = &times["child"]["access"];
        let id = plugin["id"].as_str().unwrap();
        for part in [
            access,
            &access["child"]["router"],
            &access["child"]["plugins"]["child"]["correlation-id"]["child"][id],
            &times["child"]["balancer"],
            &times["child"]["upstream"]["child"]["time_to_first_byte"],
            &times["child"]["header_filter"],
        ] {
            let took = part["total_time"].as_f64().unwrap_or_else(|| panic!("{wire:?}: {times}"));
            assert!((0.0..=total).contains(&took), "{wire:?}: {times}");
        }
        assert!(!answer.echo().has("x-kong-request-debug"));
    }
}

#[tokio::test]
async fn requests_that_reach_no_target_are_timed_as_far_as_they_came() {
    let gateway = TestGateway::new().start().await;
    let answer = gateway.get_with("/", &[("x-kong-request-debug", "*")]).await.expect(404);
    let told = times(&answer).unwrap();
    assert!(told["child"]["access"]["child"]["router"]["total_time"].is_number(), "{told}");
    assert!(told["child"]["upstream"].is_null() && told["child"]["balancer"].is_null(), "{told}");
    let answer = gateway.get_with("/", &[("x-kong-request-debug", "plugins")]).await;
    assert!(times(&answer).is_none(), "only * has a meaning");
}

#[tokio::test]
async fn clients_of_other_machines_need_the_token() {
    let target = TestTarget::echoing().await;
    let settings = [("SANDGATE_TRUSTED_IPS", "127.0.0.0/8"), ("SANDGATE_REQUEST_DEBUG_TOKEN", "open-sesame-0123456")];
    let gateway = settings.iter().fold(TestGateway::new(), |gateway, (name, value)| gateway.setting(name, value));
    let gateway = gateway.route("/", [&target]).start().await;
    for (token, is_told) in [("open-sesame-0123456", true), ("open-sesame-012345", false), ("", false)] {
        let headers = [
            ("x-real-ip", "192.0.2.1"),
            ("x-kong-request-debug", "*"),
            ("x-kong-request-debug-token", token),
            ("x-kong-request-debug-log", "true"),
        ];
        let answer = gateway.get_with("/", &headers).await.expect(200);
        assert_eq!(times(&answer).is_some(), is_told, "{token}");
        let echo = answer.echo();
        let sent = ["x-kong-request-debug", "x-kong-request-debug-token", "x-kong-request-debug-log"];
        assert!(sent.iter().all(|name| !echo.has(name)), "{token}");
    }
    let said = gateway.process.log.line("[request-debug]", std::time::Duration::from_secs(30)).await;
    assert!(said.is_ok(), "who may ask may have it in the log too");
}

#[tokio::test]
async fn without_a_token_only_this_machine_may_ask_and_without_the_setting_nobody() {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().setting("SANDGATE_TRUSTED_IPS", "127.0.0.0/8").route("/", [&target]).start().await;
    let headers = [("x-real-ip", "192.0.2.1"), ("x-kong-request-debug", "*"), ("x-kong-request-debug-token", "")];
    let answer = gateway.get_with("/", &headers).await;
    assert!(times(&answer).is_none() && !answer.echo().has("x-kong-request-debug-token"));
    let gateway = TestGateway::new().setting("SANDGATE_REQUEST_DEBUG", "off").route("/", [&target]).start().await;
    let answer = gateway.get_with("/", &[("x-kong-request-debug", "*")]).await;
    assert!(times(&answer).is_none());
    assert_eq!(answer.echo().header("x-kong-request-debug"), "*", "a header like any other then");
}
