//! What to do with the rest of a request that was answered before it had ended.

use std::time::Duration;

use http::Version;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::plugin::{Exchange, RequestBody};

/// A client that sends more than this many bytes after its answer is told to stop.
const MOST: usize = 64 << 10;

/// The same for one that takes longer.
const LONGEST: Duration = Duration::from_secs(1);

/// Over HTTP/2, whoever drops a body resets its stream. RFC 9113 §8.1 asks clients to heed the answer all the same, and some
/// versions of curl do not. Most bodies are short and on their way already, so that reading them costs less than a failed
/// call. Over HTTP/1.1 the connection's end is the listener's to arrange.
pub(super) fn over(exchange: &mut Exchange) {
    if exchange.request.version != Version::HTTP_2 {
        return;
    }
    if let RequestBody::Incoming(body) | RequestBody::Partial(_, body) = std::mem::take(&mut exchange.body)
        && !body.is_end_stream()
    {
        tokio::task::spawn_local(async move { _ = tokio::time::timeout(LONGEST, swallow(body)).await });
    }
}

async fn swallow(mut body: Incoming) {
    let mut read = 0;
    while read <= MOST
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, |data| data.len());
    }
}
