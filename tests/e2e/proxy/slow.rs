//! Slow clients, as `slowhttptest` makes them: they are gone within the limits, and nobody else notices.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::refusals::refused;
use crate::harness::{Gateway, Load, TestGateway, TestTarget};

/// Slow clients at once.
const CLIENTS: u64 = 200;
/// How long they try, in seconds.
const SECONDS: &str = "30";

async fn besieged(target: &TestTarget) -> Gateway {
    let gateway = TestGateway::new()
        .setting("SANDGATE_CLIENT_HEADER_TIMEOUT", "1s")
        .setting("SANDGATE_CLIENT_SEND_TIMEOUT", "1s")
        .route("/", [target])
        .start()
        .await;
    let brief = serde_json::json!({ "write_timeout": 1000 });
    gateway.admin.patch("/services/service-0", brief).await.expect(200);
    gateway.applied().await;
    gateway
}

/// Lets slow clients at the gateway while others use it. Answers with what the program says at its end.
async fn endure(gateway: &Gateway, attack: &[&str]) -> String {
    let others = Load::start(gateway.proxy(), "/", 2);
    let (url, clients) = (format!("http://{}/", gateway.proxy()), CLIENTS.to_string());
    let mut command = Command::new("slowhttptest");
    command.args(attack).args(["-c", &clients, "-r", &clients, "-l", SECONDS, "-p", "5", "-v", "1", "-u", &url]);
    let begun = Instant::now();
    let ended = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output());
    let output = ended.await.unwrap().expect("slowhttptest, of the package slowhttptest");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    others.stop_without_failures(100).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("YES") && !said.contains("NO\u{1b}"), "the service was always available: {said}");
    said
}

/// Waits until the gateway has refused all of the slow clients for this reason.
async fn refuses_all(gateway: &Gateway, what: &str, reason: &str) {
    gateway.until(async || refused(gateway, what, reason).await >= CLIENTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_never_end() {
    let target = TestTarget::answering("a").await;
    let gateway = besieged(&target).await;
    let said = endure(&gateway, &["-H", "-i", "1", "-x", "10", "-t", "GET"]).await;
    assert!(said.contains("No open connections left"), "{said}");
    refuses_all(&gateway, "connections", "header-timeout").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_come_too_slowly() {
    let target = TestTarget::answering("a").await;
    let gateway = besieged(&target).await;
    let said = endure(&gateway, &["-B", "-i", "4", "-x", "10", "-s", "8192", "-t", "POST"]).await;
    assert!(said.contains("No open connections left"), "{said}");
    refuses_all(&gateway, "requests", "body-timeout").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_taken_too_slowly() {
    let target = TestTarget::pouring(4 << 20).await;
    let gateway = besieged(&target).await;
    endure(&gateway, &["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32"]).await;
    refuses_all(&gateway, "connections", "send-timeout").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_beyond_number() {
    let target = TestTarget::answering("a").await;
    let gateway = besieged(&target).await;
    let said = endure(&gateway, &["-R", "-a", "10", "-b", "3000", "-t", "HEAD"]).await;
    assert!(said.contains("No open connections left"), "{said}");
}
