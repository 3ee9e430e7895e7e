//! Names of targets: what servers say, and what becomes of requests when they say something else or nothing.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::harness::{Gateway, Load, Mood, TestDns, TestGateway, TestTarget};

const FIRST: &str = "127.0.0.1";
const SECOND: &str = "127.0.0.2";
/// No line of the log takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway that asks this server of names.
fn asking(dns: &TestDns) -> TestGateway {
    let gateway = TestGateway::new().setting("SANDGATE_DNS_RESOLVER", &dns.address.to_string());
    // A question that is not asked again can be counted.
    let gateway = gateway.setting("RES_OPTIONS", "timeout:20");
    gateway.setting("SANDGATE_WORKERS", "1").setting("SANDGATE_DNS_NOT_FOUND_TTL", "1")
}

/// With a service of this host, and a route to it.
async fn leading_to(gateway: TestGateway, host: &str, port: u16) -> Gateway {
    let gateway = gateway.start().await;
    gateway.admin.create("/services", json!({ "name": "s", "host": host, "port": port })).await;
    gateway.admin.create("/services/s/routes", json!({ "paths": ["/"] })).await;
    gateway.applied().await;
    gateway
}

/// As [`leading_to`], by way of an upstream.
async fn balanced(gateway: TestGateway, mut upstream: Value, target: &str) -> Gateway {
    let gateway = leading_to(gateway, "u", 80).await;
    upstream["name"] = "u".into();
    gateway.admin.create("/upstreams", upstream).await;
    gateway.admin.create("/upstreams/u/targets", json!({ "target": target, "weight": 10 })).await;
    gateway.applied().await;
    gateway
}

/// The row of the only target of the upstream.
async fn row(gateway: &Gateway) -> Value {
    gateway.admin.get("/upstreams/u/health").await.expect(200).json()["data"][0].clone()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts
}

