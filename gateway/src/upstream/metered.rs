//! A connection that counts what its target sends and takes. Interim answers without end would keep a request waiting, and its
//! worker busy, for as long as they come; and a target that still takes a request owes no answer yet.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connect::TargetIo;

/// Bytes that a target may send before the head of its answer is whole, interim answers included. That of one head alone
/// is less, which is the HTTP engine's affair.
const BEFORE_ANSWER: u64 = 1 << 20;

/// A connection to a target, counted.
#[derive(Debug)]
pub(super) struct Metered {
    io: TargetIo,
    meter: Meter,
}

/// How much was read and written. A clone is another look at the same numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    read: Cell<u64>,
    written: Cell<u64>,
}

impl Meter {
    /// What was read so far.
    pub(super) fn now(&self) -> u64 {
        self.0.read.get()
    }

    /// What was written so far.
    pub(super) fn written(&self) -> u64 {
        self.0.written.get()
    }

    /// Whether too much was read since then for an answer that is still to come.
    pub(super) fn is_flooded_since(&self, then: u64) -> bool {
        self.now() - then > BEFORE_ANSWER
    }
}

impl Metered {
    pub(super) fn new(io: TargetIo) -> (Self, Meter) {
        let meter = Meter::default();
        (Self { io, meter: meter.clone() }, meter)
    }

    pub(super) fn into_io(self) -> TargetIo {
        self.io
    }

    fn count(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(taken)) = &polled {
            let written = &self.meter.0.written;
            written.set(written.get() + *taken as u64);
        }
        polled
    }
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buffer);
        let read = &this.meter.0.read;
        read.set(read.get() + (buffer.filled().len() - before) as u64);
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.count(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        this.count(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
