use std::time::{Duration, Instant};

use tokio::{net::TcpStream, task::JoinSet};

use crate::harness::{Call, Client, TestGateway, TestTarget, Wire};

const PATIENCE: Duration = Duration::from_secs(30);
/// Half of what is given to open connections, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_end() {
    let target = TestTarget::waiting().await;
    let mut gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let mut call = JoinSet::new();
    call.spawn(Call::new(gateway.proxy(), "GET /").try_send());
    target.arrived().await;
    gateway.process.terminate().unwrap();
    gateway.process.log.line("being drained", PATIENCE).await.unwrap();
    target.release();
    let answer = call.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(answer.expect(200).text(), "done");
    assert_eq!(gateway.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once_and_well() {
    let target = TestTarget::answering("a").await;
    let mut gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.get("/").await.expect(200);
    let begun = Instant::now();
    assert_eq!(gateway.terminate().await.code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_end_up() {
    let target = TestTarget::answering("a").await;
    let mut gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let mut client = Client::connect(gateway.proxy(), Wire::Http1).await.unwrap();
    client.get("/").await.unwrap().expect(200);
    let begun = Instant::now();
    assert_eq!(gateway.terminate().await.code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_takes_too_long_is_cut_after_the_grace_period() {
    let target = TestTarget::waiting().await;
    let gateway = TestGateway::new().setting("SANDGATE_DRAIN_GRACE_PERIOD", "200ms").route("/", [&target]);
    let mut gateway = gateway.start().await;
    gateway.applied().await;
    let mut call = JoinSet::new();
    call.spawn(Call::new(gateway.proxy(), "GET /").try_send());
    target.arrived().await;
    assert_eq!(gateway.terminate().await.code(), Some(0));
    assert!(call.join_next().await.unwrap().unwrap().is_err(), "there is nobody to answer");
}

#[tokio::test]
async fn who_says_nothing_does_not_hold_the_end_up() {
    let settings = [("SANDGATE_STREAM_LISTEN", "127.0.0.1:0 ssl"), ("SANDGATE_DRAIN_GRACE_PERIOD", "60s")];
    let gateway = settings.into_iter().fold(TestGateway::new(), |gateway, (name, value)| gateway.setting(name, value));
    let mut gateway = gateway.start().await;
    let mut silent = Vec::new();
    for address in [gateway.proxy(), gateway.proxy_tls(), gateway.streams()[0]] {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let begun = Instant::now();
    assert_eq!(gateway.terminate().await.code(), Some(0));
    assert!(begun.elapsed() < 2 * AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn whatever_is_cut_at_the_end_is_in_the_access_log() {
    // More than a worker looks at in one turn.
    const OPEN: usize = 300;
    let target = TestTarget::waiting().await;
    let settings =
        [("SANDGATE_DRAIN_GRACE_PERIOD", "0s"), ("SANDGATE_PROXY_ACCESS_LOG", "access.log"), ("SANDGATE_WORKERS", "1")];
    let gateway = settings.into_iter().fold(TestGateway::new(), |gateway, (name, value)| gateway.setting(name, value));
    let mut gateway = gateway.route("/", [&target]).start().await;
    gateway.applied().await;
    let mut calls = JoinSet::new();
    for _ in 0..OPEN {
        calls.spawn(Call::new(gateway.proxy(), "GET /").try_send());
        target.arrived().await;
    }
    assert_eq!(gateway.terminate().await.code(), Some(0));
    let lines = gateway.lines("access.log", OPEN).await;
    assert!(lines.iter().all(|line| line.contains("\"GET / HTTP/1.1\" 499 0 ")), "{}", lines[0]);
}
