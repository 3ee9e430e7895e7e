//! Streams over TCP: where they go, what becomes of them, and what targets hear of their clients.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::harness::{Gateway, StreamTarget, TestGateway, TestTarget, hear, talk};

const PATIENCE: Duration = Duration::from_secs(60);
const TAKEN_OVER: &str = "another process has taken over";

fn listening(listen: &str) -> TestGateway {
    TestGateway::new().setting("SANDGATE_STREAM_LISTEN", listen)
}

/// A service of this name and a route to it.
async fn lead(gateway: &Gateway, name: &str, target: SocketAddr, mut route: Value) {
    let service = json!({ "name": name, "protocol": "tcp", "host": target.ip(), "port": target.port() });
    gateway.admin.create("/services", service).await;
    route["name"] = name.into();
    gateway.admin.create(&format!("/services/{name}/routes"), route).await;
    gateway.applied().await;
}

/// For all that comes in at this listener.
fn at(listener: SocketAddr) -> Value {
    json!({ "protocols": ["tcp"], "destinations": [{ "port": listener.port() }] })
}

/// Waits until the metrics say so.
async fn counted(gateway: &Gateway, line: &str) {
    gateway.until(async || gateway.admin.get("/metrics").await.expect(200).text().contains(line)).await;
}

async fn connected(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the gateway listens")
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_side_may_end_first() {
    let target = StreamTarget::named("a").await;
    let gateway = listening("127.0.0.1:0").start().await;
    let [listener] = gateway.streams()[..] else { panic!("one listener") };
    lead(&gateway, "a", target.address, at(listener)).await;
    assert_eq!(talk(connected(listener).await, b"hello").await, "a hello.");
    let long = vec![b'x'; 3 << 20];
    assert_eq!(talk(connected(listener).await, &long).await.len(), long.len() + 3);
    for line in [
        "sandgate_stream_sessions_total{code=\"200\"} 2\n".to_owned(),
        format!("sandgate_stream_bytes_total{{direction=\"ingress\"}} {}\n", long.len() + 5),
        format!("sandgate_stream_bytes_total{{direction=\"egress\"}} {}\n", long.len() + 11),
    ] {
        counted(&gateway, &line).await;
    }
}

#[tokio::test]
async fn a_stream_without_a_route_is_closed() {
    let target = StreamTarget::named("a").await;
    let gateway = listening("127.0.0.1:0, 127.0.0.1:0").start().await;
    let [one, other] = gateway.streams()[..] else { panic!("two listeners") };
    lead(&gateway, "a", target.address, at(one)).await;
    assert_eq!(talk(connected(other).await, b"hello").await, "");
    gateway.refused("no-stream-route", 1).await;
    assert_eq!(talk(connected(one).await, b"").await, "a .");
}

#[tokio::test]
async fn streams_are_balanced_and_dead_targets_cost_none() {
    let (a, b, dead) = (StreamTarget::named("a").await, StreamTarget::named("b").await, TestTarget::refusing());
    let gateway = listening("127.0.0.1:0").start().await;
    let [listener] = gateway.streams()[..] else { panic!("one listener") };
    let unhealthy = json!({ "passive": { "unhealthy": { "tcp_failures": 1 } } });
    gateway.admin.create("/upstreams", json!({ "name": "several", "healthchecks": unhealthy })).await;
    for address in [a.address, b.address, dead.address] {
        gateway.admin.create("/upstreams/several/targets", json!({ "target": address.to_string() })).await;
    }
    gateway.admin.create("/services", json!({ "name": "s", "protocol": "tcp", "host": "several" })).await;
    gateway.admin.create("/services/s/routes", at(listener)).await;
    gateway.applied().await;
    let mut names = Vec::new();
    for _ in 0..12 {
        names.push(talk(connected(listener).await, b"").await);
    }
    assert!(names.iter().all(|name| name == "a ." || name == "b ."), "{names:?}");
    assert!(a.connections() >= 4 && b.connections() >= 4, "{names:?}");
    let health = gateway.admin.get("/upstreams/several/health").await.expect(200).json();
    let states = health["data"].as_array().unwrap().iter().map(|target| (target["target"].clone(), &target["health"]));
    let of_dead: Vec<_> = states.filter(|(target, _)| *target == dead.address.to_string()).collect();
    assert_eq!(*of_dead[0].1, "UNHEALTHY", "{health}");
}

#[tokio::test]
async fn a_client_stays_with_its_target_by_its_address() {
    let targets = [StreamTarget::named("a").await, StreamTarget::named("b").await, StreamTarget::named("c").await];
    let gateway = listening("127.0.0.1:0").start().await;
    let [listener] = gateway.streams()[..] else { panic!("one listener") };
    let upstream = json!({ "name": "several", "algorithm": "consistent-hashing", "hash_on": "ip" });
    gateway.admin.create("/upstreams", upstream).await;
    for target in &targets {
        gateway.admin.create("/upstreams/several/targets", json!({ "target": target.address.to_string() })).await;
    }
    gateway.admin.create("/services", json!({ "name": "s", "protocol": "tcp", "host": "several" })).await;
    gateway.admin.create("/services/s/routes", at(listener)).await;
    gateway.applied().await;
    let mut all = std::collections::BTreeSet::new();
    for last in 1..=12 {
        let mut own = std::collections::BTreeSet::new();
        for _ in 0..3 {
            own.insert(talk(connected_from(listener, last).await, b"").await);
        }
        assert_eq!(own.len(), 1, "{own:?}");
        all.append(&mut own);
    }
    assert!(all.len() > 1, "clients are spread: {all:?}");
}

/// From an address of its own.
async fn connected_from(listener: SocketAddr, last: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last], 0).into()).unwrap();
    socket.connect(listener).await.expect("the gateway listens")
}

