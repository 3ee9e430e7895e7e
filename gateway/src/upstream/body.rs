//! Bodies on their way to a target and back.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{Timeouts, Tunnel, deadline::Deadline, driven::Driven, http2::Stream, link::Link, pool::Pool};

/// Any error.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request to a target.
#[derive(Debug, Default)]
pub enum RequestBody {
    /// None.
    #[default]
    Empty,
    /// All of it is here.
    Full(Bytes),
    /// It comes piece by piece.
    Stream(Upload),
}

impl RequestBody {
    pub(super) fn progress(&self) -> Option<Rc<Progress>> {
        match self {
            Self::Empty | Self::Full(_) => None,
            Self::Stream(upload) => Some(upload.progress.clone()),
        }
    }
}

/// A body that comes piece by piece.
pub struct Upload {
    body: Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>,
    progress: Rc<Progress>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Upload").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Upload {
    /// Wraps a body.
    pub fn new(body: impl Body<Data = Bytes, Error = BoxError> + 'static) -> Self {
        Self { body: Box::pin(body), progress: Rc::default() }
    }
}

/// How far an upload has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Grows whenever something moved.
    pub(super) steps: Cell<u64>,
    /// Whether the next piece is waited for.
    pub(super) waits: Cell<bool>,
    /// The last piece was taken.
    pub(super) ended: Cell<bool>,
    /// It broke off.
    pub(super) failed: Cell<bool>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(upload) => upload.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(upload) => upload.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(upload) => upload.body.size_hint(),
        }
    }
}

impl Upload {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = self.body.as_mut().poll_frame(cx);
        let progress = &self.progress;
        progress.waits.set(polled.is_pending());
        if let Poll::Ready(frame) = &polled {
            progress.steps.set(progress.steps.get() + 1);
            progress.failed.set(matches!(frame, Some(Err(_))));
            progress.ended.set(frame.is_none() || self.body.is_end_stream());
        }
        polled
    }
}

/// Why the body of an answer broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke or what came is not valid.
    #[error("the body of the answer broke off")]
    Broken(#[from] hyper::Error),
    /// The target sent nothing in time.
    #[error("the target sent nothing more for {0:?}")]
    Timeout(Duration),
}

/// What is behind the answers that are not of HTTP/1.1, or come before the request has ended.
#[derive(Debug)]
enum Rare {
    Stream(Stream),
    Driven(Driven),
    Tunnel(Tunnel),
}

/// The body of an answer. Gives the connection back to the pool when it has ended, and closes it when it is dropped
/// before.
#[derive(Debug)]
pub struct ResponseBody {
    incoming: Incoming,
    link: Option<Box<Link>>,
    rare: Option<Box<Rare>>,
    pool: Rc<Pool>,
    read_timeout: Duration,
    is_waiting: bool,
}

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, link: Box<Link>, pool: Rc<Pool>, read_timeout: Duration) -> Self {
        let mut body = Self { incoming, link: Some(link), rare: None, pool, read_timeout, is_waiting: false };
        if body.incoming.is_end_stream() {
            body.give_back();
        }
        body
    }

    /// The answer with 101: the connection is not one for HTTP any more.
    pub(super) fn switched(incoming: Incoming, link: Link, pool: Rc<Pool>, timeouts: &Timeouts) -> Self {
        let tunnel = link.into_io().map(|(io, early)| Tunnel::new(io, early, timeouts.read, timeouts.write));
        let tunnel = tunnel.map(|tunnel| Box::new(Rare::Tunnel(tunnel)));
        Self { incoming, link: None, rare: tunnel, pool, read_timeout: timeouts.read, is_waiting: false }
    }

    /// The request goes on beside the answer, whoever polls that.
    pub(super) fn beside_upload(mut self) -> Self {
        let driven = self.link.take().map(Driven::start);
        self.rare = self.rare.or_else(|| driven.map(|driven| Box::new(Rare::Driven(driven))));
        self
    }

    /// What an answer with 101 leads to; dropping it closes the connection.
    pub fn take_tunnel(&mut self) -> Option<Tunnel> {
        match *self.rare.take()? {
            Rare::Tunnel(tunnel) => Some(tunnel),
            Rare::Stream(_) | Rare::Driven(_) => None,
        }
    }

    /// The body of an answer over HTTP/2.
    pub(super) fn of_stream(incoming: Incoming, stream: Stream, pool: Rc<Pool>, read_timeout: Duration) -> Self {
        let rare = (!incoming.is_end_stream()).then(|| Box::new(Rare::Stream(stream)));
        Self { incoming, link: None, rare, pool, read_timeout, is_waiting: false }
    }

    /// What limits the wait for more.
    fn deadline(&mut self) -> Option<&mut Deadline> {
        match (&mut self.link, self.rare.as_deref_mut()) {
            (Some(link), _) => Some(&mut link.deadline),
            (None, Some(Rare::Stream(stream))) => Some(&mut stream.deadline),
            (None, Some(Rare::Driven(driven))) => Some(&mut driven.deadline),
            (None, _) => None,
        }
    }

    /// Nothing more comes, or is wanted.
    fn end(&mut self) {
        (self.link, self.rare) = (None, None);
    }

    fn give_back(&mut self) {
        match (self.link.take(), self.rare.take()) {
            (Some(link), _) => self.pool.put(link),
            (None, Some(rare)) => self.give_back_rare(*rare),
            (None, None) => {}
        }
    }

    fn give_back_rare(&self, rare: Rare) {
        if let Rare::Driven(driven) = rare
            && let Some(link) = driven.into_link()
        {
            self.pool.put(link);
        }
    }

    /// Looks for a frame, moving the connection where none is there.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        let Some(link) = self.link.as_mut().filter(|_| polled.is_pending()) else { return polled };
        if link.poll_drive(cx).is_ready() {
            self.link = None;
        }
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let (limit, was_waiting) = (self.read_timeout, self.is_waiting);
        self.is_waiting = true;
        let Some(deadline) = self.deadline() else { return Poll::Pending };
        if !was_waiting {
            deadline.set(limit);
        }
        deadline.poll(cx).map(|()| BodyError::Timeout(limit))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = this.poll_incoming(cx) else {
            return this.poll_timeout(cx).map(|error| {
                this.end();
                Some(Err(error))
            });
        };
        this.is_waiting = false;
        match &frame {
            Some(Err(_)) => this.end(),
            None => this.give_back(),
            Some(Ok(_)) if this.incoming.is_end_stream() => this.give_back(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
