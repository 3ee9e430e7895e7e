//! Clients that speak HTTP/2.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{io, net::TcpStream};
use tokio_rustls::TlsConnector;

use super::harness::{Gateway, Route, Target};
use crate::proxy::words::IDENTITY;

#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move { drop(future.await) });
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap().block_on(future)
}

/// Sends requests at once over one connection; the answers in the order of the requests.
async fn ask<T>(io: T, requests: Vec<Request<Full<Bytes>>>) -> Vec<Response<String>>
where
    T: io::AsyncRead + io::AsyncWrite + Unpin + 'static,
{
    let handshake = hyper::client::conn::http2::Builder::new(Local).handshake(TokioIo::new(io)).await;
    let (mut sender, connection) = handshake.unwrap();
    tokio::task::spawn_local(connection);
    let sent: Vec<_> = requests.into_iter().map(|request| sender.send_request(request)).collect();
    let mut answers = Vec::new();
    for answer in sent {
        let (head, body) = answer.await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        answers.push(Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap()));
    }
    answers
}

fn get(uri: &str) -> http::request::Builder {
    Request::get(uri)
}

async fn tls(address: SocketAddr) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut config = crate::tls::client_config(false).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("some.test").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

#[test]
fn a_client_over_tls_is_described_to_the_target() {
    let target = Target::echo();
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let request = get("https://Some.test/p1/a?b").header("cookie", "a=1").header("cookie", "b=2");
    let request = request.body(Full::default()).unwrap();
    let answers = block_on(async { ask(tls(gateway.tls_address).await, vec![request]).await });
    let seen = answers[0].body();
    assert_eq!(answers[0].status(), 200, "{seen}");
    let port = gateway.tls_address.port();
    let expected = [
        "GET /a?b HTTP/1.1".to_owned(),
        format!("host: {}", target.address),
        "x-forwarded-proto: https".into(),
        "x-forwarded-host: some.test".into(),
        format!("x-forwarded-port: {port}"),
        "cookie: a=1; b=2".into(),
        format!("via: 2 {IDENTITY}"),
    ];
    for line in expected {
        assert!(seen.lines().any(|found| found == line), "{line} is missing in {seen}");
    }
}

#[test]
fn streams_of_one_connection_are_served_beside_each_other() {
    let target = Target::echo();
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let requests = (0..50).map(|n| get(&format!("http://a/p1/{n}")).body(Full::default()).unwrap()).collect();
    let answers = block_on(async { ask(TcpStream::connect(gateway.address).await.unwrap(), requests).await });
    for (n, answer) in answers.iter().enumerate() {
        assert!(answer.body().starts_with(&format!("GET /{n} ")), "{n}: {}", answer.body());
    }
}

#[test]
fn grpc_clients_hear_of_failures_in_their_own_words() {
    let gateway = Gateway::start(vec![]);
    let request = Request::post("http://a/x").header("content-type", "application/grpc").body(Full::default()).unwrap();
    let answers = block_on(async { ask(TcpStream::connect(gateway.address).await.unwrap(), vec![request]).await });
    let headers = answers[0].headers();
    assert_eq!((answers[0].status().as_u16(), &headers["grpc-status"]), (404, &"5".parse().unwrap()));
    assert_eq!(headers["grpc-message"], "no Route matched with those values");
    assert_eq!(answers[0].body(), "");
}

#[test]
fn bodies_of_http_2_clients_reach_the_target() {
    let target = Target::echo();
    let gateway = Gateway::start(vec![Route::to("/p1", target.address)]);
    let body = "z".repeat(30_000);
    let request = Request::post("http://a/p1").body(Full::from(body.clone())).unwrap();
    let answers = block_on(async { ask(TcpStream::connect(gateway.address).await.unwrap(), vec![request]).await });
    assert!(answers[0].body().ends_with(&format!("\n\n{body}")));
}