#[tokio::test]
async fn where_a_client_comes_from_decides_where_it_goes() {
    let (near, far) = (StreamTarget::named("near").await, StreamTarget::named("far").await);
    let gateway = listening("127.0.0.1:0").start().await;
    let [listener] = gateway.streams()[..] else { panic!("one listener") };
    lead(&gateway, "far", far.address, at(listener)).await;
    let sources = json!({ "protocols": ["tcp"], "sources": [{ "ip": "127.0.0.8/30" }] });
    lead(&gateway, "near", near.address, sources).await;
    for (last, expected) in [(7, "far ."), (9, "near ."), (12, "far .")] {
        assert_eq!(talk(connected_from(listener, last).await, b"").await, expected, "127.0.0.{last}");
    }
}

#[tokio::test]
async fn a_change_counts_for_the_next_stream() {
    let (a, b) = (StreamTarget::named("a").await, StreamTarget::named("b").await);
    let gateway = listening("127.0.0.1:0").start().await;
    let [listener] = gateway.streams()[..] else { panic!("one listener") };
    lead(&gateway, "s", a.address, at(listener)).await;
    let mut open = connected(listener).await;
    assert_eq!(hear(&mut open, 2).await, "a ");
    gateway.admin.patch("/services/s", json!({ "port": b.address.port() })).await.expect(200);
    gateway.applied().await;
    assert_eq!(talk(connected(listener).await, b"new").await, "b new.");
    assert_eq!(talk(open, b"old").await, "old.", "the open one goes on");
    gateway.admin.delete("/routes/s").await.expect(204);
    gateway.applied().await;
    assert_eq!(talk(connected(listener).await, b"").await, "");
}

