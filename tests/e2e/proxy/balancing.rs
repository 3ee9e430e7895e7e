//! Which target of an upstream gets a request.

use std::collections::HashSet;

use http::Response;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Answer, Gateway, TestGateway, TestTarget, full};

/// A gateway whose one service has an upstream of these fields and as many targets, each answering its number.
async fn gateway(upstream: Value, count: usize) -> (Gateway, Vec<TestTarget>) {
    gateway_with(TestGateway::new(), upstream, count).await
}

async fn gateway_with(gateway: TestGateway, mut upstream: Value, count: usize) -> (Gateway, Vec<TestTarget>) {
    let gateway = gateway.setting("SANDGATE_WORKERS", "1").start().await;
    upstream["name"] = "u".into();
    gateway.admin.create("/upstreams", upstream).await;
    let mut targets = Vec::new();
    for number in 0..count {
        let target = TestTarget::replying(move |_| Response::new(full(number.to_string()))).await;
        join(&gateway, &target, 100).await;
        targets.push(target);
    }
    gateway.admin.create("/services", json!({ "name": "s", "host": "u" })).await;
    gateway.admin.create("/services/s/routes", json!({ "name": "r", "paths": ["/", "~/users/(?<user>[^/]+)"] })).await;
    gateway.applied().await;
    (gateway, targets)
}

async fn join(gateway: &Gateway, target: &TestTarget, weight: u32) {
    let target = json!({ "target": target.address.to_string(), "weight": weight });
    gateway.admin.create("/upstreams/u/targets", target).await;
}

/// The targets that the same request is answered by, ten times.
async fn answers(gateway: &Gateway, line: &str, headers: &[(&str, &str)]) -> HashSet<String> {
    let mut answers = HashSet::new();
    for _ in 0..10 {
        let mut call = gateway.call(line).await;
        for (name, value) in headers {
            call = call.header(name, value);
        }
        answers.insert(call.send().await.expect(200).text());
    }
    answers
}

