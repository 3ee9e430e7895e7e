//! Request bodies on their way through plugins. The exchange has to go with each piece and come back for the next, and for
//! the answer, which may begin long before the upload ends: it lies on a shelf in between, and both take turns.
//!
//! Upload and answer may be polled by two tasks (HTTP/2) or by one (HTTP/1.1). Whoever waits leaves its waker here, and
//! whoever polls a piece on its way wakes the other one when it has come back.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
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

/// Any error.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What upload and answer share.
#[derive(Default)]
struct Shelf {
    place: Place,
    /// A piece that waits for the exchange, and whether it is the last.
    waiting: Option<(Bytes, bool)>,
    /// A piece that came back and was not fetched yet.
    filtered: Option<Bytes>,
    /// No piece needs the exchange any more: the last one came back, or the upload was dropped.
    is_done: bool,
    /// Bytes of the answer that were sent while the exchange was away.
    sent: u64,
    upload: Option<Waker>,
    answer: Option<Waker>,
    /// The answer's turn is next.
    answer_waits: bool,
}

/// Where the exchange is.
#[derive(Default)]
enum Place {
    /// With the answer.
    #[default]
    Taken,
    Here(Care),
    /// With a piece of the upload, and whether it is the last.
    Away(Call, bool),
    /// A plugin ended the upload.
    Stopped(Care, ChunkStop),
    /// The answer is over, and the upload with it.
    Closed,
}

impl Shelf {
    fn put(&mut self, mut exchange: Care) {
        exchange.bytes_out += std::mem::take(&mut self.sent);
        self.place = Place::Here(exchange);
        self.begin();
        wake(&mut self.upload);
    }

    /// Sends off the piece that waits, if the exchange is here.
    fn begin(&mut self) {
        let Some((chunk, last)) = self.waiting.take() else { return };
        match std::mem::take(&mut self.place) {
            Place::Here(mut exchange) => {
                exchange.bytes_in += chunk.len() as u64;
                let call = async move {
                    let outcome = Chain::on_chunk(&mut exchange, Direction::Request, chunk, last).await;
                    (exchange, outcome)
                };
                self.place = Place::Away(Box::pin(call), last);
            }
            other => (self.place, self.waiting) = (other, Some((chunk, last))),
        }
    }

    /// Moves the piece that is on its way. Ready when there is none.
    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Place::Away(call, last) = &mut self.place else { return Poll::Ready(()) };
        let (mut exchange, outcome) = ready!(call.as_mut().poll(cx));
        if !exchange.is_away() {
            exchange.bytes_out += std::mem::take(&mut self.sent);
        }
        match outcome {
            Ok(bytes) => {
                (self.filtered, self.is_done) = (Some(bytes), self.is_done || *last);
                self.place = Place::Here(exchange);
            }
            Err(stop) => self.place = Place::Stopped(exchange, stop),
        }
        wake(&mut self.upload);
        if self.answer_waits || matches!(self.place, Place::Stopped(..)) {
            wake(&mut self.answer);
        }
        Poll::Ready(())
    }

    /// Takes the exchange for the answer, after the piece that is on its way; with why a plugin ended the upload, if one
    /// did. `None`: it is gone.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Care, Option<ChunkStop>)>> {
        self.answer_waits = true;
        if self.poll_call(cx).is_pending() {
            watch(&mut self.answer, cx);
            return Poll::Pending;
        }
        self.answer_waits = false;
        match std::mem::take(&mut self.place) {
            Place::Here(exchange) => Poll::Ready(Some((exchange, None))),
            Place::Stopped(exchange, stop) => {
                self.place = Place::Closed;
                Poll::Ready(Some((exchange, Some(stop))))
            }
            Place::Taken | Place::Away(..) | Place::Closed => Poll::Ready(None),
        }
    }

    /// The piece that came back, `None` when the next one can be offered, or why there is none.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BoxError>> {
        if !self.answer_waits {
            self.begin();
        }
        let polled = self.poll_call(cx);
        if let Some(piece) = self.filtered.take() {
            return Poll::Ready(Ok(Some(piece)));
        }
        match &self.place {
            Place::Stopped(..) => Poll::Ready(Err("a plugin ended the upload".into())),
            Place::Closed if !self.is_done => Poll::Ready(Err(Box::new(h2::Error::from(h2::Reason::CANCEL)))),
            _ if polled.is_ready() && self.waiting.is_none() => Poll::Ready(Ok(None)),
            _ => {
                watch(&mut self.upload, cx);
                Poll::Pending
            }
        }
    }
}

