//! What the access log says of streams.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::{
    net::{TcpStream, UdpSocket},
    task::JoinSet,
};

use super::streams_udp::ask;
use crate::harness::{Gateway, StreamTarget, TestGateway, TestTarget, connect_tls_to, hear, talk};

const LOG: &str = "streams.log";

/// Listeners for TCP, TLS and UDP.
fn logging() -> TestGateway {
    let settings = [
        ("SANDGATE_STREAM_LISTEN", "127.0.0.1:0, 127.0.0.1:0 ssl, 127.0.0.1:0 udp"),
        ("SANDGATE_PROXY_ACCESS_LOG", LOG),
        ("SANDGATE_DRAIN_GRACE_PERIOD", "100ms"),
    ];
    settings.into_iter().fold(TestGateway::new(), |gateway, (name, value)| gateway.setting(name, value))
}

/// A service and a route of the same name.
async fn lead(gateway: &Gateway, name: &str, target: SocketAddr, mut route: Value) {
    let protocol = if route["protocols"][0] == "udp" { "udp" } else { "tcp" };
    let service = json!({ "name": name, "protocol": protocol, "host": target.ip(), "port": target.port() });
    gateway.admin.create("/services", service).await;
    route["name"] = format!("to-{name}").into();
    gateway.admin.create(&format!("/services/{name}/routes"), route).await;
    gateway.applied().await;
}

/// A line without its time and duration, which are looked at here.
fn settled(line: &str) -> String {
    let (client, rest) = line.split_once(" [").unwrap();
    let (time, rest) = rest.split_once("] ").unwrap();
    assert!(time.ends_with(" +0000") && time.matches(':').count() == 3, "{line}");
    let (counts, rest) = rest.split_once(" from=").unwrap();
    let (counts, seconds) = counts.rsplit_once(' ').unwrap();
    assert!(seconds.parse::<f64>().is_ok_and(|seconds| (0.0..600.0).contains(&seconds)), "{line}");
    format!("{client} {counts} from={rest}")
}

/// The last of so many lines.
async fn line(gateway: &Gateway, count: usize) -> String {
    settled(&gateway.lines(LOG, count).await[count - 1])
}

fn at(listener: SocketAddr, protocol: &str) -> Value {
    json!({ "protocols": [protocol], "destinations": [{ "port": listener.port() }] })
}

#[tokio::test]
async fn each_stream_leaves_a_line() {
    let target = StreamTarget::named("a").await;
    let gateway = logging().start().await;
    let [tcp, tls, _] = gateway.streams()[..] else { panic!("three listeners") };
    lead(&gateway, "db", target.address, at(tcp, "tcp")).await;
    lead(&gateway, "mail", target.address, json!({ "protocols": ["tls"], "snis": ["a.test"] })).await;
    let client = TcpStream::connect(tcp).await.unwrap();
    let from = client.local_addr().unwrap();
    assert_eq!(talk(client, b"hello").await, "a hello.");
    let rest = format!("sni=\"-\" route=\"to-db\" service=\"db\" target={}", target.address);
    assert_eq!(line(&gateway, 1).await, format!("127.0.0.1 TCP 200 8 5 from={from} to={tcp} {rest}"));
    let client = TcpStream::connect(tls).await.unwrap();
    let from = client.local_addr().unwrap();
    assert_eq!(talk(connect_tls_to(client, "a.test", &[]).await.unwrap(), b"hello").await, "a hello.");
    let rest = format!("sni=\"a.test\" route=\"to-mail\" service=\"mail\" target={}", target.address);
    assert_eq!(line(&gateway, 2).await, format!("127.0.0.1 TCP 200 8 5 from={from} to={tls} {rest}"));
    let client = TcpStream::connect(tls).await.unwrap();
    let from = client.local_addr().unwrap();
    assert!(connect_tls_to(client, "b.test", &[]).await.is_err(), "no route takes it");
    let rest = "sni=\"b.test\" route=\"-\" service=\"-\" target=-";
    assert_eq!(line(&gateway, 3).await, format!("127.0.0.1 TCP 500 0 0 from={from} to={tls} {rest}"));
}

#[tokio::test]
async fn what_the_end_cuts_leaves_a_line_too() {
    let (target, datagrams) = (StreamTarget::named("a").await, StreamTarget::datagrams("u").await);
    let mut gateway = logging().start().await;
    let [tcp, _, udp] = gateway.streams()[..] else { panic!("three listeners") };
    lead(&gateway, "db", target.address, at(tcp, "tcp")).await;
    lead(&gateway, "dns", datagrams.address, at(udp, "udp")).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(udp).await.unwrap();
    assert_eq!(ask(&client, "who").await, "u who");
    let mut open = TcpStream::connect(tcp).await.unwrap();
    hear(&mut open, 2).await;
    assert_eq!(gateway.terminate().await.code(), Some(0));
    let lines = gateway.lines(LOG, 2).await;
    let has = |start: &str, end: &str| {
        lines.iter().map(|line| settled(line)).any(|line| line.starts_with(start) && line.ends_with(end))
    };
    assert!(has("127.0.0.1 TCP 200 2 0 ", &format!("service=\"db\" target={}", target.address)), "{lines:?}");
    assert!(has("127.0.0.1 UDP 200 ", &format!("service=\"dns\" target={}", datagrams.address)), "{lines:?}");
}

#[tokio::test]
async fn streams_may_have_a_log_of_their_own() {
    let (target, web) = (StreamTarget::named("a").await, TestTarget::answering("web").await);
    let gateway = logging().setting("SANDGATE_PROXY_STREAM_ACCESS_LOG", "own.log").route("/", [&web]);
    let gateway = gateway.start().await;
    let tcp = gateway.streams()[0];
    lead(&gateway, "db", target.address, json!({ "protocols": ["tcp"], "destinations": [{ "port": tcp.port() }] }))
        .await;
    gateway.get("/").await.expect(200);
    let mut streams = JoinSet::new();
    for _ in 0..3 {
        streams.spawn(async move { talk(TcpStream::connect(tcp).await.unwrap(), b"x").await });
    }
    assert_eq!(streams.join_all().await, ["a x.", "a x.", "a x."]);
    assert!(gateway.lines("own.log", 3).await.iter().all(|line| line.contains("service=\"db\"")));
    assert!(gateway.lines(LOG, 1).await.iter().all(|line| line.contains("GET / ")));
}
