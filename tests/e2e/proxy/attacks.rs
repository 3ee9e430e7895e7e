//! Attacks on HTTP/2 with raw frames: the connection goes, memory stays, and other clients notice nothing.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Client, Gateway, Peer, TestGateway, TestTarget, Wire, exchange};

/// How long an attack is tried, in seconds; the connection is gone before. That it is gone within five seconds is for a quiet
/// machine (docs/guide/limits.md) and for tests of the listener that have a clock of their own.
const SECONDS: f64 = 30.0;
/// Another client may have to wait for so long, on a busy machine: not for as long as the attack goes on.
const NOTICED: Duration = Duration::from_secs(5);
/// What an attack may cost, in bytes.
const GROWTH: u64 = 16 << 20;

async fn besieged() -> (Gateway, TestTarget) {
    let target = TestTarget::pouring(1 << 20).await;
    let gateway =
        TestGateway::new().setting("SANDGATE_STATUS_LISTEN", "127.0.0.1:0").route("/", [&target]).start().await;
    gateway.applied().await;
    // What first requests cost each worker is no growth.
    for _ in 0..6 {
        gateway.get("/").await.expect(200);
    }
    (gateway, target)
}

/// Runs one attack. Returns how it ended, having looked after memory and other clients meanwhile.
async fn endure(attack: &str) -> (Gateway, Value) {
    let (gateway, _target) = besieged().await;
    let before = gateway.process.memory("VmRSS").unwrap();
    let at = gateway.proxy();
    let arguments = [at.ip().to_string(), at.port().to_string(), attack.to_owned(), SECONDS.to_string()];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut attacker = Peer::script("h2_attacks.py", &arguments).await;
    let (mut slowest, mut grown) = (Duration::ZERO, 0);
    let line = {
        let mut line = std::pin::pin!(attacker.line());
        loop {
            let begin = Instant::now();
            tokio::select! {
                line = &mut line => break line,
                answer = gateway.get("/") => {
                    answer.expect(200);
                    slowest = slowest.max(begin.elapsed());
                    grown = grown.max(gateway.process.memory("VmRSS").unwrap().saturating_sub(before));
                }
            }
        }
    };
    assert!(grown <= GROWTH, "{attack}: {} KiB more", grown >> 10);
    assert!(slowest < NOTICED, "{attack}: another client waited {slowest:?}");
    gateway.get("/").await.expect(200);
    (gateway, serde_json::from_str(&line).unwrap_or_else(|_| panic!("{attack}: {line}")))
}

async fn the_attacker_is_cut_off(attack: &str) -> Gateway {
    let (gateway, end) = endure(attack).await;
    assert_eq!(end["closed"], true, "{attack}: {end}");
    assert!(end["seconds"].as_f64().unwrap() <= SECONDS, "{attack}: {end}");
    gateway
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once() {
    the_attacker_is_cut_off("rapid_reset").await;
}

#[tokio::test]
async fn header_blocks_without_end() {
    the_attacker_is_cut_off("continuation_flood").await;
}

#[tokio::test]
async fn header_blocks_without_end_and_without_bytes() {
    the_attacker_is_cut_off("empty_continuations").await;
}

#[tokio::test]
async fn settings_over_and_over() {
    let gateway = the_attacker_is_cut_off("settings_flood").await;
    gateway.refused("http2-flood", 1).await;
}

#[tokio::test]
async fn pings_over_and_over() {
    let gateway = the_attacker_is_cut_off("ping_flood").await;
    gateway.refused("http2-flood", 1).await;
}

#[tokio::test]
async fn data_with_nothing_in_it() {
    the_attacker_is_cut_off("empty_data").await;
}

#[tokio::test]
async fn cookies_that_are_small_on_the_wire_only() {
    the_attacker_is_cut_off("cookie_crumbs").await;
}

#[tokio::test]
async fn windows_beyond_their_size() {
    the_attacker_is_cut_off("window_overflow").await;
}

#[tokio::test]
async fn windows_that_never_open() {
    let gateway = the_attacker_is_cut_off("window_pinned").await;
    gateway.refused("send-timeout", 1).await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_refused_and_counted() {
    let target = TestTarget::answering("fine").await;
    let gateway = TestGateway::new()
        .setting("SANDGATE_WORKERS", "1")
        .setting("SANDGATE_CLIENT_CONNECTIONS", "3")
        .route("/", [&target])
        .start()
        .await;
    gateway.applied().await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(gateway.proxy(), Wire::Http1).await.unwrap();
        client.get("/").await.unwrap().expect(200);
        open.push(client);
    }
    let mut late = Client::connect(gateway.proxy(), Wire::Http1).await.unwrap();
    assert!(late.get("/").await.is_err(), "the fourth is closed");
    gateway.refused("too-many-connections", 1).await;
    for client in &mut open {
        client.get("/").await.unwrap().expect(200);
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_to_an_end_is_given_up() {
    let gateway = TestGateway::new().setting("SANDGATE_CLIENT_HEADER_TIMEOUT", "1s").start().await;
    let answer = exchange(gateway.proxy(), b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
    assert_eq!(answer, "", "closed without a word");
    gateway.refused("header-timeout", 1).await;
}
