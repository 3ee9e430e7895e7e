//! The bytes of a body: no more than allowed, and not for ever.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::failure::Failure;

/// How long a client may send nothing.
const IDLE_LIMIT: Duration = Duration::from_secs(10);
/// What is read of a body that was refused, and how long, so that its sender gets to read the answer.
const REST_LIMIT: usize = 64 * 1024 * 1024;
const REST_TIME: Duration = Duration::from_secs(2);

/// The whole body, if it has at most `limit` bytes and arrives within `patience`.
pub(super) async fn read(mut body: Body, limit: usize, patience: Duration) -> Result<Bytes, Failure> {
    if body.size_hint().lower() > limit as u64 {
        return too_large(body).await;
    }
    let end = Instant::now() + patience;
    let mut read = BytesMut::new();
    loop {
        let next = timeout_at(end, timeout(IDLE_LIMIT, body.frame()));
        let Ok(Ok(next)) = next.await else { return Err(Failure::Slow) };
        let Some(frame) = next else { return Ok(read.freeze()) };
        let frame = frame.map_err(|_| Failure::Bad("the body is not complete".to_owned()))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - read.len() {
            return too_large(body).await;
        }
        read.extend_from_slice(&data);
    }
}

async fn too_large(mut body: Body) -> Result<Bytes, Failure> {
    let rest = async {
        let mut left = REST_LIMIT;
        while let Some(Ok(frame)) = body.frame().await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    // Reading on is a courtesy: the answer is the same if it takes too long.
    _ = timeout(REST_TIME, rest).await;
    Err(Failure::TooLarge)
}
