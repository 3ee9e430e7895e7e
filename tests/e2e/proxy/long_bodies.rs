//! How much memory a body may take: none to speak of. `SANDGATE_TEST_BODY_MIB` sets another size than 1 GiB.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::harness::{Client, TestGateway, TestTarget, Wire, full};

const MIB: u64 = 1 << 20;
/// What a gateway may grow by, whatever passes.
const ROOM: u64 = 64 * MIB;

/// Long enough that a gateway that kept it would show.
fn length() -> u64 {
    std::env::var("SANDGATE_TEST_BODY_MIB").map_or(1024, |size| size.parse().unwrap()) * MIB
}

#[tokio::test]
async fn a_long_download_passes_in_little_memory() {
    for wire in [Wire::Http1, Wire::TlsHttp2] {
        let target = TestTarget::pouring(length()).await;
        let gateway = TestGateway::new().route("/", [&target]).start().await;
        gateway.applied().await;
        gateway.process.forget_peak().unwrap();
        let idle = gateway.process.memory("VmRSS").unwrap();
        let address = if wire == Wire::Http1 { gateway.proxy() } else { gateway.proxy_tls() };
        let mut client = Client::connect(address, wire).await.unwrap();
        let answer = client.begin(Request::get("/").body(full("")).unwrap()).await.unwrap();
        let (mut body, mut came) = (answer.into_body(), 0);
        while let Some(frame) = body.frame().await {
            came += frame.unwrap().data_ref().map_or(0, Bytes::len) as u64;
        }
        let grown = gateway.process.memory("VmHWM").unwrap().saturating_sub(idle);
        println!("down over {wire:?}: {} KiB more than idle", grown >> 10);
        assert_eq!(came, length(), "{wire:?}");
        assert!(grown < ROOM, "{wire:?}: {grown} bytes more");
    }
}

#[tokio::test]
async fn a_long_upload_passes_in_little_memory() {
    for wire in [Wire::Http1, Wire::TlsHttp2] {
        let target = TestTarget::swallowing().await;
        let gateway = TestGateway::new().route("/", [&target]).start().await;
        gateway.applied().await;
        gateway.process.forget_peak().unwrap();
        let idle = gateway.process.memory("VmRSS").unwrap();
        let piece = Bytes::from(vec![b'x'; 64 << 10]);
        let pieces = std::iter::repeat_n(piece, usize::try_from(length()).unwrap() / (64 << 10));
        let body = StreamBody::new(tokio_stream(pieces)).boxed_unsync();
        let address = if wire == Wire::Http1 { gateway.proxy() } else { gateway.proxy_tls() };
        let mut client = Client::connect(address, wire).await.unwrap();
        let answer = client.begin(Request::post("/").body(body).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200, "{wire:?}");
        let came = answer.into_body().collect().await.unwrap().to_bytes();
        let grown = gateway.process.memory("VmHWM").unwrap().saturating_sub(idle);
        println!("up over {wire:?}: {} KiB more than idle", grown >> 10);
        assert_eq!(came, length().to_string(), "{wire:?}");
        assert!(grown < ROOM, "{wire:?}: {grown} bytes more");
    }
}

/// Pieces as a stream.
fn tokio_stream(
    pieces: impl Iterator<Item = Bytes> + Send + 'static,
) -> impl tonic::codegen::tokio_stream::Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> + Send {
    tonic::codegen::tokio_stream::iter(pieces.map(|piece| Ok(Frame::data(piece))))
}
