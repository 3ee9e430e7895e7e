//! The body of a request on its way to a target: read ahead while it is small, so that it can be sent again; else passed on
//! piece by piece.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{
    Failure,
    exchange::Care,
    filter::{FilteredUpload, Seat, filter_all},
};
use crate::{
    plugin::{self, Chain, Direction, Exchange},
    upstream::{RequestBody, Upload},
};

/// Bodies up to this many bytes are read before a target is asked.
const READ_AHEAD: usize = 64 << 10;

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
    /// It can be sent once; nothing is at home after that.
    Once(Home<Resumed>),
    /// The same, through plugins that see it piece by piece; with the answer's side of it, until the answer has begun.
    Filtered(Home<FilteredUpload>, Option<Seat>),
}

impl Payload {
    /// Takes the body out of the exchange. `ahead`: how much of it is read first, and how long that may take for each piece.
    pub(super) async fn take(exchange: &mut Care, ahead: (Ahead, Duration), limit: u64) -> Result<Self, Failure> {
        let read = match std::mem::take(&mut exchange.body) {
            plugin::RequestBody::Empty => return Ok(Self::Empty),
            // What a plugin made of it is the plugin's affair.
            plugin::RequestBody::Buffered(bytes) if bytes.len() as u64 > limit && !exchange.body_changed => {
                return Err(TooLarge(limit).into());
            }
            plugin::RequestBody::Buffered(bytes) => Read::All(bytes),
            plugin::RequestBody::Partial(start, rest) => Read::Part(Resumed::new(start, rest, limit)),
            plugin::RequestBody::Incoming(body) => match ahead.0 {
                Ahead::Nothing => Read::Part(Resumed::new(Bytes::new(), body, limit)),
                Ahead::Small | Ahead::Here => Box::pin(read_ahead(body, ahead, limit)).await?,
            },
        };
        let filters = !exchange.selected.is_empty() && Chain::filters(exchange, Direction::Request);
        exchange.body_changed |= filters;
        let payload = match read {
            Read::All(bytes) => {
                exchange.bytes_in += bytes.len() as u64;
                Self::Full(if filters { filter_all(exchange, bytes).await? } else { bytes })
            }
            Read::Part(rest) if filters => {
                let (upload, seat) = FilteredUpload::new(rest);
                Self::Filtered(Home::of(upload), Some(seat))
            }
            Read::Part(rest) => Self::Once(Home::of(rest)),
        };
        payload.frame(exchange);
        Ok(payload)
    }

    /// Whether it can be sent again.
    pub(super) fn is_replayable(&self) -> bool {
        match self {
            Self::Empty | Self::Full(_) => true,
            Self::Once(home) => home.is_in(),
            Self::Filtered(home, _) => home.is_in(),
        }
    }

    /// The body for one attempt; `None` if it was sent before and is gone.
    pub(super) fn attempt(&mut self) -> Option<RequestBody> {
        match self {
            Self::Empty => Some(RequestBody::Empty),
            Self::Full(bytes) => Some(RequestBody::Full(bytes.clone())),
            Self::Once(home) => home.lend().map(|lent| RequestBody::Stream(Upload::new(lent))),
            Self::Filtered(home, _) => home.lend().map(|lent| RequestBody::Stream(Upload::new(lent))),
        }
    }

    /// Where the exchange has to be while the body is sent.
    pub(super) fn seat(&mut self) -> Option<&mut Option<Seat>> {
        match self {
            Self::Empty | Self::Full(_) | Self::Once(_) => None,
            Self::Filtered(_, seat) => Some(seat),
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

/// How much of a body is read before a target is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    /// All of it, if it is small (`request_buffering`).
    Small,
    /// What is here already, without waiting for more.
    Here,
    /// None of it.
    Nothing,
}

/// Where a body is that can be sent once. One that was lent and came to nothing comes back: a target that could not be
/// reached took nothing of it.
pub(super) struct Home<B>(Rc<RefCell<Option<B>>>);

impl<B> Home<B> {
    fn of(body: B) -> Self {
        Self(Rc::new(RefCell::new(Some(body))))
    }

    fn is_in(&self) -> bool {
        self.0.borrow().is_some()
    }

    fn lend(&self) -> Option<Lent<B>> {
        let body = self.0.borrow_mut().take()?;
        Some(Lent { body: Some(body), home: self.0.clone(), is_begun: false })
    }
}

/// A body on its way.
struct Lent<B> {
    body: Option<B>,
    home: Rc<RefCell<Option<B>>>,
    is_begun: bool,
}

impl<B> Drop for Lent<B> {
    fn drop(&mut self) {
        if !self.is_begun {
            *self.home.borrow_mut() = self.body.take();
        }
    }
}

impl<B: Body + Unpin> Body for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let polled = this.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx));
        this.is_begun |= polled.is_ready();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, B::size_hint)
    }
}

