//! Targets that speak HTTP/2, frame by frame: refusals, farewells, retries.

use bytes::Bytes;
use h2::{
    Ping, Reason,
    server::{self, Connection},
};
use http::{Response, StatusCode};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::harness::{Answer, Gateway, TestGateway};

/// A gateway before a target whose frames the test writes itself. Routes for HTTP may lead to services for gRPC.
async fn before_frames() -> (Gateway, TcpListener) {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_WORKERS", "1").start().await;
    let url = format!("grpc://{}", target.local_addr().unwrap());
    gateway.admin.create("/services", json!({ "name": "a", "url": url, "retries": 1 })).await;
    gateway.admin.create("/services/a/routes", json!({ "name": "a", "paths": ["/"], "strip_path": false })).await;
    gateway.applied().await;
    (gateway, target)
}

async fn accept(target: &TcpListener) -> Connection<TcpStream, Bytes> {
    let (stream, _) = target.accept().await.unwrap();
    server::handshake(stream).await.unwrap()
}

type Asked = (http::Request<h2::RecvStream>, server::SendResponse<Bytes>);

async fn asked(connection: &mut Connection<TcpStream, Bytes>) -> Asked {
    connection.accept().await.unwrap().unwrap()
}

fn answer((_, mut respond): Asked, text: &'static str) {
    let response = Response::builder().status(StatusCode::OK).body(()).unwrap();
    respond.send_response(response, false).unwrap().send_data(Bytes::from_static(text.as_bytes()), true).unwrap();
}

/// Sends a request beside what the test does.
async fn sent(gateway: &Gateway, line: &str) -> JoinSet<anyhow::Result<Answer>> {
    let mut call = JoinSet::new();
    call.spawn(gateway.call(line).await.body("hello").try_send());
    call
}

/// Moves the connection until the call is over.
async fn ended(mut call: JoinSet<anyhow::Result<Answer>>, connection: &mut Connection<TcpStream, Bytes>) -> Answer {
    tokio::select! {
        answer = call.join_next() => answer.unwrap().unwrap().unwrap(),
        more = connection.accept() => panic!("unexpected: {more:?}"),
    }
}

#[tokio::test]
async fn a_request_names_its_host_in_the_target() {
    let (gateway, target) = before_frames().await;
    let call = sent(&gateway, "POST /a?b=c").await;
    let mut connection = accept(&target).await;
    let asked = asked(&mut connection).await;
    let (uri, headers) = (asked.0.uri().to_string(), asked.0.headers().clone());
    assert_eq!(uri, format!("http://{}/a?b=c", target.local_addr().unwrap()));
    assert!(!headers.contains_key("host") && !headers.contains_key("connection"), "{headers:?}");
    answer(asked, "hi");
    assert_eq!(ended(call, &mut connection).await.expect(200).text(), "hi");
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_even_for_post() {
    let (gateway, target) = before_frames().await;
    let call = sent(&gateway, "POST /").await;
    let mut connection = accept(&target).await;
    asked(&mut connection).await.1.send_reset(Reason::REFUSED_STREAM);
    answer(asked(&mut connection).await, "again");
    assert_eq!(ended(call, &mut connection).await.expect(200).text(), "again");
}

#[tokio::test]
async fn a_stream_that_was_begun_is_not_sent_again_for_post() {
    let (gateway, target) = before_frames().await;
    let call = sent(&gateway, "POST /").await;
    let mut connection = accept(&target).await;
    asked(&mut connection).await.1.send_reset(Reason::INTERNAL_ERROR);
    ended(call, &mut connection).await.expect(502);
}

#[tokio::test]
async fn a_target_that_says_farewell_gets_no_more_requests_and_finishes_those_it_has() {
    let (gateway, target) = before_frames().await;
    let mut first = sent(&gateway, "POST /first").await;
    let mut leaving = accept(&target).await;
    let begun = asked(&mut leaving).await;
    let mut ping = leaving.ping_pong().unwrap();
    leaving.graceful_shutdown();
    let mut tasks = JoinSet::new();
    let (told, gone) = tokio::sync::oneshot::channel();
    tasks.spawn(async move {
        // Moves the frames of the farewell; nothing new comes.
        let next = leaving.accept().await;
        _ = told.send(next.is_none());
    });
    // Answered after the farewell was read.
    ping.ping(Ping::opaque()).await.unwrap();
    let second = sent(&gateway, "POST /second").await;
    let mut other = accept(&target).await;
    answer(asked(&mut other).await, "second");
    assert_eq!(ended(second, &mut other).await.expect(200).text(), "second");
    answer(begun, "first");
    assert_eq!(first.join_next().await.unwrap().unwrap().unwrap().expect(200).text(), "first");
    assert!(gone.await.unwrap(), "the connection ends without another request");
}

#[tokio::test]
async fn a_client_that_goes_away_resets_its_stream_only() {
    let (gateway, target) = before_frames().await;
    let mut call = sent(&gateway, "POST /").await;
    let mut connection = accept(&target).await;
    let (_, mut respond) = asked(&mut connection).await;
    call.shutdown().await;
    let reset = std::future::poll_fn(|cx| respond.poll_reset(cx));
    let reset = tokio::select! {
        reset = reset => reset.unwrap(),
        more = connection.accept() => panic!("unexpected: {more:?}"),
    };
    assert_eq!(reset, Reason::CANCEL);
    let call = sent(&gateway, "POST /").await;
    answer(asked(&mut connection).await, "the same connection");
    assert_eq!(ended(call, &mut connection).await.expect(200).text(), "the same connection");
}

#[tokio::test]
async fn a_target_that_goes_on_ending_streams_is_asked_no_more_often_than_retries_say() {
    let (gateway, target) = before_frames().await;
    let call = sent(&gateway, "PUT /").await;
    let mut connection = accept(&target).await;
    for _ in 0..2 {
        asked(&mut connection).await.1.send_reset(Reason::INTERNAL_ERROR);
    }
    ended(call, &mut connection).await.expect(502);
}
