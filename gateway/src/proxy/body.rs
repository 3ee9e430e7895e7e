//! Bodies on their way to the client: passed on as they come, and only where someone asked for it counted, filtered, and
//! followed by the log phase.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, header};
use hyper::body::{Body as _, Frame, SizeHint};

use super::{Failure, exchange::Care, filter::Seat, forward::Proxied, words};
use crate::plugin::{Chain, ChunkStop, Direction, Exchange};

/// Any error.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The most bytes that plugins see at once.
pub(super) const CHUNK: usize = 64 << 10;

/// The body of an answer.
pub struct Body(Kind);

enum Kind {
    Empty,
    Full(Bytes),
    Proxied(Proxied),
    Kept(Box<Kept>),
}

impl Body {
    pub(super) fn proxied(answer: Proxied) -> Self {
        Self(if answer.body.is_end_stream() { Kind::Empty } else { Kind::Proxied(answer) })
    }

    /// The same body, with the exchange kept until it has ended; shared with the rest of an upload, if there is one.
    pub(super) fn kept(self, exchange: Care, filters: bool, upload: Option<Seat>) -> Self {
        let mut kept = Kept { source: self.0, exchange: None, upload, filter: filters.then(|| Filter::of(&exchange)) };
        kept.keep(exchange);
        Self(Kind::Kept(Box::new(kept)))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) })
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.get_mut().0.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Kind {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Proxied(answer) => Pin::new(&mut answer.body).poll_frame(cx).map_err(BoxError::from),
            Self::Kept(kept) => kept.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Proxied(answer) => answer.body.is_end_stream(),
            Self::Kept(kept) => kept.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Proxied(answer) => answer.body.size_hint(),
            Self::Kept(kept) if kept.filter.is_some() => SizeHint::default(),
            Self::Kept(kept) => kept.source.size_hint(),
        }
    }
}

/// A body with its exchange, whose log phase begins when this is dropped or the body has ended.
struct Kept {
    source: Kind,
    exchange: Option<Care>,
    /// Where the exchange lies while the request's body is not all sent.
    upload: Option<Seat>,
    filter: Option<Filter>,
}

/// A chunk on its way through the plugins, with the exchange they may change.
type Call = Pin<Box<dyn Future<Output = (Care, Result<Bytes, ChunkStop>)>>>;

/// How far filtering has come.
#[derive(Default)]
struct Filter {
    call: Option<Call>,
    /// The next chunk, which waits for the exchange, and whether it is the last.
    next: Option<(Bytes, bool)>,
    /// What did not fit into the last chunk.
    rest: Bytes,
    has_ended: bool,
    /// Trailers of a body that was changed may be wrong. gRPC is nothing without them.
    keeps_trailers: bool,
    trailers: Option<HeaderMap>,
}

impl Filter {
    fn of(exchange: &Exchange) -> Self {
        let head = exchange.response.as_ref();
        let keeps_trailers = words::is_grpc(head.and_then(|head| head.headers.get(header::CONTENT_TYPE)));
        Self { keeps_trailers, ..Self::default() }
    }
}