fn watch(waiter: &mut Option<Waker>, cx: &Context<'_>) {
    match waiter {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waiter = Some(cx.waker().clone()),
    }
}

fn wake(waiter: &mut Option<Waker>) {
    if let Some(waker) = waiter.take() {
        waker.wake();
    }
}

/// The answer's side of the shelf. Dropping it ends the upload.
#[derive(Default)]
pub(super) struct Seat(Rc<RefCell<Shelf>>);

impl Seat {
    /// Lays the exchange down, for the upload to go on.
    pub(super) fn put(&self, exchange: Care) {
        self.0.borrow_mut().put(exchange);
    }

    /// Takes the exchange back, after the piece that is on its way. The failure is why a plugin ended the upload.
    pub(super) async fn take(&self) -> (Option<Care>, Option<Failure>) {
        let taken = poll_fn(|cx| self.poll_take(cx)).await;
        taken.map_or((None, None), |(exchange, stop)| (Some(exchange), stop.map(Failure::from)))
    }

    /// The same, for a body.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<(Care, Option<ChunkStop>)>> {
        self.0.borrow_mut().poll_take(cx)
    }

    /// Counts bytes of the answer.
    pub(super) fn count(&self, bytes: u64) {
        let mut shelf = self.0.borrow_mut();
        match &mut shelf.place {
            Place::Here(exchange) => exchange.bytes_out += bytes,
            _ => shelf.sent += bytes,
        }
    }

    /// Whether the upload will need the exchange again.
    pub(super) fn is_needed(&self) -> bool {
        !self.0.borrow().is_done
    }

    /// Ready when a plugin has ended the upload.
    pub(super) fn poll_stopped(&self, cx: &Context<'_>) -> Poll<()> {
        let mut shelf = self.0.borrow_mut();
        if matches!(shelf.place, Place::Stopped(..)) {
            return Poll::Ready(());
        }
        watch(&mut shelf.answer, cx);
        Poll::Pending
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut shelf = self.0.borrow_mut();
        let (place, sent) = (std::mem::replace(&mut shelf.place, Place::Closed), shelf.sent);
        wake(&mut shelf.upload);
        drop(shelf);
        if let Place::Away(call, _) = place {
            // The piece has the exchange, whose log phase follows.
            tokio::task::spawn_local(async move {
                let (mut exchange, _) = call.await;
                if !exchange.is_away() {
                    exchange.bytes_out += sent;
                }
            });
        }
    }
}

/// A body that passes through plugins piece by piece, until the answer is over.
pub(super) struct FilteredUpload {
    source: Resumed,
    shelf: Rc<RefCell<Shelf>>,
    rest: Bytes,
    has_ended: bool,
}

impl FilteredUpload {
    /// With the side of the answer.
    pub(super) fn new(source: Resumed) -> (Self, Seat) {
        let seat = Seat::default();
        (Self { source, shelf: seat.0.clone(), rest: Bytes::new(), has_ended: false }, seat)
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
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
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        loop {
            let polled = this.shelf.borrow_mut().poll_piece(cx);
            match ready!(polled) {
                Ok(Some(piece)) if piece.is_empty() => continue,
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Ok(None) if this.has_ended => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            if let Err(error) = ready!(this.poll_source(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            let chunk = this.rest.split_to(this.rest.len().min(CHUNK));
            this.has_ended |= this.rest.is_empty() && this.source.is_end_stream();
            this.shelf.borrow_mut().waiting = Some((chunk, this.has_ended));
        }
    }
}

impl Drop for FilteredUpload {
    fn drop(&mut self) {
        let mut shelf = self.shelf.borrow_mut();
        shelf.is_done = true;
        (shelf.waiting, shelf.filtered, shelf.upload) = (None, None, None);
    }
}
