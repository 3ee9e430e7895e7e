//! Request bodies on their way through plugins. The exchange has to go with each piece and come back for the next, and for
//! the answer: it lies on a shelf in between.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame};

use super::{Failure, body::CHUNK, exchange::Care, payload::Resumed};
use crate::plugin::{Chain, ChunkStop, Direction, Held};

/// Sends a complete body through the plugins.
pub(super) async fn filter_all(exchange: &mut Held, mut bytes: Bytes) -> Result<Bytes, Failure> {
    let mut filtered = BytesMut::with_capacity(bytes.len());
    loop {
        let chunk = bytes.split_to(bytes.len().min(CHUNK));
        let last = bytes.is_empty();
        let chunk = Chain::on_chunk(exchange, Direction::Request, chunk, last).await?;
        filtered.extend_from_slice(&chunk);
        if last {
            return Ok(filtered.freeze());
        }
    }
}

impl From<ChunkStop> for Failure {
    fn from(stop: ChunkStop) -> Self {
        match stop {
            ChunkStop::Refuse(refusal) => Self::Refused(Box::new(refusal)),
            ChunkStop::Failed(failure) => Self::Plugin(failure),
        }
    }
}

/// A piece on its way, with the exchange.
type Call = Pin<Box<dyn Future<Output = (Care, Result<Bytes, ChunkStop>)>>>;

/// Where the exchange lies while a body is sent.
#[derive(Default)]
pub(super) struct Shelf(RefCell<Place>);

#[derive(Default)]
enum Place {
    /// Nothing is here: the answer has begun, and the upload with it ended.
    #[default]
    Empty,
    Here(Care),
    Away(Call),
    /// A plugin ended the upload.
    Stopped(Care, ChunkStop),
}

impl Shelf {
    /// Lays the exchange down.
    pub(super) fn put(&self, exchange: Care) {
        *self.0.borrow_mut() = Place::Here(exchange);
    }

    /// Takes the exchange back, after the piece that is on its way. The failure is why a plugin ended the upload.
    pub(super) async fn take(&self) -> (Option<Care>, Option<Failure>) {
        let piece = poll_fn(|cx| self.poll_call(cx)).await;
        drop(piece);
        match std::mem::take(&mut *self.0.borrow_mut()) {
            Place::Here(exchange) => (Some(exchange), None),
            Place::Stopped(exchange, stop) => (Some(exchange), Some(stop.into())),
            Place::Empty | Place::Away(_) => (None, None),
        }
    }

    /// Ready when no piece is on its way; with the piece that came back, if one did.
    fn poll_call(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut place = self.0.borrow_mut();
        let Place::Away(call) = &mut *place else { return Poll::Ready(None) };
        let (exchange, outcome) = ready!(call.as_mut().poll(cx));
        let (next, piece) = match outcome {
            Ok(bytes) => (Place::Here(exchange), Some(bytes)),
            Err(stop) => (Place::Stopped(exchange, stop), None),
        };
        *place = next;
        Poll::Ready(piece)
    }

    /// Sends a piece off; false if the exchange is not here.
    fn send(&self, chunk: Bytes, last: bool) -> bool {
        let mut place = self.0.borrow_mut();
        let Place::Here(mut exchange) = std::mem::take(&mut *place) else { return false };
        exchange.bytes_in += chunk.len() as u64;
        *place = Place::Away(Box::pin(async move {
            let outcome = Chain::on_chunk(&mut exchange, Direction::Request, chunk, last).await;
            (exchange, outcome)
        }));
        true
    }

    fn is_stopped(&self) -> bool {
        matches!(*self.0.borrow(), Place::Stopped(..))
    }
}

/// A body that passes through plugins piece by piece. Once the answer has begun it stands still, because the exchange is
/// with the answer: targets that answer before they have read everything lose the rest.
pub(super) struct FilteredUpload {
    source: Resumed,
    shelf: Rc<Shelf>,
    rest: Bytes,
    has_ended: bool,
}

impl FilteredUpload {
    pub(super) fn new(source: Resumed, shelf: Rc<Shelf>) -> Self {
        Self { source, shelf, rest: Bytes::new(), has_ended: false }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Box<dyn std::error::Error + Send + Sync>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
                None => self.has_ended = true,
                Some(frame) => self.rest = frame?.into_data().unwrap_or_default(),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Body for FilteredUpload {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        loop {
            match ready!(this.shelf.poll_call(cx)) {
                Some(piece) if !piece.is_empty() => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Some(_) | None => {}
            }
            if this.shelf.is_stopped() {
                return Poll::Ready(Some(Err("a plugin ended the upload".into())));
            }
            if this.has_ended {
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(this.poll_source(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            let chunk = this.rest.split_to(this.rest.len().min(CHUNK));
            this.has_ended |= this.rest.is_empty() && this.source.is_end_stream();
            if !this.shelf.send(chunk, this.has_ended) {
                return Poll::Pending;
            }
        }
    }
}
