//! What happens before the first request: settings, and what is refused.

use crate::harness::{TestGateway, TestTarget};

#[tokio::test]
async fn settings_that_are_wrong_are_all_named() {
    let settings = [("SANDGATE_WORKERS", "many"), ("SANDGATE_COLOUR", "red"), ("SANDGATE_PROXY_LISTEN", "here")];
    let gateway = settings.iter().fold(TestGateway::new(), |gateway, (name, value)| gateway.setting(name, value));
    let error = gateway.try_start().await.err().expect("it does not start");
    for (name, _) in settings {
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = TestTarget::answering("mine").await;
    let gateway = TestGateway::new().setting("SANDGATE_ADMIN_LISTEN", &taken.address.to_string());
    let error = gateway.try_start().await.err().expect("it does not start");
    assert!(error.contains(&taken.address.port().to_string()), "{error}");
}

#[tokio::test]
async fn each_request_leaves_a_line_in_the_access_log() {
    let target = TestTarget::answering("a").await;
    let gateway =
        TestGateway::new().setting("SANDGATE_PROXY_ACCESS_LOG", "access.log").route("/", [&target]).start().await;
    gateway.get("/some/path?x=1").await.expect(200);
    let lines = gateway.lines("access.log", 1).await;
    assert!(lines[0].contains("GET /some/path?x=1") && lines[0].contains("200"), "{}", lines[0]);
}
