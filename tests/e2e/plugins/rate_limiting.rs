use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget, within_an_hour};

async fn limited(config: Value) -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().start().await;
    gateway.route("a", "/", &target).await;
    gateway.plugin("a", "rate-limiting", config).await;
    within_an_hour().await;
    (gateway, target)
}

#[tokio::test]
async fn the_limit_holds_and_is_told() {
    let (gateway, target) = limited(json!({ "hour": 3 })).await;
    for remaining in ["2", "1", "0"] {
        let answer = gateway.get("/").await.expect(200);
        assert_eq!(answer.header("x-ratelimit-limit-hour"), "3");
        assert_eq!(answer.header("x-ratelimit-remaining-hour"), remaining);
        assert_eq!((answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")), ("3", remaining));
        assert!((1..=3600).contains(&answer.header("ratelimit-reset").parse().unwrap()));
    }
    let answer = gateway.get("/").await.expect(429);
    assert_eq!(answer.json()["message"], "API rate limit exceeded");
    assert_eq!(answer.header("retry-after"), answer.header("ratelimit-reset"));
    assert_eq!(answer.header("x-ratelimit-remaining-hour"), "0");
    assert_eq!(target.count(), 3);
}

#[tokio::test]
async fn the_limit_holds_over_all_workers() {
    let (gateway, target) = limited(json!({ "hour": 20 })).await;
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(gateway.get("/").await.status);
    }
    assert_eq!((target.count(), statuses.iter().filter(|status| **status == 429).count()), (20, 10));
}

#[tokio::test]
async fn each_consumer_has_a_limit_of_its_own() {
    let (gateway, _target) = limited(json!({ "hour": 1 })).await;
    gateway.plugin("a", "key-auth", json!({})).await;
    for name in ["ann", "bob"] {
        gateway.consumer(name, name).await;
    }
    for (key, status) in [("ann", 200), ("ann", 429), ("bob", 200), ("bob", 429)] {
        assert_eq!(gateway.get(&format!("/?apikey={key}")).await.status, status, "{key}");
    }
}

#[tokio::test]
async fn limits_may_go_by_header_or_path() {
    let (gateway, _target) = limited(json!({ "hour": 1, "limit_by": "header", "header_name": "x-who" })).await;
    for (who, status) in [("a", 200), ("b", 200), ("a", 429)] {
        assert_eq!(gateway.get_with("/", &[("x-who", who)]).await.status, status, "{who}");
    }
    let (gateway, _target) = limited(json!({ "hour": 1, "limit_by": "path", "path": "/hot" })).await;
    for (path, status) in [("/hot", 200), ("/cold", 200), ("/hot", 429)] {
        assert_eq!(gateway.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn words_status_and_silence_can_be_chosen() {
    let config = json!({ "year": 1, "error_code": 503, "error_message": "later", "hide_client_headers": true });
    let (gateway, _target) = limited(config).await;
    gateway.get("/").await.expect(200);
    let answer = gateway.get("/").await.expect(503);
    assert_eq!(answer.json()["message"], "later");
    assert!(!answer.has("retry-after") && !answer.has("ratelimit-limit") && !answer.has("x-ratelimit-limit-year"));
}

#[tokio::test]
async fn a_second_passes() {
    let (gateway, _target) = limited(json!({ "second": 1 })).await;
    gateway.eventually("/", |answer| answer.status == 429).await;
    gateway.eventually("/", |answer| answer.status == 200).await;
}

#[tokio::test]
async fn limits_that_make_no_sense_are_refused() {
    let gateway = TestGateway::new().start().await;
    for (label, config) in [
        ("none", json!({})),
        ("not positive", json!({ "hour": 0 })),
        ("an hour less than a minute", json!({ "minute": 10, "hour": 5 })),
        ("no header to go by", json!({ "hour": 1, "limit_by": "header" })),
        ("an unknown policy", json!({ "hour": 1, "policy": "magic" })),
    ] {
        let answer = gateway.admin.post("/plugins", json!({ "name": "rate-limiting", "config": config })).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(2)), "{label}");
    }
}
