//! The bytes of a client connection on their way to and from the HTTP engine: replays what was read to tell the protocol,
//! notes progress, and puts the service's words in place of the engine's bare answer to a broken request.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use bytes::{Buf, Bytes, BytesMut};
use http::Response;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::{
    service::Malformed,
    watch::{Order, Stage, Watch},
};

/// How HTTP/2 with prior knowledge begins (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a refused request that are read and thrown away, so that closing does not destroy the answer.
const LINGER_LIMIT: usize = 1 << 20;

/// Words a refusal: `Malformed` → the answer.
pub(super) type Refuse = dyn Fn(Malformed) -> Response<Bytes>;

/// A client connection.
pub(super) struct ClientIo<T> {
    io: T,
    watch: Rc<Watch>,
    refuse: Box<Refuse>,
    uri_limit: usize,
    /// What was read before its engine was there, and is read again.
    replay: BytesMut,
    refusal: Option<Bytes>,
    thrown_away: usize,
}

impl<T: AsyncRead + AsyncWrite + Unpin> ClientIo<T> {
    pub(super) fn new(io: T, watch: Rc<Watch>, uri_limit: usize, refuse: Box<Refuse>) -> Self {
        Self { io, watch, refuse, uri_limit, replay: BytesMut::new(), refusal: None, thrown_away: 0 }
    }

    /// The connection without all this, for what follows HTTP.
    pub(super) fn into_io(self) -> T {
        self.io
    }

    /// Reads until it is sure whether the client speaks HTTP/2 with prior knowledge. What was read is read again.
    ///
    /// # Cancel safety
    /// Safe: what was read stays here.
    pub(super) async fn speaks_http2(&mut self) -> io::Result<bool> {
        let mut some = [0; PREFACE.len()];
        while self.replay == PREFACE[..self.replay.len()] {
            let missing = PREFACE.len() - self.replay.len();
            if missing == 0 {
                return Ok(true);
            }
            match self.io.read(&mut some[..missing]).await? {
                0 => break,
                length => self.replay.extend_from_slice(&some[..length]),
            }
        }
        Ok(false)
    }

    /// Waits without an engine for what the client sends next, after the bytes that are `left` of what was read. Tells whether
    /// there is anything; if not, the connection is over.
    ///
    /// # Cancel safety
    /// Safe: what was read stays here.
    pub(super) async fn sleep(&mut self, left: Bytes) -> io::Result<bool> {
        self.replay = left.into();
        if self.replay.is_empty() {
            self.doze().await?;
        }
        if self.replay.is_empty() {
            self.shutdown().await?;
            return Ok(false);
        }
        self.watch.wake_up();
        Ok(true)
    }

    /// Reads the first bytes of a request, or none if the client or this side ends the connection.
    async fn doze(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            if self.watch.order() >= Order::Finish {
                return Poll::Ready(Ok(()));
            }
            let mut some = [0; PREFACE.len()];
            let mut buffer = ReadBuf::new(&mut some);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            self.replay.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Takes bytes of the engine's own answer to a broken request: the service's answer goes out in their place.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, bytes: &[u8], total: usize) -> Poll<io::Result<usize>> {
        if self.refusal.is_none() {
            let malformed = match bytes.get(9..12) {
                Some(b"431" | b"414") if self.watch.head.borrow().request_line_exceeds(self.uri_limit) => {
                    Malformed::Uri
                }
                Some(b"431") => Malformed::Headers,
                Some(b"414") => Malformed::Uri,
                _ => Malformed::Request,
            };
            self.refusal = Some(serialise(&(self.refuse)(malformed)));
            self.watch.enter(Stage::Linger);
        }
        match self.poll_rest(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(total)),
        }
    }

    /// Writes what is left of a refusal.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.refusal.as_mut().filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            rest.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Throws away what the client of a refused request still sends, until it is done.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 4096];
        while self.thrown_away < LINGER_LIMIT {
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.thrown_away += buffer.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

/// An answer as HTTP/1.1 bytes; the connection closes after it.
fn serialise(answer: &Response<Bytes>) -> Bytes {
    let mut bytes = Vec::with_capacity(512);
    let reason = answer.status().canonical_reason().unwrap_or_default();
    bytes.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", answer.status().as_str()).as_bytes());
    for (name, value) in answer.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let (date, length) = (httpdate::fmt_http_date(SystemTime::now()), answer.body().len());
    bytes
        .extend_from_slice(format!("date: {date}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").as_bytes());
    bytes.extend_from_slice(answer.body());
    bytes.into()
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if !this.replay.is_empty() {
            let length = buffer.remaining().min(this.replay.len());
            buffer.put_slice(&this.replay.split_to(length));
        } else {
            ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        }
        this.watch.on_read(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.watch.writes_are_ours() {
            return this.poll_refuse(cx, bytes, bytes.len());
        }
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.watch.on_write(written.is_pending());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.watch.writes_are_ours() {
            let first: &[u8] = slices.first().map_or(&[], |slice| slice);
            return this.poll_refuse(cx, first, slices.iter().map(|slice| slice.len()).sum());
        }
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.watch.on_write(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            ready!(this.poll_rest(cx))?;
        }
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        this.watch.on_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refusal.is_some() {
            ready!(this.poll_rest(cx))?;
        }
        ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        if this.refusal.is_some() {
            ready!(this.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
