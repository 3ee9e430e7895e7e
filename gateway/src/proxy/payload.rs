//! The body of a request on its way to a target: read ahead while it is small, so that it can be sent again; else passed on
//! piece by piece.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{
    Failure,
    exchange::Care,
    filter::{FilteredUpload, Shelf, filter_all},
};
use crate::{
    plugin::{self, Chain, Direction, Exchange},
    upstream::{RequestBody, Upload},
};

/// Bodies up to this many bytes are read before a target is asked.
const READ_AHEAD: usize = 64 << 10;

/// How long a client may take to send the next piece of a body that is read ahead.
const PATIENCE: Duration = Duration::from_secs(60);

/// The body of a request is larger than allowed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the body is larger than {0} bytes")]
pub struct TooLarge(pub(super) u64);

/// Whether sending failed because the body turned out too large on its way.
pub(super) fn is_too_large(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<TooLarge>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The body of a request.
pub(super) enum Payload {
    /// None.
    Empty,
    /// All of it.
    Full(Bytes),
    /// It can be sent once; `None` after that.
    Once(Option<Upload>),
    /// The same, through plugins that see it piece by piece.
    Filtered(Option<FilteredUpload>, Rc<Shelf>),
}

impl Payload {
    /// Takes the body out of the exchange. `reads_ahead`: the route wants small bodies complete (`request_buffering`).
    /// `limit`: in bytes.
    pub(super) async fn take(exchange: &mut Care, reads_ahead: bool, limit: u64) -> Result<Self, Failure> {
        let read = match std::mem::take(&mut exchange.body) {
            plugin::RequestBody::Empty => return Ok(Self::Empty),
            plugin::RequestBody::Buffered(bytes) => Read::All(bytes),
            plugin::RequestBody::Partial(start, rest) => Read::Part(Resumed::new(start, rest, limit)),
            plugin::RequestBody::Incoming(body) if reads_ahead => Box::pin(read_ahead(body, limit)).await?,
            plugin::RequestBody::Incoming(body) => Read::Part(Resumed::new(Bytes::new(), body, limit)),
        };
        let filters = !exchange.selected.is_empty() && Chain::filters(exchange, Direction::Request);
        exchange.body_changed |= filters;
        let payload = match read {
            Read::All(bytes) => {
                exchange.bytes_in += bytes.len() as u64;
                Self::Full(if filters { filter_all(exchange, bytes).await? } else { bytes })
            }
            Read::Part(rest) if filters => {
                let shelf = Rc::<Shelf>::default();
                Self::Filtered(Some(FilteredUpload::new(rest, shelf.clone())), shelf)
            }
            Read::Part(rest) => Self::Once(Some(Upload::new(rest))),
        };
        payload.frame(exchange);
        Ok(payload)
    }

    /// Whether it can be sent again.
    pub(super) fn is_replayable(&self) -> bool {
        matches!(self, Self::Empty | Self::Full(_))
    }

    /// The body for one attempt; `None` if it was sent before and is gone.
    pub(super) fn attempt(&mut self) -> Option<RequestBody> {
        match self {
            Self::Empty => Some(RequestBody::Empty),
            Self::Full(bytes) => Some(RequestBody::Full(bytes.clone())),
            Self::Once(upload) => upload.take().map(RequestBody::Stream),
            Self::Filtered(upload, _) => upload.take().map(|upload| RequestBody::Stream(Upload::new(upload))),
        }
    }

    /// Where the exchange has to be while the body is sent.
    pub(super) fn shelf(&self) -> Option<&Rc<Shelf>> {
        match self {
            Self::Empty | Self::Full(_) | Self::Once(_) => None,
            Self::Filtered(_, shelf) => Some(shelf),
        }
    }

    /// Makes Content-Length tell what is sent.
    fn frame(&self, exchange: &mut Exchange) {
        let headers = &mut exchange.request.headers;
        match self {
            Self::Full(bytes) if exchange.body_changed || !headers.contains_key(header::CONTENT_LENGTH) => {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            }
            Self::Once(_) | Self::Filtered(..) if exchange.body_changed => drop(headers.remove(header::CONTENT_LENGTH)),
            Self::Empty | Self::Full(_) | Self::Once(_) | Self::Filtered(..) => {}
        }
    }
}

/// How much of a body was read.
enum Read {
    All(Bytes),
    Part(Resumed),
}

async fn read_ahead(mut body: Incoming, limit: u64) -> Result<Read, Failure> {
    if body.size_hint().lower() > READ_AHEAD as u64 {
        return Ok(Read::Part(Resumed::new(Bytes::new(), body, limit)));
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
        let read = first.len().max(more.len());
        if read as u64 > limit {
            return Err(TooLarge(limit).into());
        }
        if read > READ_AHEAD {
            let start = if more.is_empty() { first } else { more.freeze() };
            return Ok(Read::Part(Resumed::new(start, body, limit)));
        }
    }
    Ok(Read::All(if more.is_empty() { first } else { more.freeze() }))
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
pub(super) struct Resumed {
    start: Option<Bytes>,
    rest: Incoming,
    limit: u64,
    /// Bytes that may still come.
    left: u64,
}

impl Resumed {
    fn new(start: Bytes, rest: Incoming, limit: u64) -> Self {
        let left = limit.saturating_sub(start.len() as u64);
        Self { start: Some(start).filter(|start| !start.is_empty()), rest, limit, left }
    }
}

impl Body for Resumed {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Some(start) = this.start.take() {
            return Poll::Ready(Some(Ok(Frame::data(start))));
        }
        let polled = Pin::new(&mut this.rest).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(left) = this.left.checked_sub(length) else {
                return Poll::Ready(Some(Err(TooLarge(this.limit).into())));
            };
            this.left = left;
        }
        polled.map_err(Into::into)
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