#[tokio::test]
async fn the_addresses_of_a_name_take_turns() {
    let (dns, [one, other]) = (TestDns::start().await, TestTarget::neighbours([FIRST, SECOND]).await);
    dns.addresses("a.test", 60, &[SECOND, FIRST]);
    let gateway = leading_to(asking(&dns), "A.test", one.address.port()).await;
    gateway.get_times("/", 10).await;
    assert_eq!((one.count(), other.count()), (5, 5));
    assert_eq!(dns.asked("a.test"), 2, "for SRV and for A, once each");
    let host = one.seen()[0].headers["host"].to_str().unwrap().to_owned();
    assert_eq!(host, format!("A.test:{}", one.address.port()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_an_answer_changes() {
    let (dns, [one, other]) = (TestDns::start().await, TestTarget::neighbours([FIRST, SECOND]).await);
    dns.addresses("a.test", 1, &[FIRST]);
    let gateway = asking(&dns).setting("SANDGATE_WORKERS", "2");
    let gateway = balanced(gateway, json!({}), &format!("a.test:{}", one.address.port())).await;
    assert_eq!(gateway.get("/").await.expect(200).text(), FIRST);
    let load = Load::start(gateway.proxy(), "/", 4);
    for addresses in [&[SECOND][..], &[FIRST, SECOND], &[FIRST]] {
        dns.addresses("a.test", 1, addresses);
        let expected = sorted(addresses.iter().map(ToString::to_string).collect());
        let shown = async || {
            let rows = row(&gateway).await["data"]["addresses"].as_array().cloned().unwrap_or_default();
            sorted(rows.iter().map(|row| row["ip"].as_str().unwrap().to_owned()).collect())
        };
        gateway.until(async || shown().await == expected).await;
    }
    let (asked_before, asked) = (load.requests(), one.count());
    load.made(asked_before + 20).await;
    assert!(one.count() > asked);
    load.stop_without_failures(20).await;
    assert!(other.count() > 0);
}

#[tokio::test]
async fn an_old_answer_is_used_while_servers_fail_until_the_name_is_gone() {
    let (dns, target) = (TestDns::start().await, TestTarget::answering("a").await);
    dns.addresses("a.test", 1, &[FIRST]);
    let gateway = leading_to(asking(&dns), "a.test", target.address.port()).await;
    gateway.get("/").await.expect(200);
    dns.turn(Mood::Failing);
    gateway.process.log.line("a name does not resolve", PATIENCE).await.unwrap();
    gateway.get("/").await.expect(200);
    let metrics = gateway.admin.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("sandgate_dns_lookups_total{result=\"failed\"} "), "{metrics}");
    dns.forget("a.test");
    dns.turn(Mood::Well);
    let answer = gateway.eventually("/", |answer| answer.status == 503).await;
    assert_eq!(answer.json()["message"], "name resolution failed");
    dns.addresses("a.test", 1, &[FIRST]);
    gateway.eventually("/", |answer| answer.status == 200).await;
    gateway.process.log.line("a name resolves again", PATIENCE).await.unwrap();
}

#[tokio::test]
async fn an_old_answer_is_used_no_longer_than_it_may_be() {
    let (dns, target) = (TestDns::start().await, TestTarget::answering("a").await);
    dns.addresses("a.test", 1, &[FIRST]);
    let gateway = asking(&dns).setting("SANDGATE_DNS_STALE_TTL", "0");
    let gateway = leading_to(gateway, "a.test", target.address.port()).await;
    gateway.get("/").await.expect(200);
    dns.turn(Mood::Failing);
    let answer = gateway.eventually("/", |answer| answer.status == 500).await;
    let expected = "failed the initial dns/balancer resolve for 'a.test' with: dns server error: 2 server failure";
    assert_eq!(answer.json()["message"], expected);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_503_and_is_not_asked_for_by_each_request() {
    let dns = TestDns::start().await;
    let gateway = asking(&dns).setting("SANDGATE_DNS_NOT_FOUND_TTL", "60");
    let gateway = leading_to(gateway, "a.test", 80).await;
    for _ in 0..5 {
        let answer = gateway.get("/").await.expect(503);
        assert_eq!(answer.json()["message"], "name resolution failed");
    }
    assert_eq!(dns.asked("a.test"), 2, "for SRV and for A");
}

#[tokio::test]
async fn services_of_lowest_priority_give_ports_and_weights() {
    let dns = TestDns::start().await;
    let targets = [TestTarget::answering("a").await, TestTarget::answering("b").await];
    let spare = TestTarget::answering("spare").await;
    let [a, b] = targets.each_ref().map(|target| target.address.port());
    let services = [(1, 3, a, "x.test"), (1, 1, b, "y.test"), (2, 100, spare.address.port(), "x.test")];
    dns.services("_s._tcp.test", 60, &services);
    dns.addresses("x.test", 60, &[FIRST]);
    dns.addresses("y.test", 60, &[FIRST]);
    let plain = leading_to(asking(&dns), "_s._tcp.test", 1).await;
    plain.get_times("/", 8).await;
    assert_eq!(targets.each_ref().map(TestTarget::count), [6, 2], "a service alone");
    let balanced = balanced(asking(&dns), json!({ "use_srv_name": true }), "_s._tcp.test:1").await;
    balanced.get_times("/", 8).await;
    assert_eq!(targets.each_ref().map(TestTarget::count), [12, 4], "a target of an upstream");
    assert_eq!(spare.count(), 0);
    let shown = row(&balanced).await;
    assert_eq!((&shown["data"]["dns"], &shown["data"]["weight"]["total"]), (&json!("SRV"), &json!(4)));
    let host = targets[1].seen().last().unwrap().headers["host"].to_str().unwrap().to_owned();
    assert_eq!(host, format!("y.test:{b}"));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_asked_for_over_tcp() {
    let (dns, target) = (TestDns::start().await, TestTarget::answering("a").await);
    dns.addresses("a.test", 60, &[FIRST]);
    dns.turn(Mood::Truncating);
    let gateway = leading_to(asking(&dns), "a.test", target.address.port()).await;
    gateway.get("/").await.expect(200);
    assert!(dns.over_tcp() > 0);
}

#[tokio::test]
async fn the_hosts_file_goes_over_servers_and_is_read_again() {
    let (dns, folder) = (TestDns::start().await, tempfile::tempdir().unwrap());
    let [one, _other] = TestTarget::neighbours([FIRST, SECOND]).await;
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 other.test A.test # of the test\n").unwrap();
    dns.addresses("a.test", 60, &[SECOND]);
    let gateway = asking(&dns).setting("SANDGATE_DNS_HOSTSFILE", hosts.to_str().unwrap());
    let gateway = leading_to(gateway.setting("SANDGATE_DNS_VALID_TTL", "1"), "a.test", one.address.port()).await;
    assert_eq!(gateway.get("/").await.expect(200).text(), FIRST);
    assert_eq!(dns.asked("a.test"), 0);
    fs::write(&hosts, "").unwrap();
    gateway.eventually("/", |answer| answer.text() == SECOND).await;
}

#[tokio::test]
async fn a_short_name_is_looked_for_in_the_search_domains() {
    let (dns, target) = (TestDns::start().await, TestTarget::answering("a").await);
    dns.addresses("db.b.corp.test", 60, &[FIRST]);
    let gateway =
        asking(&dns).setting("LOCALDOMAIN", "a.corp.test b.corp.test").setting("RES_OPTIONS", "ndots:2 timeout:20");
    let gateway = leading_to(gateway, "db", target.address.port()).await;
    gateway.get("/").await.expect(200);
    let asked = ["db.a.corp.test", "db.b.corp.test", "db"].map(|name| dns.asked(name));
    assert_eq!(asked, [2, 2, 1], "as it is last, and not once it is found");
}

#[tokio::test]
async fn addresses_of_ipv6_are_asked_for_where_the_order_says_so() {
    let (dns, [target]) = (TestDns::start().await, TestTarget::neighbours(["::1"]).await);
    dns.addresses("a.test", 60, &["::1"]);
    let gateway = leading_to(asking(&dns), "a.test", target.address.port()).await;
    let answer = gateway.get("/").await.expect(503);
    assert_eq!(answer.json()["message"], "name resolution failed");
    let gateway = asking(&dns).setting("SANDGATE_DNS_ORDER", "LAST,A,AAAA");
    let gateway = leading_to(gateway, "a.test", target.address.port()).await;
    assert_eq!(gateway.get("/").await.expect(200).text(), "::1");
}

#[tokio::test]
async fn a_request_waits_for_a_name_that_nobody_asked_for_before_but_not_for_ever() {
    let (dns, target) = (TestDns::start().await, TestTarget::answering("a").await);
    dns.addresses("a.test", 60, &[FIRST]);
    dns.turn(Mood::Silent);
    let gateway = leading_to(asking(&dns), "a.test", target.address.port()).await;
    gateway.admin.patch("/services/s", json!({ "connect_timeout": 50 })).await.expect(200);
    let answer = gateway.get("/").await.expect(500);
    let expected = "failed the initial dns/balancer resolve for 'a.test' with: dns client error: timeout";
    assert_eq!(answer.json()["message"], expected);
    gateway.admin.patch("/services/s", json!({ "connect_timeout": 30_000 })).await.expect(200);
    let call = gateway.call("GET /").await;
    let (answer, ()) = tokio::join!(call.send(), async { dns.turn(Mood::Well) });
    answer.expect(200);
}

#[tokio::test]
async fn each_address_of_a_target_has_a_health_of_its_own() {
    let (dns, [bad, good]) = (TestDns::start().await, TestTarget::neighbours([FIRST, SECOND]).await);
    dns.addresses("a.test", 1, &[FIRST, SECOND]);
    let (target, checks) = (format!("a.test:{}", bad.address.port()), json!({ "tcp_failures": 1 }));
    let upstream = json!({ "healthchecks": { "passive": { "unhealthy": checks } } });
    let gateway = balanced(asking(&dns), upstream, &target).await;
    let fares = async || {
        let row = row(&gateway).await;
        let of = |at: usize| row["data"]["addresses"][at]["health"].as_str().unwrap_or_default().to_owned();
        [row["health"].as_str().unwrap().to_owned(), of(0), of(1)]
    };
    let port = bad.address.port();
    let mark =
        async |path: String| gateway.admin.put(&format!("/upstreams/u/targets/{target}/{path}"), json!({})).await;
    assert_eq!(fares().await, ["HEALTHY", "HEALTHY", "HEALTHY"]);
    mark(format!("{FIRST}:{port}/unhealthy")).await.expect(204);
    assert_eq!(fares().await, ["HEALTHY", "UNHEALTHY", "HEALTHY"]);
    assert_eq!(sorted(gateway.get_times("/", 4).await), [SECOND; 4]);
    let metrics = gateway.admin.get("/metrics").await.expect(200).text();
    for (address, state, value) in [(FIRST, "unhealthy", 1), (FIRST, "healthy", 0), (SECOND, "healthy", 1)] {
        let labels = format!("upstream=\"u\",target=\"{target}\",address=\"{address}:{port}\",state=\"{state}\"");
        let line = format!("kong_upstream_target_health{{{labels},subsystem=\"http\"}} {value}\n");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    mark("unhealthy".to_owned()).await.expect(204);
    assert_eq!(fares().await, ["UNHEALTHY"; 3]);
    gateway.get("/").await.expect(503);
    mark(format!("{SECOND}:{port}/healthy")).await.expect(204);
    mark(format!("127.0.0.3:{port}/healthy")).await.expect(404);
    gateway.get("/").await.expect(200);
    assert_eq!(good.count(), 5);
}

#[tokio::test]
async fn a_target_whose_name_is_gone_has_a_dns_error_and_the_others_serve() {
    let (dns, target) = (TestDns::start().await, TestTarget::answering("a").await);
    dns.addresses("a.test", 1, &[FIRST]);
    let gateway = balanced(asking(&dns), json!({}), &format!("a.test:{}", target.address.port())).await;
    gateway.get("/").await.expect(200);
    assert_eq!(row(&gateway).await["health"], "HEALTHCHECKS_OFF");
    dns.forget("a.test");
    gateway.until(async || row(&gateway).await["health"] == "DNS_ERROR").await;
    let shown = row(&gateway).await;
    assert_eq!(
        (&shown["data"]["dns"], &shown["data"]["addresses"]),
        (&json!("dns server error: 3 name error"), &json!({}))
    );
    let answer = gateway.get("/").await.expect(503);
    assert_eq!(answer.json()["message"], "failure to get a peer from the ring-balancer");
    gateway.admin.create("/upstreams/u/targets", json!({ "target": target.address.to_string() })).await;
    gateway.get("/").await.expect(200);
}

#[tokio::test]
async fn active_checks_ask_each_address_of_a_name() {
    let (dns, [one, other]) = (TestDns::start().await, TestTarget::neighbours([FIRST, SECOND]).await);
    dns.addresses("a.test", 60, &[FIRST, SECOND]);
    let active = json!({ "http_path": "/health", "healthy": { "interval": 0.05, "successes": 1 } });
    let upstream = json!({ "healthchecks": { "active": active } });
    let gateway = balanced(asking(&dns), upstream, &format!("a.test:{}", one.address.port())).await;
    gateway.until(async || one.count() > 1 && other.count() > 1).await;
    let host = other.seen()[0].headers["host"].to_str().unwrap().to_owned();
    assert_eq!((&*other.seen()[0].target, &*host), ("/health", "a.test"));
}

#[tokio::test]
async fn the_file_of_the_machine_is_read_again_when_it_changes() {
    let (dns, folder) = (TestDns::start().await, tempfile::tempdir().unwrap());
    let [one, _other] = TestTarget::neighbours([FIRST, SECOND]).await;
    dns.addresses("db.one.test", 1, &[FIRST]);
    dns.addresses("db.two.test", 1, &[SECOND]);
    let file = folder.path().join("resolv.conf");
    fs::write(&file, "search one.test\n").unwrap();
    let gateway = asking(&dns).setting("SANDGATE_DNS_RESOLV_CONF", file.to_str().unwrap());
    let gateway = leading_to(gateway, "db", one.address.port()).await;
    assert_eq!(gateway.get("/").await.expect(200).text(), FIRST);
    // As programs do that keep the file: another one in its place.
    let next = folder.path().join("next");
    fs::write(&next, "search two.test one.test\n").unwrap();
    fs::rename(&next, &file).unwrap();
    gateway.eventually("/", |answer| answer.text() == SECOND).await;
    fs::remove_file(&file).unwrap();
    gateway.process.log.line("the servers of names stay as they are", PATIENCE).await.unwrap();
    assert_eq!(gateway.get("/").await.expect(200).text(), SECOND);
}
