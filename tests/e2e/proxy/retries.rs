use serde_json::json;

use crate::harness::{TestGateway, TestTarget};

#[tokio::test]
async fn a_dead_target_costs_no_client_request() {
    let alive = TestTarget::answering("alive").await;
    let dead = TestTarget::refusing();
    let gateway = TestGateway::new().route("/", [&alive, &dead]).start().await;
    assert_eq!(gateway.get_times("/", 10).await, ["alive"; 10]);
}

#[tokio::test]
async fn a_target_that_hangs_up_is_tried_again() {
    let target = TestTarget::closing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.admin.patch("/services/a", json!({ "retries": 3 })).await.expect(200);
    gateway.get("/").await.expect(502);
    assert_eq!(target.count(), 4, "three more tries than one");
}

#[tokio::test]
async fn a_post_is_not_sent_twice() {
    let target = TestTarget::closing().await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    for method in ["POST", "PATCH"] {
        let before = target.count();
        gateway.call(&format!("{method} /")).await.body("money").send().await.expect(502);
        assert_eq!(target.count(), before + 1, "{method}");
    }
}

#[tokio::test]
async fn a_post_that_was_not_sent_goes_to_the_next_target() {
    let alive = TestTarget::echoing().await;
    let dead = TestTarget::refusing();
    let gateway = TestGateway::new().route("/", [&alive, &dead]).start().await;
    for _ in 0..6 {
        let echo = gateway.call("POST /").await.body("money").send().await.echo();
        assert_eq!(echo.body(), "money");
    }
    assert_eq!(alive.count(), 6);
}

#[tokio::test]
async fn a_stale_connection_costs_no_client_request() {
    let target = TestTarget::closing_after_one("fresh").await;
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").route("/", [&target]).start().await;
    gateway.applied().await;
    assert_eq!(gateway.get_times("/", 10).await, ["fresh"; 10]);
}

#[tokio::test]
async fn connections_to_a_target_are_used_again() {
    let target = TestTarget::answering("a").await;
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").route("/", [&target]).start().await;
    gateway.get_times("/", 20).await;
    assert_eq!((target.count(), target.connections()), (20, 1));
}

#[tokio::test]
async fn weights_share_the_requests() {
    let (one, three, none) =
        (TestTarget::answering("1").await, TestTarget::answering("3").await, TestTarget::answering("0").await);
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").start().await;
    gateway.admin.create("/upstreams", json!({ "name": "u" })).await;
    for (target, weight) in [(&one, 1), (&three, 3), (&none, 0)] {
        let target = json!({ "target": target.address.to_string(), "weight": weight });
        gateway.admin.create("/upstreams/u/targets", target).await;
    }
    gateway.admin.create("/services", json!({ "name": "s", "host": "u" })).await;
    gateway.admin.create("/services/s/routes", json!({ "paths": ["/"] })).await;
    gateway.get_times("/", 40).await;
    assert_eq!((one.count(), three.count(), none.count()), (10, 30, 0));
}
