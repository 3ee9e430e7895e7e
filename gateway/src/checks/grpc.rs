//! gRPC's own health protocol: `grpc.health.v1.Health/Check`, asked without a service name.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{client::conn::http2, rt::Executor};
use hyper_util::rt::TokioIo;

use super::probe::{Heard, ProbeError, Stream};
use crate::shutdown::Tasks;

const PATH: &str = "/grpc.health.v1.Health/Check";
/// An empty message, framed: not compressed, no bytes.
const NOTHING: &[u8] = &[0; 5];
/// Bytes of an answer that are read; a good one has seven.
const ANSWER: usize = 1_024;
/// `SERVING`, as the first field of the answer.
const SERVING: &[u8] = &[0x08, 0x01];
/// `UNIMPLEMENTED`.
const NO_SUCH_SERVICE: &str = "12";

/// Runs what an HTTP/2 connection does beside its driver.
#[derive(Clone)]
struct Beside(Tasks);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Beside {
    fn execute(&self, future: F) {
        self.0.spawn("a gRPC check", future);
    }
}

/// Asks over a connection. A target without the service answers, and so counts as fine, as with Kong, which only connects.
pub(super) async fn ask(stream: Box<dyn Stream>, host: &str, tasks: &Tasks) -> Result<Heard, ProbeError> {
    let (mut sender, connection) = http2::handshake(Beside(tasks.clone()), TokioIo::new(stream)).await?;
    let uri = Uri::builder().scheme("http").authority(host).path_and_query(PATH).build();
    let request = Request::builder()
        .method(Method::POST)
        .uri(uri.map_err(|_| ProbeError::Invalid)?)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(NOTHING)))
        .map_err(|_| ProbeError::Invalid)?;
    let answering = async {
        let answer = sender.send_request(request).await?;
        let head = answer.headers().clone();
        let body = Limited::new(answer.into_body(), ANSWER).collect().await.map_err(|_| ProbeError::Invalid)?;
        let trailers = body.trailers().cloned();
        Ok(heard(&head, trailers.as_ref(), &body.to_bytes()))
    };
    // A connection that ends first takes the answer with it, which then fails on its own.
    let mut answering = std::pin::pin!(answering);
    tokio::select! {
        answer = &mut answering => answer,
        _ = connection => answering.await,
    }
}

fn heard(head: &HeaderMap, trailers: Option<&HeaderMap>, message: &[u8]) -> Heard {
    let status = trailers.and_then(|trailers| trailers.get("grpc-status")).or_else(|| head.get("grpc-status"));
    match status.map(|status| status.as_bytes()) {
        Some(b"0") if message.get(5..).is_some_and(|answer| answer.starts_with(SERVING)) => Heard::Fine,
        Some(status) if status == NO_SUCH_SERVICE.as_bytes() => Heard::Fine,
        _ => Heard::NotFine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_serving_target_is_fine() {
        let status =
            |status: &'static str| HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
        let none = HeaderMap::new();
        let cases: [(&str, HeaderMap, &[u8], Heard); 5] = [
            ("serving", status("0"), &[0, 0, 0, 0, 2, 8, 1], Heard::Fine),
            ("not serving", status("0"), &[0, 0, 0, 0, 2, 8, 2], Heard::NotFine),
            ("unknown", status("0"), &[0, 0, 0, 0, 0], Heard::NotFine),
            ("no such service", status("12"), &[], Heard::Fine),
            ("unavailable", status("14"), &[], Heard::NotFine),
        ];
        for (label, trailers, message, expected) in cases {
            assert_eq!(heard(&none, Some(&trailers), message), expected, "{label}");
            assert_eq!(heard(&trailers, None, message), expected, "{label}, trailers only");
        }
        assert_eq!(heard(&none, None, b""), Heard::NotFine, "a web server");
    }
}