impl Kept {
    /// Lays the exchange where it belongs.
    fn keep(&mut self, exchange: Care) {
        match &self.upload {
            Some(upload) => upload.put(exchange),
            None => self.exchange = Some(exchange),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = match self.filter {
            None => self.source.poll(cx),
            Some(_) => self.poll_filtered(cx),
        };
        let frame = match self.upload {
            None => ready!(polled),
            Some(_) => ready!(self.poll_beside_upload(polled, cx)),
        };
        let bytes = frame.iter().flatten().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum::<u64>();
        match (&frame, &mut self.exchange, &self.upload) {
            (None | Some(Err(_)), ..) => (self.exchange, self.upload) = (None, None),
            (Some(Ok(_)), Some(exchange), _) => exchange.bytes_out += bytes,
            (Some(Ok(_)), None, Some(upload)) => upload.count(bytes),
            (Some(Ok(_)), None, None) => {}
        }
        Poll::Ready(frame)
    }

    /// An answer ends well only if no plugin has ended the upload before.
    fn poll_beside_upload(
        &mut self,
        polled: Poll<Option<Result<Frame<Bytes>, BoxError>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(upload) = &self.upload else { return polled };
        let is_over = matches!(polled, Poll::Ready(None));
        if !is_over && upload.poll_stopped(cx).is_pending() {
            return polled;
        }
        if is_over {
            // The upload may be in the connection, which is not needed any more.
            self.source = Kind::Empty;
        }
        match ready!(self.poll_exchange(cx)) {
            Ok(exchange) => {
                (self.exchange, self.upload) = (Some(exchange), None);
                Poll::Ready(None)
            }
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    /// Takes the exchange, for which an upload may have to be waited.
    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<Result<Care, BoxError>> {
        let taken = match (self.exchange.take(), &self.upload) {
            (Some(exchange), _) => Some((exchange, None)),
            (None, Some(upload)) => ready!(upload.poll_take(cx)),
            (None, None) => None,
        };
        Poll::Ready(match taken {
            Some((exchange, None)) => Ok(exchange),
            Some((exchange, Some(stop))) => {
                self.exchange = Some(exchange);
                Err(self.broken(stop))
            }
            None => Err(Box::new(Failure::Crashed)),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.filter {
            _ if self.upload.is_some() => false,
            None => self.source.is_end_stream(),
            Some(filter) => {
                filter.has_ended && filter.next.is_none() && filter.call.is_none() && filter.trailers.is_none()
            }
        }
    }

    fn poll_filtered(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Some(filter) = &mut self.filter else { return Poll::Ready(None) };
            if let Some(call) = &mut filter.call {
                let (exchange, outcome) = ready!(call.as_mut().poll(cx));
                filter.call = None;
                match outcome {
                    Ok(bytes) => {
                        self.keep(exchange);
                        if !bytes.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(bytes))));
                        }
                        continue;
                    }
                    Err(stop) => {
                        self.exchange = Some(exchange);
                        return Poll::Ready(Some(Err(self.broken(stop))));
                    }
                }
            }
            if filter.has_ended && filter.next.is_none() {
                return Poll::Ready(filter.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            if let Err(error) = ready!(self.poll_next_call(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// Takes the next chunk and sends it off.
    fn poll_next_call(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let Err(error) = ready!(self.poll_next(cx)) {
            return Poll::Ready(Err(error));
        }
        if self.filter.as_ref().is_none_or(|filter| filter.next.is_none()) {
            return Poll::Ready(Ok(()));
        }
        let mut exchange = match ready!(self.poll_exchange(cx)) {
            Ok(exchange) => exchange,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let Some(filter) = &mut self.filter else { return Poll::Ready(Ok(())) };
        if let Some((chunk, last)) = filter.next.take() {
            filter.call = Some(Box::pin(async move {
                let outcome = Chain::on_chunk(&mut exchange, Direction::Response, chunk, last).await;
                (exchange, outcome)
            }));
        }
        Poll::Ready(Ok(()))
    }

    /// Finds the next chunk, if what comes is not left out.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Some(filter) = self.filter.as_mut().filter(|filter| filter.next.is_none()) else {
            return Poll::Ready(Ok(()));
        };
        if filter.rest.is_empty() {
            match ready!(self.source.poll(cx)) {
                None => filter.has_ended = true,
                Some(frame) => match frame?.into_data() {
                    Ok(data) => filter.rest = data,
                    Err(frame) if filter.keeps_trailers => {
                        (filter.trailers, filter.has_ended) = (frame.into_trailers().ok(), true);
                    }
                    Err(_) => return Poll::Ready(Ok(())),
                },
            }
        }
        let chunk = filter.rest.split_to(filter.rest.len().min(CHUNK));
        filter.has_ended |= filter.rest.is_empty() && self.source.is_end_stream();
        filter.next = Some((chunk, filter.has_ended));
        Poll::Ready(Ok(()))
    }

    /// The head is with the client: all that can be done is to break off.
    fn broken(&self, stop: ChunkStop) -> BoxError {
        let failure = Failure::from(stop);
        if let Some(exchange) = &self.exchange {
            exchange.tell(&failure);
        }
        Box::new(failure)
    }
}
