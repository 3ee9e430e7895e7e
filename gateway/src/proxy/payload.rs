//! The body of a request on its way to a target: read ahead while it is small, so that it can be sent again; else passed on
//! piece by piece.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::Failure;
use crate::{
    plugin::{self, Exchange},
    upstream::{RequestBody, Upload},
};

/// Bodies up to this many bytes are read before a target is asked.
const READ_AHEAD: usize = 64 << 10;

/// How long a client may take to send the next piece of a body that is read ahead.
const PATIENCE: Duration = Duration::from_secs(60);

/// The body of a request.
pub(super) enum Payload {
    /// None.
    Empty,
    /// All of it.
    Full(Bytes),
    /// It can be sent once; `None` after that.
    Once(Option<Upload>),
}

impl Payload {
    /// Takes the body out of the exchange. `reads_ahead`: the route wants small bodies complete (`request_buffering`).
    pub(super) async fn take(exchange: &mut Exchange, reads_ahead: bool) -> Result<Self, Failure> {
        let payload = match std::mem::take(&mut exchange.body) {
            plugin::RequestBody::Empty => Self::Empty,
            plugin::RequestBody::Buffered(bytes) => Self::Full(bytes),
            plugin::RequestBody::Partial(start, rest) => Self::stream(start, rest),
            plugin::RequestBody::Incoming(body) if reads_ahead => read_ahead(body).await?,
            plugin::RequestBody::Incoming(body) => Self::stream(Bytes::new(), body),
        };
        if let Self::Full(bytes) = &payload {
            exchange.bytes_in += bytes.len() as u64;
        }
        payload.frame(exchange);
        Ok(payload)
    }

    /// Whether it can be sent again.
    pub(super) fn is_replayable(&self) -> bool {
        !matches!(self, Self::Once(_))
    }

    /// The body for one attempt; `None` if it was sent before and is gone.
    pub(super) fn attempt(&mut self) -> Option<RequestBody> {
        match self {
            Self::Empty => Some(RequestBody::Empty),
            Self::Full(bytes) => Some(RequestBody::Full(bytes.clone())),
            Self::Once(upload) => upload.take().map(RequestBody::Stream),
        }
    }

    fn stream(start: Bytes, rest: Incoming) -> Self {
        Self::Once(Some(Upload::new(Resumed { start: Some(start).filter(|start| !start.is_empty()), rest })))
    }

    /// Makes Content-Length tell what is sent.
    fn frame(&self, exchange: &mut Exchange) {
        let headers = &mut exchange.request.headers;
        match self {
            Self::Full(bytes) if exchange.body_changed || !headers.contains_key(header::CONTENT_LENGTH) => {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            }
            Self::Once(_) if exchange.body_changed => drop(headers.remove(header::CONTENT_LENGTH)),
            Self::Empty | Self::Full(_) | Self::Once(_) => {}
        }
    }
}

async fn read_ahead(mut body: Incoming) -> Result<Payload, Failure> {
    if body.size_hint().lower() > READ_AHEAD as u64 {
        return Ok(Payload::stream(Bytes::new(), body));
    }
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(piece) = next_piece(&mut body).await? {
        if first.is_empty() {
            first = piece;
        } else {
            more.extend_from_slice(if more.is_empty() { &first } else { &[] });
            more.extend_from_slice(&piece);
        }
        if first.len().max(more.len()) > READ_AHEAD {
            let start = if more.is_empty() { first } else { more.freeze() };
            return Ok(Payload::stream(start, body));
        }
    }
    Ok(Payload::Full(if more.is_empty() { first } else { more.freeze() }))
}

/// The next bytes that are not nothing; trailers are left out.
async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    loop {
        if body.is_end_stream() {
            return Ok(None);
        }
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        let frame = tokio::time::timeout(PATIENCE, frame).await.map_err(|_| Failure::BodyTimeout)?;
        let Some(frame) = frame else { return Ok(None) };
        match frame.map_err(Failure::Body)?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            Ok(_) | Err(_) => {}
        }
    }
}

/// A body whose start was read already.
struct Resumed {
    start: Option<Bytes>,
    rest: Incoming,
}

impl Body for Resumed {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Some(start) = this.start.take() {
            return Poll::Ready(Some(Ok(Frame::data(start))));
        }
        Pin::new(&mut this.rest).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.start.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let start = self.start.as_ref().map_or(0, |start| start.len() as u64);
        let mut hint = self.rest.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + start);
        }
        hint.set_lower(hint.lower() + start);
        hint
    }
}