/// Whether twenty variants of a request each stick to one target, and not all to the same one.
async fn sticks(gateway: &Gateway, variant: impl Fn(usize) -> (String, Option<(&'static str, String)>)) {
    let mut seen = HashSet::new();
    for number in 0..20 {
        let (line, header) = variant(number);
        let headers: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answers = answers(gateway, &line, &headers).await;
        assert_eq!(answers.len(), 1, "{line} {headers:?} goes to {answers:?}");
        seen.extend(answers);
    }
    assert!(seen.len() > 1, "all go to {seen:?}");
}

#[tokio::test]
async fn a_header_decides_where_requests_go() {
    let (gateway, _targets) = gateway(json!({ "hash_on": "header", "hash_on_header": "X-Tenant" }), 4).await;
    sticks(&gateway, |number| ("GET /".to_owned(), Some(("x-tenant", number.to_string())))).await;
}

#[tokio::test]
async fn a_path_decides_where_requests_go() {
    let (gateway, _targets) = gateway(json!({ "hash_on": "path" }), 4).await;
    sticks(&gateway, |number| (format!("GET /{number}?{number}"), None)).await;
}

#[tokio::test]
async fn an_argument_decides_where_requests_go() {
    let (gateway, _targets) = gateway(json!({ "hash_on": "query_arg", "hash_on_query_arg": "id" }), 4).await;
    sticks(&gateway, |number| (format!("GET /?x=1&id={number}"), None)).await;
    let (one, other) =
        (answers(&gateway, "GET /?id=1&id=2", &[]).await, answers(&gateway, "GET /?id=2&id=1", &[]).await);
    assert_eq!(one, other, "whatever the order of its values");
}

#[tokio::test]
async fn a_group_of_the_path_decides_where_requests_go() {
    let (gateway, _targets) = gateway(json!({ "hash_on": "uri_capture", "hash_on_uri_capture": "user" }), 4).await;
    sticks(&gateway, |number| (format!("GET /users/{number}/orders"), None)).await;
}

#[tokio::test]
async fn a_consumer_decides_where_requests_go() {
    let (gateway, _targets) = gateway(json!({ "hash_on": "consumer", "hash_fallback": "path" }), 4).await;
    sticks(&gateway, |number| (format!("GET /{number}"), None)).await;
    gateway.plugin("r", "key-auth", json!({})).await;
    for number in 0..20 {
        gateway.consumer(&format!("c{number}"), &format!("key-{number}")).await;
    }
    sticks(&gateway, |number| ("GET /".to_owned(), Some(("apikey", format!("key-{number}"))))).await;
}

#[tokio::test]
async fn an_address_of_a_client_decides_where_requests_go() {
    let trusting = TestGateway::new().setting("SANDGATE_TRUSTED_IPS", "127.0.0.1");
    let (gateway, _targets) = gateway_with(trusting, json!({ "hash_on": "ip" }), 4).await;
    sticks(&gateway, |number| ("GET /".to_owned(), Some(("x-real-ip", format!("10.0.0.{number}"))))).await;
}

#[tokio::test]
async fn the_fallback_decides_where_the_first_choice_says_nothing() {
    let upstream = json!({
        "hash_on": "header", "hash_on_header": "X-Tenant", "hash_fallback": "query_arg", "hash_fallback_query_arg": "id",
    });
    let (gateway, _targets) = gateway(upstream, 4).await;
    sticks(&gateway, |number| (format!("GET /?id={number}"), None)).await;
    let tenant = [("x-tenant", "a")];
    let (one, other) = (answers(&gateway, "GET /?id=1", &tenant).await, answers(&gateway, "GET /?id=7", &tenant).await);
    assert_eq!(one, other, "the first choice goes before");
    assert_eq!(answers(&gateway, "GET /", &[]).await.len(), 1, "nothing at all is the same for all");
}

#[tokio::test]
async fn a_client_without_the_cookie_gets_one_that_leads_it_back() {
    let upstream = json!({ "hash_on": "cookie", "hash_on_cookie": "sticky", "hash_on_cookie_path": "/shop" });
    let (gateway, _targets) = gateway(upstream, 4).await;
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let first: Answer = gateway.get("/").await.expect(200);
        let cookie = first.header("set-cookie").to_owned();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/shop; Same-Site=Lax; HttpOnly");
        assert!(pair.starts_with("sticky="), "{pair}");
        let cookies = format!("a=b; {pair}");
        let again = answers(&gateway, "GET /", &[("cookie", &cookies)]).await;
        assert_eq!(again, HashSet::from([first.text()]));
        let known = gateway.call("GET /").await.header("cookie", &cookies).send().await;
        assert!(!known.has("set-cookie"), "it has one");
        seen.extend(again);
    }
    assert!(seen.len() > 1);
}

#[tokio::test]
async fn least_connections_goes_where_nothing_waits() {
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").start().await;
    let (busy, free) = (TestTarget::waiting().await, TestTarget::answering("free").await);
    gateway.admin.create("/upstreams", json!({ "name": "u", "algorithm": "least-connections" })).await;
    join(&gateway, &busy, 100).await;
    gateway.admin.create("/services", json!({ "name": "s", "host": "u" })).await;
    gateway.admin.create("/services/s/routes", json!({ "paths": ["/"] })).await;
    let call = gateway.call("GET /").await;
    let mut waiting = JoinSet::new();
    waiting.spawn(call.send());
    busy.arrived().await;
    join(&gateway, &free, 100).await;
    assert_eq!(gateway.get_times("/", 20).await, ["free"; 20]);
    busy.release();
    waiting.join_next().await.unwrap().unwrap().expect(200);
}

#[tokio::test]
async fn latency_leaves_a_failing_target_alone() {
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").start().await;
    let (failing, quick) = (TestTarget::closing().await, TestTarget::answering("quick").await);
    gateway.admin.create("/upstreams", json!({ "name": "u", "algorithm": "latency" })).await;
    join(&gateway, &failing, 100).await;
    join(&gateway, &quick, 100).await;
    gateway.admin.create("/services", json!({ "name": "s", "host": "u" })).await;
    gateway.admin.create("/services/s/routes", json!({ "paths": ["/"] })).await;
    assert_eq!(gateway.get_times("/", 40).await, ["quick"; 40]);
    // It is forgiven in time, and the other one may be slow for a moment; taking turns would be twenty.
    assert!(failing.count() <= 4, "it was asked {} times", failing.count());
}

#[tokio::test]
async fn an_upstream_whose_targets_all_weigh_nothing_has_none() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/upstreams", json!({ "name": "u" })).await;
    gateway.admin.create("/services", json!({ "name": "s", "host": "u" })).await;
    gateway.admin.create("/services/s/routes", json!({ "paths": ["/"] })).await;
    let targets = [TestTarget::answering("never").await, TestTarget::answering("nor this").await];
    for target in &targets {
        let answer = gateway.get("/").await.expect(503);
        assert_eq!(answer.json()["message"], "failure to get a peer from the ring-balancer");
        join(&gateway, target, 0).await;
    }
    gateway.get("/").await.expect(503);
    assert_eq!((targets[0].count(), targets[1].count()), (0, 0));
}

#[tokio::test]
async fn the_host_header_of_the_upstream_is_sent() {
    let gateway = TestGateway::new().start().await;
    let target = TestTarget::echoing().await;
    gateway.admin.create("/upstreams", json!({ "name": "u", "host_header": "inner.test" })).await;
    join(&gateway, &target, 100).await;
    gateway.admin.create("/services", json!({ "name": "s", "host": "u" })).await;
    gateway.admin.create("/services/s/routes", json!({ "paths": ["/"] })).await;
    assert_eq!(gateway.get("/").await.echo().header("host"), "inner.test");
}

#[tokio::test]
async fn a_new_target_is_given_time_to_warm_up() {
    let slow = TestGateway::new().setting("SANDGATE_UPSTREAM_SLOW_START", "1h");
    let (gateway, old) = gateway_with(slow, json!({}), 1).await;
    let new = TestTarget::answering("new").await;
    join(&gateway, &new, 100).await;
    gateway.get_times("/", 200).await;
    assert_eq!(new.count() + old[0].count(), 200);
    assert!((1..60).contains(&new.count()), "a tenth of a half, not {}", new.count());
}
