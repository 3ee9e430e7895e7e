//! Streams of datagrams.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::{net::UdpSocket, time::timeout};

use crate::harness::{Gateway, StreamTarget, TestGateway, TestTarget};

const PATIENCE: Duration = Duration::from_secs(60);

async fn gateway(target: SocketAddr, settings: &[(&str, &str)]) -> (Gateway, SocketAddr) {
    let gateway = TestGateway::new().setting("SANDGATE_STREAM_LISTEN", "127.0.0.1:0, 127.0.0.1:0 udp");
    let gateway = settings.iter().fold(gateway, |gateway, (name, value)| gateway.setting(name, value)).start().await;
    let listener = gateway.streams()[1];
    let service = json!({ "name": "a", "protocol": "udp", "host": target.ip(), "port": target.port() });
    gateway.admin.create("/services", service).await;
    let route = json!({ "name": "a", "protocols": ["udp"], "destinations": [{ "port": listener.port() }] });
    gateway.admin.create("/services/a/routes", route).await;
    gateway.applied().await;
    (gateway, listener)
}

async fn client(listener: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(listener).await.unwrap();
    client
}

/// Asks until there is an answer to this question: any datagram may be lost.
pub(super) async fn ask(client: &UdpSocket, words: &str) -> String {
    let mut space = vec![0; 65_535];
    let asking = async {
        loop {
            _ = client.send(words.as_bytes()).await;
            let heard = timeout(Duration::from_secs(1), client.recv(&mut space)).await;
            if let Ok(Ok(length)) = heard {
                let text = String::from_utf8_lossy(&space[..length]).into_owned();
                if text.ends_with(words) {
                    return text;
                }
            }
        }
    };
    timeout(PATIENCE, asking).await.expect("there is an answer")
}

#[tokio::test]
async fn each_client_gets_its_own_answers() {
    let target = StreamTarget::datagrams("a").await;
    let (gateway, listener) = gateway(target.address, &[]).await;
    let (one, two) = (client(listener).await, client(listener).await);
    for number in 0..20 {
        let (first, second) = (format!("one {number}"), format!("two {number}"));
        assert_eq!(ask(&one, &first).await, format!("a {first}"));
        assert_eq!(ask(&two, &second).await, format!("a {second}"));
    }
    let long = "x".repeat(8_000);
    assert_eq!(ask(&one, &long).await, format!("a {long}"));
    let counted = async || {
        let text = gateway.admin.get("/metrics").await.expect(200).text();
        !text.contains("sandgate_stream_bytes_total{direction=\"egress\"} 0\n")
    };
    gateway.until(counted).await;
}

#[tokio::test]
async fn a_silent_client_is_forgotten_and_begins_anew() {
    let (a, b) = (StreamTarget::datagrams("a").await, StreamTarget::datagrams("b").await);
    let (gateway, listener) = gateway(a.address, &[]).await;
    let client = client(listener).await;
    gateway.admin.patch("/services/a", json!({ "read_timeout": 3000 })).await.expect(200);
    gateway.applied().await;
    assert_eq!(ask(&client, "first").await, "a first");
    gateway.admin.patch("/services/a", json!({ "port": b.address.port() })).await.expect(200);
    gateway.applied().await;
    let ended = async || {
        let text = gateway.admin.get("/metrics").await.expect(200).text();
        text.contains("sandgate_stream_sessions_total{code=\"200\"} 1\n")
    };
    gateway.until(ended).await;
    assert_eq!(ask(&client, "second").await, "b second");
}

#[tokio::test]
async fn no_more_clients_are_served_than_the_limit_says() {
    let target = StreamTarget::datagrams("a").await;
    let settings = [("SANDGATE_WORKERS", "1"), ("SANDGATE_STREAM_UDP_SESSIONS", "2")];
    let (gateway, listener) = gateway(target.address, &settings).await;
    let clients = [client(listener).await, client(listener).await, client(listener).await];
    assert_eq!(ask(&clients[0], "0").await, "a 0");
    assert_eq!(ask(&clients[1], "1").await, "a 1");
    clients[2].send(b"2").await.unwrap();
    gateway.refused("too-many-udp-sessions", 1).await;
    assert_eq!(ask(&clients[0], "again").await, "a again", "those that are served notice nothing");
}

#[tokio::test]
async fn a_dead_target_ends_the_session_and_counts() {
    let dead = TestTarget::refusing();
    let (gateway, listener) = gateway(dead.address, &[]).await;
    let client = client(listener).await;
    let counted = async || {
        // Any datagram may be lost, and the answer that nobody listens comes back as an error.
        _ = client.send(b"hello").await;
        let text = gateway.admin.get("/metrics").await.expect(200).text();
        !text.contains("sandgate_stream_sessions_total{code=\"502\"} 0\n")
    };
    gateway.until(counted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_keeps_the_listener_of_datagrams() {
    let target = StreamTarget::datagrams("a").await;
    let (mut gateway, listener) = gateway(target.address, &[]).await;
    let client = client(listener).await;
    assert_eq!(ask(&client, "before").await, "a before");
    gateway.process.hand_over(Duration::from_secs(60)).await.unwrap();
    assert_eq!(gateway.streams()[1], listener);
    assert_eq!(ask(&client, "after").await, "a after");
}
