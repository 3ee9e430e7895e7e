//! gRPC through the gateway, with tonic on both sides.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper::{client::conn::http2::SendRequest, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tonic::{
    Code, Request, Response, Status, Streaming,
    client::Grpc,
    codegen::{BoxFuture, BoxStream, Service, tokio_stream::Stream},
    server::{StreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

use crate::harness::{Call, Gateway, TestGateway, Wire, acceptor, connect_tls, within_an_hour};

/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What both sides say.
#[derive(Clone, PartialEq, prost::Message)]
struct Words {
    #[prost(string, tag = "1")]
    text: String,
}

impl Words {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

type Codec = ProstCodec<Words, Words>;

/// Says what it hears.
struct Echo;

impl UnaryService<Words> for Echo {
    type Response = Words;
    type Future = BoxFuture<Response<Words>, Status>;

    fn call(&mut self, request: Request<Words>) -> Self::Future {
        Box::pin(async move {
            let via = request.metadata().get("via").map(|via| via.to_str().unwrap().to_owned());
            let words = request.into_inner();
            if words.text == "fail" {
                let mut status = Status::with_details(Code::OutOfRange, "too far", "details".into());
                status.metadata_mut().insert("x-why", "because".parse().unwrap());
                return Err(status);
            }
            let mut response = Response::new(words);
            response.metadata_mut().insert("x-via", via.unwrap_or_default().parse().unwrap());
            Ok(response)
        })
    }
}

impl StreamingService<Words> for Echo {
    type Response = Words;
    type ResponseStream = BoxStream<Words>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<Words>>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(Box::pin(request.into_inner()) as BoxStream<Words>)) })
    }
}

/// A gRPC server. It ends with its value.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// `streams`: how many a connection may have at once.
    async fn start(is_tls: bool, streams: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mut tasks, acceptor) = (JoinSet::new(), acceptor_of_http2());
        let connections = Arc::<AtomicUsize>::default();
        let count = connections.clone();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Relaxed);
                let acceptor = acceptor.clone();
                open.spawn(async move {
                    if is_tls {
                        let stream = acceptor.accept(stream).await.unwrap();
                        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                        serve(stream, streams).await;
                    } else {
                        serve(stream, streams).await;
                    }
                });
            }
        });
        Self { port, connections, _tasks: tasks }
    }

    fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }
}

fn acceptor_of_http2() -> TlsAcceptor {
    let mut config = ServerConfig::clone(acceptor().unwrap().config());
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, streams: u32) {
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| async {
        let mut grpc = tonic::server::Grpc::new(Codec::default());
        Ok::<_, std::convert::Infallible>(match request.uri().path() {
            "/words.Words/Once" => grpc.unary(Echo, request).await,
            "/words.Words/Both" => grpc.streaming(Echo, request).await,
            _ => Status::unimplemented("no such method").into_http(),
        })
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    drop(builder.max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service).await);
}

/// A connection of a gRPC client.
#[derive(Clone)]
struct Channel(SendRequest<tonic::body::Body>);

