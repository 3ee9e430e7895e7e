//! Bodies on their way to the client: passed on as they come, and only where someone asked for it counted, filtered, and
//! followed by the log phase.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::{Failure, exchange::Care, forward::Proxied};
use crate::plugin::{Chain, ChunkStop, Direction};

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

    /// The same body, with the exchange kept until it has ended.
    pub(super) fn kept(self, exchange: Care, filters: bool) -> Self {
        let kept = Kept { source: self.0, exchange: Some(exchange), filter: filters.then(Filter::default) };
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
    filter: Option<Filter>,
}

/// A chunk on its way through the plugins, with the exchange they may change.
type Call = Pin<Box<dyn Future<Output = (Care, Result<Bytes, ChunkStop>)>>>;

/// How far filtering has come.
#[derive(Default)]
struct Filter {
    call: Option<Call>,
    /// What did not fit into the last chunk.
    rest: Bytes,
    has_ended: bool,
}

impl Kept {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match self.filter {
            None => ready!(self.source.poll(cx)),
            Some(_) => ready!(self.poll_filtered(cx)),
        };
        match (&frame, &mut self.exchange) {
            (Some(Ok(frame)), Some(exchange)) => {
                exchange.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            (None | Some(Err(_)), _) => self.exchange = None,
            (Some(Ok(_)), None) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.filter {
            None => self.source.is_end_stream(),
            Some(filter) => filter.has_ended && filter.call.is_none(),
        }
    }

    fn poll_filtered(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Some(filter) = &mut self.filter else { return Poll::Ready(None) };
            if let Some(call) = &mut filter.call {
                let (exchange, outcome) = ready!(call.as_mut().poll(cx));
                (filter.call, self.exchange) = (None, Some(exchange));
                match outcome {
                    Ok(bytes) if bytes.is_empty() => continue,
                    Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                    Err(stop) => return Poll::Ready(Some(Err(self.broken(stop)))),
                }
            }
            if filter.has_ended {
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(self.poll_next_call(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// Takes the next chunk and sends it off.
    fn poll_next_call(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Some(filter) = &mut self.filter else { return Poll::Ready(Ok(())) };
        if filter.rest.is_empty() {
            match ready!(self.source.poll(cx)) {
                None => filter.has_ended = true,
                Some(frame) => match frame?.into_data() {
                    Ok(data) => filter.rest = data,
                    // Trailers of a body that was changed may be wrong.
                    Err(_) => return Poll::Ready(Ok(())),
                },
            }
        }
        let chunk = filter.rest.split_to(filter.rest.len().min(CHUNK));
        filter.has_ended |= filter.rest.is_empty() && self.source.is_end_stream();
        let last = filter.has_ended;
        if let Some(mut exchange) = self.exchange.take() {
            filter.call = Some(Box::pin(async move {
                let outcome = Chain::on_chunk(&mut exchange, Direction::Response, chunk, last).await;
                (exchange, outcome)
            }));
        }
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