#[tokio::test]
async fn a_silent_stream_ends_and_an_unreachable_target_is_given_up() {
    let target = StreamTarget::named("a").await;
    let gateway = listening("127.0.0.1:0").start().await;
    let [listener] = gateway.streams()[..] else { panic!("one listener") };
    lead(&gateway, "s", target.address, at(listener)).await;
    gateway.admin.patch("/services/s", json!({ "read_timeout": 3000, "retries": 1 })).await.expect(200);
    gateway.applied().await;
    let mut silent = connected(listener).await;
    assert_eq!(hear(&mut silent, 2).await, "a ");
    let ended = tokio::time::timeout(PATIENCE, silent.read(&mut [0])).await.expect("it is closed");
    assert!(matches!(ended, Ok(0) | Err(_)));
    let dead = TestTarget::refusing();
    gateway.admin.patch("/services/s", json!({ "port": dead.address.port() })).await.expect(200);
    gateway.applied().await;
    assert_eq!(talk(connected(listener).await, b"").await, "");
    counted(&gateway, "sandgate_stream_sessions_total{code=\"502\"} 1\n").await;
    gateway.process.log.line("a stream could not be passed on", PATIENCE).await.unwrap();
}

#[tokio::test]
async fn no_more_connections_are_open_than_the_limit_says() {
    let target = StreamTarget::named("a").await;
    let gateway = listening("127.0.0.1:0").setting("SANDGATE_WORKERS", "1");
    let gateway = gateway.setting("SANDGATE_CLIENT_CONNECTIONS", "2").start().await;
    let [listener] = gateway.streams()[..] else { panic!("one listener") };
    lead(&gateway, "s", target.address, at(listener)).await;
    let (mut one, mut two) = (connected(listener).await, connected(listener).await);
    assert_eq!((hear(&mut one, 2).await, hear(&mut two, 2).await), ("a ".to_owned(), "a ".to_owned()));
    assert_eq!(talk(connected(listener).await, b"").await, "");
    gateway.refused("too-many-connections", 1).await;
    assert_eq!(talk(one, b"x").await, "x.");
    gateway.until(async || talk(connected(listener).await, b"").await == "a .").await;
}