impl Service<http::Request<tonic::body::Body>> for Channel {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// A client of the gateway; its connection ends with the set.
async fn client(gateway: &Gateway, is_tls: bool, tasks: &mut JoinSet<()>) -> Grpc<Channel> {
    gateway.applied().await;
    let address = if is_tls { gateway.proxy_tls() } else { gateway.proxy() };
    let stream = TcpStream::connect(address).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let sender = if is_tls {
        let stream = connect_tls(stream, "h2").await.unwrap();
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        tasks.spawn(async { drop(connection.await) });
        sender
    } else {
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        tasks.spawn(async { drop(connection.await) });
        sender
    };
    let scheme = if is_tls { "https" } else { "http" };
    Grpc::with_origin(Channel(sender), format!("{scheme}://{address}").parse::<Uri>().unwrap())
}

async fn once(client: &mut Grpc<Channel>, text: &str) -> Result<Response<Words>, Status> {
    client.ready().await.unwrap();
    let path = "/words.Words/Once".parse().unwrap();
    client.unary(Request::new(Words::new(text)), path, Codec::default()).await
}

/// Messages from a channel.
struct Said(mpsc::Receiver<Words>);

impl Stream for Said {
    type Item = Words;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Words>> {
        self.0.poll_recv(cx)
    }
}

async fn both(client: &mut Grpc<Channel>) -> (mpsc::Sender<Words>, Streaming<Words>) {
    let (say, said) = mpsc::channel(1);
    client.ready().await.unwrap();
    let path = "/words.Words/Both".parse().unwrap();
    let answer = client.streaming(Request::new(Said(said)), path, Codec::default()).await.unwrap();
    (say, answer.into_inner())
}

/// A gateway before a gRPC server.
async fn before(server: &Server, protocol: &str, service: serde_json::Value) -> Gateway {
    before_with("30s", server, protocol, service).await
}

/// As `before`, with so much time for open calls at the end.
async fn before_with(grace: &str, server: &Server, protocol: &str, service: serde_json::Value) -> Gateway {
    let gateway = TestGateway::new().setting("SANDGATE_DRAIN_GRACE_PERIOD", grace).start().await;
    let mut service = service;
    service["url"] = format!("{protocol}://127.0.0.1:{}", server.port).into();
    service["name"] = "words".into();
    gateway.admin.create("/services", service).await;
    let route = json!({ "name": "words", "protocols": ["grpc", "grpcs"], "paths": ["/words.Words/"] });
    gateway.admin.create("/services/words/routes", route).await;
    gateway.applied().await;
    gateway
}

#[tokio::test]
async fn calls_pass_on_every_wire() {
    for protocol in ["grpc", "grpcs"] {
        let server = Server::start(protocol == "grpcs", 100).await;
        let gateway = before(&server, protocol, json!({})).await;
        for is_tls in [false, true] {
            let mut tasks = JoinSet::new();
            let mut client = client(&gateway, is_tls, &mut tasks).await;
            let answer = once(&mut client, "hello").await.unwrap();
            let headers = answer.metadata().clone().into_headers();
            assert_eq!(headers["x-via"], "2 sandgate/0.1.0", "{protocol} {is_tls}");
            assert_eq!(headers["via"], "2 sandgate/0.1.0", "{protocol} {is_tls}");
            assert_eq!(answer.into_inner().text, "hello");
        }
    }
}

#[tokio::test]
async fn a_status_of_the_server_reaches_the_client_whole() {
    let server = Server::start(false, 100).await;
    let gateway = before(&server, "grpc", json!({})).await;
    let mut tasks = JoinSet::new();
    let mut client = client(&gateway, false, &mut tasks).await;
    let status = once(&mut client, "fail").await.unwrap_err();
    assert_eq!((status.code(), status.message(), status.details()), (Code::OutOfRange, "too far", &b"details"[..]));
    assert_eq!(status.metadata().get("x-why").unwrap(), "because");
}

#[tokio::test]
async fn both_sides_stream_at_once() {
    let server = Server::start(false, 100).await;
    let gateway = before(&server, "grpc", json!({})).await;
    let mut tasks = JoinSet::new();
    let mut client = client(&gateway, true, &mut tasks).await;
    let (say, mut heard) = both(&mut client).await;
    for number in 0..100 {
        let text = format!("{number} {}", "x".repeat(number * 1000));
        say.send(Words::new(text.clone())).await.unwrap();
        assert_eq!(heard.message().await.unwrap().unwrap().text, text, "each is answered before the next is said");
    }
    drop(say);
    assert!(heard.message().await.unwrap().is_none());
    assert!(heard.trailers().await.unwrap().is_some());
}

#[tokio::test]
async fn both_sides_stream_at_once_through_plugins() {
    let cases = [("shout", json!({}), 60), ("body", json!({ "pass": true }), 100_000)];
    for (plugin, config, longest) in cases {
        let server = Server::start(false, 100).await;
        let gateway = before(&server, "grpc", json!({})).await;
        gateway.upload(plugin).await;
        gateway.plugin("words", plugin, config).await;
        let mut tasks = JoinSet::new();
        let mut client = client(&gateway, true, &mut tasks).await;
        let (say, mut heard) = both(&mut client).await;
        for number in 0..100 {
            // Capitals in the length of a message would be another length.
            let text = format!("{number} {}", "X".repeat(number * longest / 100));
            say.send(Words::new(text.clone())).await.unwrap();
            let answer = heard.message().await.unwrap().unwrap();
            assert_eq!(answer.text, text, "{plugin}: each is answered before the next is said");
        }
        drop(say);
        assert!(heard.message().await.unwrap().is_none(), "{plugin}");
        assert!(heard.trailers().await.unwrap().is_some(), "{plugin}");
    }
}

#[tokio::test]
async fn a_plugin_that_traps_late_resets_the_stream() {
    let server = Server::start(false, 100).await;
    let gateway = before(&server, "grpc", json!({})).await;
    gateway.upload("shout").await;
    gateway.plugin("words", "shout", json!({ "trap": "boom" })).await;
    let mut tasks = JoinSet::new();
    let mut client = client(&gateway, false, &mut tasks).await;
    let (say, mut heard) = both(&mut client).await;
    say.send(Words::new("A")).await.unwrap();
    heard.message().await.unwrap().unwrap();
    say.send(Words::new("boom")).await.unwrap();
    assert!(heard.message().await.is_err(), "the stream is broken off, not ended");
    let (say, mut heard) = both(&mut client).await;
    say.send(Words::new("STILL HERE")).await.unwrap();
    assert_eq!(heard.message().await.unwrap().unwrap().text, "STILL HERE");
}

#[tokio::test]
async fn a_stream_that_is_silent_beyond_the_read_timeout_is_reset() {
    let server = Server::start(false, 100).await;
    let gateway = before(&server, "grpc", json!({ "read_timeout": 3000 })).await;
    let mut tasks = JoinSet::new();
    let mut client = client(&gateway, false, &mut tasks).await;
    let (say, mut heard) = both(&mut client).await;
    say.send(Words::new("a")).await.unwrap();
    heard.message().await.unwrap().unwrap();
    let ended = tokio::time::timeout(PATIENCE, heard.message()).await.unwrap();
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(once(&mut client, "still here").await.unwrap().into_inner().text, "still here");
}

#[tokio::test]
async fn calls_share_connections_up_to_the_limit_of_streams() {
    for (streams, least, most) in [(1000, 1, 2), (10, 2, 24)] {
        let server = Server::start(false, streams).await;
        let gateway = before(&server, "grpc", json!({})).await;
        let mut tasks = JoinSet::new();
        let mut client = client(&gateway, false, &mut tasks).await;
        let mut open = Vec::new();
        for _ in 0..60 {
            let (say, mut heard) = both(&mut client).await;
            say.send(Words::new("a")).await.unwrap();
            heard.message().await.unwrap().unwrap();
            open.push((say, heard));
        }
        let made = server.connections();
        assert!((least..=most).contains(&made), "{made} connections for 60 streams, {streams} a connection");
    }
}

#[tokio::test]
async fn what_the_gateway_says_itself_is_a_status() {
    let server = Server::start(false, 100).await;
    let gateway = before(&server, "grpc", json!({})).await;
    gateway.plugin("words", "key-auth", json!({})).await;
    let mut tasks = JoinSet::new();
    let mut client = client(&gateway, false, &mut tasks).await;
    let status = once(&mut client, "hello").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "No API key found in request"));
    client.ready().await.unwrap();
    let path = "/other.Other/Once".parse().unwrap();
    let status = client.unary(Request::new(Words::new("")), path, Codec::default()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no Route matched with those values"));
}

