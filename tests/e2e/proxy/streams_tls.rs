//! Streams over TLS: ended here by the certificate of the name that is asked for, or passed on as they are.

use std::{net::SocketAddr, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Gateway, StreamTarget, TestGateway, acceptor_as, connect_tls_to, exchange, talk};

/// A certificate for this name: as servers have it, and as the Admin API takes it.
fn made(name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>, Value) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let entity = json!({ "cert": certificate.pem(), "key": key.serialize_pem(), "snis": [name] });
    (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap(), entity)
}

/// A target with a certificate of its own.
async fn secured(name: &'static str, host: &str) -> (StreamTarget, CertificateDer<'static>) {
    let (certificate, key, _) = made(host);
    (StreamTarget::secured(name, acceptor_as((vec![certificate.clone()], key), None).unwrap()).await, certificate)
}

async fn gateway() -> (Gateway, SocketAddr) {
    gateway_with("60s").await
}

/// As `gateway`, with so much time for a handshake.
async fn gateway_with(time: &str) -> (Gateway, SocketAddr) {
    let gateway = TestGateway::new()
        .setting("SANDGATE_STREAM_LISTEN", "127.0.0.1:0 ssl")
        .setting("SANDGATE_CLIENT_HANDSHAKE_TIMEOUT", time)
        .start()
        .await;
    let listener = gateway.streams()[0];
    (gateway, listener)
}

/// A service and its route, of the same name.
async fn lead(gateway: &Gateway, (name, protocol): (&str, &str), target: SocketAddr, route: Value) {
    let service = json!({ "name": name, "protocol": protocol, "host": target.ip(), "port": target.port() });
    gateway.admin.create("/services", service).await;
    gateway.admin.create(&format!("/services/{name}/routes"), route).await;
    gateway.applied().await;
}

/// Asks for a name and says something. What certificate was shown, and what was answered.
async fn ask(listener: SocketAddr, name: &str, words: &[u8]) -> anyhow::Result<(CertificateDer<'static>, String)> {
    let stream = connect_tls_to(TcpStream::connect(listener).await?, name, &[]).await?;
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
    Ok((shown, talk(stream, words).await))
}

#[tokio::test]
async fn tls_ends_here_by_the_certificate_of_the_name() {
    let (a, b) = (StreamTarget::named("a").await, StreamTarget::named("b").await);
    let (gateway, listener) = gateway().await;
    let (certificate, _, entity) = made("a.test");
    gateway.admin.create("/certificates", entity).await;
    lead(&gateway, ("a", "tcp"), a.address, json!({ "protocols": ["tls"], "snis": ["a.test"] })).await;
    lead(&gateway, ("b", "tcp"), b.address, json!({ "protocols": ["tls"], "snis": ["*.b.test"] })).await;
    let (shown, answer) = ask(listener, "a.test", b"hello").await.unwrap();
    assert_eq!((shown == certificate, &*answer), (true, "a hello."));
    let (shown, answer) = ask(listener, "x.b.test", b"hello").await.unwrap();
    assert_eq!((shown == certificate, &*answer), (false, "b hello."), "the default certificate");
    assert_eq!(a.heard(), b"hello", "in clear text");
    assert!(ask(listener, "c.test", b"hello").await.is_err());
    gateway.refused("no-stream-route", 1).await;
}

#[tokio::test]
async fn whatever_a_client_speaks_inside_is_its_own_affair() {
    let target = StreamTarget::named("a").await;
    let (gateway, listener) = gateway().await;
    lead(&gateway, ("a", "tcp"), target.address, json!({ "protocols": ["tls"], "snis": ["a.test"] })).await;
    let stream = TcpStream::connect(listener).await.unwrap();
    let stream = connect_tls_to(stream, "a.test", &["mqtt", "x-own"]).await.unwrap();
    assert_eq!(talk(stream, b"hello").await, "a hello.");
}

#[tokio::test]
async fn a_service_with_tls_is_spoken_to_in_tls() {
    let (target, _) = secured("a", "a.test").await;
    let (gateway, listener) = gateway().await;
    lead(&gateway, ("a", "tls"), target.address, json!({ "protocols": ["tls"], "snis": ["a.test"] })).await;
    assert_eq!(ask(listener, "a.test", b"hello").await.unwrap().1, "a hello.");
    gateway.admin.patch("/services/a", json!({ "tls_verify": true, "retries": 0 })).await.expect(200);
    gateway.applied().await;
    assert_eq!(ask(listener, "a.test", b"hello").await.unwrap().1, "", "nobody vouches for it");
    assert_eq!(target.heard(), b"hello");
}

#[tokio::test]
async fn passed_on_as_it_is_the_name_alone_decides() {
    let ((a, of_a), (b, of_b)) = (secured("a", "a.test").await, secured("b", "b.test").await);
    let ended = StreamTarget::named("ended").await;
    let (gateway, listener) = gateway().await;
    let passthrough = |name: &str| json!({ "protocols": ["tls_passthrough"], "snis": [name] });
    lead(&gateway, ("a", "tcp"), a.address, passthrough("a.test")).await;
    lead(&gateway, ("b", "tcp"), b.address, passthrough("b.test")).await;
    lead(&gateway, ("c", "tcp"), ended.address, json!({ "protocols": ["tls"], "snis": ["c.test"] })).await;
    for (name, certificate, expected) in [("a.test", Some(of_a), "a hello."), ("b.test", Some(of_b), "b hello.")] {
        let (shown, answer) = ask(listener, name, b"hello").await.unwrap();
        assert_eq!((Some(shown), &*answer), (certificate, expected), "{name}");
    }
    assert_eq!(ask(listener, "c.test", b"hello").await.unwrap().1, "ended hello.");
    let long = vec![b'x'; 1 << 20];
    assert_eq!(ask(listener, "A.test", &long).await.unwrap().1.len(), long.len() + 3);
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_and_a_slow_one_not_waited_for() {
    let target = StreamTarget::named("a").await;
    let (gateway, listener) = gateway_with("1s").await;
    lead(&gateway, ("a", "tcp"), target.address, json!({ "protocols": ["tls"], "snis": ["a.test"] })).await;
    assert_eq!(exchange(listener, b"GET / HTTP/1.1\r\n\r\n").await, "");
    gateway.refused("bad-client-hello", 1).await;
    let mut slow = TcpStream::connect(listener).await.unwrap();
    slow.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc").await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), slow.read(&mut [0])).await.expect("it is closed");
    assert!(matches!(ended, Ok(0) | Err(_)));
    gateway.refused("handshake-timeout", 1).await;
    assert_eq!(target.connections(), 0);
}