/// How much of a body was read.
enum Read {
    All(Bytes),
    Part(Resumed),
}

async fn read_ahead(mut body: Incoming, ahead: (Ahead, Duration), limit: u64) -> Result<Read, Failure> {
    if body.size_hint().lower() > READ_AHEAD as u64 {
        return Ok(Read::Part(Resumed::new(Bytes::new(), body, limit)));
    }
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    let trailers = loop {
        let piece = match next_piece(&mut body, ahead).await? {
            Piece::Data(piece) => piece,
            Piece::Trailers(trailers) => break Some(trailers),
            Piece::End => break None,
            Piece::Later => return Ok(Read::Part(Resumed::new(joined(first, more), body, limit))),
        };
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
            return Ok(Read::Part(Resumed::new(joined(first, more), body, limit)));
        }
    };
    let all = joined(first, more);
    Ok(match trailers {
        None => Read::All(all),
        Some(trailers) => Read::Part(Resumed::ended(all, trailers, body)),
    })
}

/// One piece is kept as it is; more of them were copied together.
fn joined(only: Bytes, all: BytesMut) -> Bytes {
    if all.is_empty() { only } else { all.freeze() }
}

/// What a body says next.
enum Piece {
    /// Bytes, not nothing.
    Data(Bytes),
    Trailers(HeaderMap),
    End,
    /// Nothing now, and it is not waited for.
    Later,
}

async fn next_piece(body: &mut Incoming, (ahead, patience): (Ahead, Duration)) -> Result<Piece, Failure> {
    loop {
        if body.is_end_stream() {
            return Ok(Piece::End);
        }
        let frame = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Pending if ahead == Ahead::Here => Poll::Ready(None),
            polled => polled.map(Some),
        });
        let frame = tokio::time::timeout(patience, frame).await.map_err(|_| Failure::BodyTimeout)?;
        let Some(frame) = frame else { return Ok(Piece::Later) };
        let Some(frame) = frame else { return Ok(Piece::End) };
        match frame.map_err(Failure::Body)?.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => return Ok(Piece::Data(data)),
            Err(frame) => return Ok(frame.into_trailers().map_or(Piece::End, Piece::Trailers)),
        }
    }
}

/// A body whose start was read already.
pub(super) struct Resumed {
    start: Option<Bytes>,
    /// They were read, too: the rest is nothing.
    trailers: Option<Box<HeaderMap>>,
    rest: Incoming,
    limit: u64,
    /// Bytes that may still come.
    left: u64,
}

impl Resumed {
    fn new(start: Bytes, rest: Incoming, limit: u64) -> Self {
        let left = limit.saturating_sub(start.len() as u64);
        Self { start: Some(start).filter(|start| !start.is_empty()), trailers: None, rest, limit, left }
    }

    /// A body that was read to its trailers.
    fn ended(start: Bytes, trailers: HeaderMap, rest: Incoming) -> Self {
        Self { trailers: Some(Box::new(trailers)), ..Self::new(start, rest, u64::MAX) }
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
        if let Some(trailers) = this.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
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
        self.start.is_none() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.trailers.is_some() {
            // A body with a length has no trailers.
            return SizeHint::default();
        }
        let start = self.start.as_ref().map_or(0, |start| start.len() as u64);
        let mut hint = self.rest.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + start);
        }
        hint.set_lower(hint.lower() + start);
        hint
    }
}