#[tokio::test]
async fn what_a_plugin_answers_is_a_status() {
    let server = Server::start(false, 100).await;
    let gateway = before(&server, "grpc", json!({})).await;
    gateway.plugin("words", "rate-limiting", json!({ "hour": 1, "policy": "local" })).await;
    within_an_hour().await;
    let mut tasks = JoinSet::new();
    let mut client = client(&gateway, false, &mut tasks).await;
    once(&mut client, "hello").await.unwrap();
    let status = once(&mut client, "hello").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "API rate limit exceeded"));
}

#[tokio::test]
async fn a_dead_server_is_unavailable_or_broken() {
    let mut server = Server::start(false, 100).await;
    let gateway = before(&server, "grpc", json!({ "retries": 1 })).await;
    let mut tasks = JoinSet::new();
    let mut client = client(&gateway, false, &mut tasks).await;
    once(&mut client, "hello").await.unwrap();
    server._tasks.shutdown().await;
    let status = once(&mut client, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert_eq!(status.message(), "An invalid response was received from the upstream server");
}

#[tokio::test]
async fn only_grpc_over_http2_takes_grpc_routes() {
    let server = Server::start(false, 100).await;
    let gateway = before(&server, "grpc", json!({})).await;
    let call = |kind: &'static str| Call::new(gateway.proxy(), "POST /words.Words/Once").header("content-type", kind);
    let old = call("application/grpc").send().await.expect(426);
    assert_eq!(
        (old.header("upgrade"), &*old.json()["message"].to_string()),
        ("HTTP/2", "\"Please use HTTP2 protocol\"")
    );
    let other = call("text/plain").over(Wire::Http2).send().await.expect(415);
    assert_eq!(other.json()["message"], "Non-gRPC request matched gRPC route");
}

#[tokio::test]
async fn a_stream_goes_on_while_another_process_takes_over() {
    let server = Server::start(false, 100).await;
    let mut gateway = before(&server, "grpc", json!({})).await;
    let mut tasks = JoinSet::new();
    let mut open = client(&gateway, true, &mut tasks).await;
    let (say, mut heard) = both(&mut open).await;
    say.send(Words::new("before")).await.unwrap();
    assert_eq!(heard.message().await.unwrap().unwrap().text, "before");
    let first = gateway.process.take_over(PATIENCE).await.unwrap();
    let mut other = client(&gateway, true, &mut tasks).await;
    assert_eq!(once(&mut other, "new").await.unwrap().into_inner().text, "new");
    say.send(Words::new("after")).await.unwrap();
    assert_eq!(heard.message().await.unwrap().unwrap().text, "after");
    drop(say);
    assert!(heard.message().await.unwrap().is_none());
    gateway.process.gone(first, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_drain_cuts_streams_after_the_grace_period() {
    let server = Server::start(false, 100).await;
    let mut gateway = before_with("300ms", &server, "grpc", json!({})).await;
    let mut tasks = JoinSet::new();
    let mut client = client(&gateway, false, &mut tasks).await;
    let (say, mut heard) = both(&mut client).await;
    say.send(Words::new("a")).await.unwrap();
    heard.message().await.unwrap().unwrap();
    assert_eq!(gateway.terminate().await.code(), Some(0));
    assert!(heard.message().await.is_err(), "the stream is broken off, not ended");
}
