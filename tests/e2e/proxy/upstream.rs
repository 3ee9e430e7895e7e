use serde_json::json;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::harness::{Call, Client, TestGateway, TestTarget, Wire, read_until};

#[tokio::test]
async fn an_ipv6_address_stands_in_brackets_in_the_host_header() {
    let target = TcpListener::bind("[::1]:0").await.unwrap();
    let at = target.local_addr().unwrap();
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "a", "url": format!("http://{at}") })).await;
    assert_eq!(gateway.admin.get("/services/a").await.json()["host"], "::1");
    gateway.admin.create("/services/a/routes", json!({ "paths": ["/"] })).await;
    let mut seen = JoinSet::new();
    seen.spawn(async move {
        let (mut stream, _) = target.accept().await.unwrap();
        let head = read_until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        head
    });
    gateway.get("/").await.expect(200);
    let head = seen.join_next().await.unwrap().unwrap();
    assert!(head.contains(&format!("host: {at}\r\n")), "{head}");
}

#[tokio::test]
async fn targets_may_speak_tls() {
    let target = TestTarget::echoing_over_tls().await;
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").start().await;
    let url = format!("https://{}", target.address);
    gateway.admin.create("/services", json!({ "name": "a", "url": url })).await;
    gateway.admin.create("/services/a/routes", json!({ "paths": ["/"] })).await;
    for _ in 0..3 {
        assert_eq!(gateway.get("/x").await.echo().target(), "/x");
    }
    assert_eq!(target.connections(), 1, "connections with TLS are used again");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_where_that_matters() {
    let target = TestTarget::echoing_over_tls().await;
    let gateway = TestGateway::new().start().await;
    let service = json!({ "name": "a", "url": format!("https://{}", target.address), "tls_verify": true });
    gateway.admin.create("/services", service).await;
    gateway.admin.create("/services/a/routes", json!({ "paths": ["/"] })).await;
    assert!(gateway.get("/").await.status >= 500);
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_broken() {
    let target = TestTarget::waiting().await;
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").route("/", [&target]).start().await;
    gateway.plugin("service-0", "rate-limiting", json!({ "hour": 100 })).await;
    gateway.applied().await;
    for _ in 0..5 {
        let mut stream = TcpStream::connect(gateway.proxy()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        target.arrived().await;
        drop(stream);
    }
    (0..6).for_each(|_| target.release());
    assert_eq!(gateway.get("/").await.expect(200).text(), "done");
}

#[tokio::test]
async fn a_target_that_upgrades_unasked_is_a_bad_gateway() {
    let target =
        TestTarget::raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.get("/").await.expect(502);
}

#[tokio::test]
async fn many_clients_at_once_are_all_answered() {
    let target = TestTarget::answering("you too").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        calls.spawn(Call::new(gateway.proxy(), "GET /").try_send());
    }
    for answer in calls.join_all().await {
        assert_eq!(answer.unwrap().expect(200).text(), "you too");
    }
}

#[tokio::test]
async fn a_request_keeps_the_plugins_that_it_began_with() {
    let target = TestTarget::waiting().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.upload("greeting").await;
    let plugin = gateway.plugin("service-0", "greeting", json!({})).await;
    gateway.applied().await;
    let mut client = Client::connect(gateway.proxy(), Wire::Http1).await.unwrap();
    let mut call = JoinSet::new();
    call.spawn(async move { client.get("/").await });
    target.arrived().await;
    gateway.admin.delete(&format!("/plugins/{}", plugin["id"].as_str().unwrap())).await.expect(204);
    gateway.admin.delete("/modules/greeting").await.expect(204);
    gateway.applied().await;
    target.release();
    let answer = call.join_next().await.unwrap().unwrap().unwrap().expect(200);
    assert_eq!(answer.header("x-greeted-by"), "Hello", "its response phase runs although the plugin is gone");
}
