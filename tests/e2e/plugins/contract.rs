//! The forms in which a plugin may be called and may answer.

use serde_json::json;

use crate::harness::{Gateway, TestGateway, TestTarget};

/// A guest of this name on the route `/`, on one worker.
async fn with_guest(name: &str) -> (Gateway, TestTarget) {
    let target = TestTarget::echoing().await;
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").start().await;
    gateway.route("a", "/", &target).await;
    gateway.upload(name).await;
    gateway.plugin("a", name, json!({})).await;
    gateway.applied().await;
    (gateway, target)
}

#[tokio::test]
async fn a_plugin_made_for_the_phases_with_lists_works() {
    let (gateway, _target) = with_guest("typed").await;
    assert_eq!(gateway.module("typed").await["phases"], json!(["request-headers", "response-headers"]));
    for _ in 0..3 {
        let headers = [("x-first", "one"), ("x-first", "two")];
        let answer = gateway.get_with("/", &headers).await.expect(202);
        assert_eq!(answer.header("x-promised"), "kept");
        assert!(answer.header("x-saw").starts_with("200 "), "{}", answer.header("x-saw"));
        assert!(answer.text().contains("one,none 1"), "{answer:?}");
    }
    let refused = gateway.get_with("/", &[("x-second", "refuse me")]).await.expect(202);
    assert!(refused.text().contains("as asked") && refused.header("x-saw").starts_with("403 "), "{refused:?}");
}

#[tokio::test]
async fn what_was_asked_for_comes_before_what_was_decided() {
    let (gateway, _target) = with_guest("ask").await;
    for (then, expected, method) in [("nothing", "1", "GET"), ("change", "2", "PUT")] {
        let answer = gateway.get_with("/", &[("x-ask", "well"), ("x-then", then)]).await.expect(200);
        assert_eq!([answer.header("x-answered"), answer.header("x-last")], ["2", "3"], "{then}");
        let echo = answer.echo();
        assert_eq!((echo.header("x-asked").as_str(), echo.method()), (expected, method), "{then}");
    }
}

#[tokio::test]
async fn what_was_asked_for_is_void_when_the_plugin_answers() {
    let (gateway, target) = with_guest("ask").await;
    for (then, status) in [("respond", 200), ("refuse", 403)] {
        let answer = gateway.get_with("/", &[("x-ask", "well"), ("x-then", then)]).await.expect(status);
        assert!(!answer.has("x-answered"), "{then}");
    }
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn a_wrong_question_fails_the_call_whatever_is_decided() {
    // Two failures each: the third would open the circuit.
    for cases in [["nothing", "respond"], ["refuse", "change"]] {
        let (gateway, target) = with_guest("ask").await;
        for then in cases {
            let answer = gateway.get_with("/", &[("x-ask", "badly"), ("x-then", then)]).await.expect(503);
            assert!(!answer.has("x-answered"), "{then}");
        }
        assert_eq!(target.count(), 0, "{cases:?}");
        assert_eq!(gateway.module("ask").await["traps"], 2);
        gateway.get("/").await.expect(200);
    }
}

#[tokio::test]
async fn the_request_cannot_be_changed_once_it_was_sent() {
    let (gateway, target) = with_guest("ask").await;
    let answer = gateway.get_with("/", &[("x-ask", "late")]).await;
    assert_eq!((answer.status, target.count()), (503, 1));
    assert_eq!(gateway.module("ask").await["traps"], 1);
}