#[tokio::test]
async fn open_streams_have_the_grace_period_and_no_more() {
    let target = StreamTarget::named("a").await;
    let mut gateway = listening("127.0.0.1:0").setting("SANDGATE_DRAIN_GRACE_PERIOD", "5s").start().await;
    let [listener] = gateway.streams()[..] else { panic!("one listener") };
    lead(&gateway, "s", target.address, at(listener)).await;
    let (mut short, mut long) = (connected(listener).await, connected(listener).await);
    hear(&mut short, 2).await;
    hear(&mut long, 2).await;
    gateway.process.terminate().unwrap();
    gateway.process.log.line("being drained", PATIENCE).await.unwrap();
    assert_eq!(talk(short, b"still here").await, "still here.");
    let cut = tokio::time::timeout(PATIENCE, long.read(&mut [0])).await.expect("it is cut");
    assert!(matches!(cut, Ok(0) | Err(_)));
    assert_eq!(gateway.process.ended(PATIENCE).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_hand_over_keeps_the_listener() {
    let target = StreamTarget::named("a").await;
    let mut gateway = listening("127.0.0.1:0").setting("SANDGATE_DRAIN_GRACE_PERIOD", "30s").start().await;
    let before = gateway.streams();
    lead(&gateway, "s", target.address, at(before[0])).await;
    for _ in 0..3 {
        let (log, mut open) = (gateway.process.log.clone(), connected(before[0]).await);
        hear(&mut open, 2).await;
        let seen = log.all().matches(TAKEN_OVER).count();
        let mut going_on = JoinSet::new();
        going_on.spawn(async move {
            log.lines(TAKEN_OVER, seen + 1, PATIENCE).await.unwrap();
            talk(open, b"over").await
        });
        gateway.process.hand_over(Duration::from_secs(60)).await.unwrap();
        assert_eq!(going_on.join_all().await, ["over."]);
        assert_eq!(gateway.streams(), before);
        assert_eq!(talk(connected(before[0]).await, b"new").await, "a new.");
    }
}

#[tokio::test]
async fn a_target_hears_of_its_client_where_it_is_to() {
    let (told, other) = (StreamTarget::named("a").await, StreamTarget::named("b").await);
    let gateway = listening("127.0.0.1:0 proxy_protocol, 127.0.0.1:0")
        .setting("SANDGATE_TRUSTED_IPS", "127.0.0.1")
        .setting("SANDGATE_STREAM_PROXY_PROTOCOL_UPSTREAM", "off, told=v1")
        .start()
        .await;
    let [behind, direct] = gateway.streams()[..] else { panic!("two listeners") };
    lead(&gateway, "told", told.address, at(behind)).await;
    lead(&gateway, "other", other.address, at(direct)).await;
    let mut stream = connected(behind).await;
    stream.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n").await.unwrap();
    talk(stream, b"hello").await;
    assert_eq!(told.heard(), b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\nhello");
    assert_eq!(talk(connected(direct).await, b"hello").await, "b hello.");
    assert_eq!(talk(connected(behind).await, b"hello").await, "", "no header");
    gateway.refused("bad-proxy-header", 1).await;
}

#[tokio::test]
async fn the_source_that_a_trusted_peer_tells_is_routed_by() {
    let (a, b) = (StreamTarget::named("a").await, StreamTarget::named("b").await);
    let gateway = listening("127.0.0.1:0 proxy_protocol").setting("SANDGATE_TRUSTED_IPS", "127.0.0.1").start().await;
    let [listener] = gateway.streams()[..] else { panic!("one listener") };
    lead(&gateway, "a", a.address, at(listener)).await;
    let source = json!({ "protocols": ["tcp"], "sources": [{ "ip": "192.0.2.1" }] });
    lead(&gateway, "b", b.address, source).await;
    for (last, expected) in [(1, "b ."), (2, "a .")] {
        for peer in [1, 9] {
            let mut stream = connected_from(listener, peer).await;
            let header = format!("PROXY TCP4 192.0.2.{last} 192.0.2.9 4711 443\r\n");
            stream.write_all(header.as_bytes()).await.unwrap();
            // The other peer is a stranger.
            let expected = if peer == 1 { expected } else { "a ." };
            assert_eq!(talk(stream, b"").await, expected, "{last} by {peer}");
        }
    }
}

#[tokio::test]
async fn routes_and_services_of_two_kinds_do_not_meet() {
    let target = StreamTarget::named("a").await;
    let gateway = listening("127.0.0.1:0").start().await;
    let [listener] = gateway.streams()[..] else { panic!("one listener") };
    gateway.admin.create("/services", json!({ "name": "web", "url": format!("http://{}", target.address) })).await;
    gateway.admin.create("/services/web/routes", at(listener)).await;
    let tcp = json!({ "name": "tcp", "protocol": "tcp", "host": "127.0.0.1", "port": target.address.port() });
    gateway.admin.create("/services", tcp).await;
    gateway.admin.create("/services/tcp/routes", json!({ "paths": ["/"] })).await;
    gateway.applied().await;
    assert_eq!(talk(connected(listener).await, b"").await, "");
    gateway.get("/").await.expect(404);
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_listener_is_known_by_the_port_that_clients_know() {
    // Bound and not listened on: nobody else gets the port, and the gateway may share it.
    let held = TcpSocket::new_v4().unwrap();
    held.set_reuseport(true).unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let (outside, inside) = (StreamTarget::named("outside").await, StreamTarget::named("inside").await);
    let gateway = listening(&format!("{address} reuseport"));
    let gateway = gateway.setting("SANDGATE_PORT_MAPS", &format!("5432:{}", address.port())).start().await;
    lead(&gateway, "inside", inside.address, at(address)).await;
    lead(&gateway, "outside", outside.address, at("127.0.0.1:5432".parse().unwrap())).await;
    assert_eq!(talk(connected(address).await, b"hello").await, "outside hello.");
}
