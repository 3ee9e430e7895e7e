use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Duration, Instant},
};

use super::Besieged;
use crate::harness::{exchange, read_until};

const HEAD: &str = "POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
const GOOD: &str = r#"{"name":"h","host":"a"}"#;

/// What breaks HTTP itself, and the statuses that are right for it; 0 for a connection that is closed without a word.
fn requests() -> Vec<(&'static str, String, &'static [u16])> {
    let headers: String = (0..5000).map(|at| format!("x-{at}: 1\r\n")).collect();
    vec![
        ("no HTTP", "hello\r\n\r\n".into(), &[400]),
        ("very many headers", format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n"), &[400, 431]),
        (
            "a header without end",
            format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "a".repeat(2_000_000)),
            &[0, 400, 431],
        ),
        ("a NUL in a header", "GET / HTTP/1.1\r\nHost: a\r\nx: a\0b\r\n\r\n".into(), &[400]),
        (
            "a length and chunks",
            format!("{HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            &[400],
        ),
        ("two lengths", format!("{HEAD}Content-Length: 23\r\nContent-Length: 5\r\n\r\n{GOOD}"), &[400]),
        ("a length below none", format!("{HEAD}Content-Length: -1\r\n\r\n{GOOD}"), &[400]),
        ("a length beyond all", format!("{HEAD}Content-Length: 99999999999999999999999\r\n\r\n{GOOD}"), &[400, 413]),
        ("a length that promises a lot", format!("{HEAD}Content-Length: 999999999999\r\n\r\n{GOOD}"), &[413]),
        ("a length that cuts the body", format!("{HEAD}Content-Length: 10\r\nConnection: close\r\n\r\n{GOOD}"), &[400]),
        ("chunks of rubbish", format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nxyz\r\n{GOOD}\r\n0\r\n\r\n"), &[400]),
        (
            "a chunk beyond all",
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{GOOD}\r\n0\r\n\r\n"),
            &[400],
        ),
        (
            "a chunk without end",
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n17;{}", "a".repeat(100_000)),
            &[0, 400],
        ),
        ("a coding that nobody reads", format!("{HEAD}Transfer-Encoding: gzip\r\n\r\n{GOOD}"), &[400, 501]),
        ("a version of tomorrow", "GET / HTTP/9.9\r\nHost: a\r\n\r\n".into(), &[400, 505]),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), &[0, 400, 505]),
    ]
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn what_breaks_http_is_refused_and_changes_nothing() {
    let mut besieged = Besieged::start().await;
    for (label, request, right) in requests() {
        let answer = exchange(besieged.gateway.admin.address, request.as_bytes()).await;
        assert!(right.contains(&status(&answer)), "{label}: {answer}");
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{label}: more than one answer: {answer}");
    }
    besieged.is_unharmed("broken HTTP").await;
}

#[tokio::test]
async fn a_body_that_stops_short_is_not_taken_for_a_whole_one() {
    let mut besieged = Besieged::start().await;
    let cut = format!("{HEAD}Content-Length: 100\r\n\r\n{GOOD}");
    let chunks = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n17\r\n{GOOD}\r\n");
    for (label, request) in [("a length", cut), ("chunks", chunks)] {
        let mut stream = TcpStream::connect(besieged.gateway.admin.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_until(&mut stream, "\r\n\r\n").await;
        assert!(matches!(status(&answer), 0 | 400), "{label}: {answer}");
    }
    besieged.is_unharmed("bodies that stop short").await;
}

#[tokio::test]
async fn a_write_whose_client_is_gone_is_not_done_or_served() {
    let gateway = crate::harness::TestGateway::new().start().await;
    let served = async || gateway.admin.get("/").await.json()["sandgate"]["config_version"].as_u64().unwrap();
    let written =
        async || gateway.admin.get("/services?size=1000").await.json()["data"].as_array().unwrap().len() as u64;
    let before = served().await;
    for at in 0..60 {
        let body = format!(r#"{{"name":"h{at}","host":"a"}}"#);
        let mut stream = TcpStream::connect(gateway.admin.address).await.unwrap();
        stream.write_all(format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
        // Sooner or later within the write.
        for _ in 0..at * 20 {
            tokio::task::yield_now().await;
        }
        drop(stream);
    }
    let end = Instant::now() + Duration::from_secs(30);
    while served().await != before + written().await {
        assert!(Instant::now() < end, "{} written since {before}, {} served", written().await, served().await);
    }
}

#[tokio::test]
async fn slow_bodies_hinder_nobody_and_are_cut_off() {
    let mut besieged = Besieged::start().await;
    let address = besieged.gateway.admin.address;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{HEAD}Content-Length: 23\r\n\r\n{{").as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let began = Instant::now();
    besieged.is_unharmed("while bodies are awaited").await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let mut heard = String::new();
    let end = Instant::now() + Duration::from_secs(60);
    while heard.is_empty() && Instant::now() < end {
        heard = read_until(&mut slow[0], "\r\n\r\n").await;
    }
    assert_eq!(status(&heard), 408, "{heard}");
    besieged.is_unharmed("after bodies were cut off").await;
}
