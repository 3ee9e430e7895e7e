//! A connection to a target that has left HTTP: bytes go both ways as they come, and no faster than they are taken.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{connect::TargetIo, deadline::Deadline};

/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// A connection that has left HTTP.
#[derive(Debug)]
pub struct Tunnel {
    io: TargetIo,
    /// What the target said right after its answer.
    early: Bytes,
    read_timeout: Duration,
    write_timeout: Duration,
}

/// How much a tunnel has passed on so far.
#[derive(Debug, Default)]
pub struct Passed {
    /// Bytes that went to the target.
    pub to_target: Cell<u64>,
    /// Bytes that went to the client.
    pub to_client: Cell<u64>,
}

/// Why a tunnel was broken off.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// Nothing came from either side.
    #[error("nothing was said for {0:?}")]
    Idle(Duration),
    /// A side took no bytes.
    #[error("no bytes were taken for {0:?}")]
    Stuck(Duration),
    /// A side went away.
    #[error("a side of the connection broke")]
    Io(#[from] io::Error),
}

impl Tunnel {
    pub(super) fn new(io: TargetIo, early: Bytes, read_timeout: Duration, write_timeout: Duration) -> Self {
        Self { io, early, read_timeout, write_timeout }
    }

    /// Copies until both sides are done, or nothing moves for too long, and counts. `early`: what the client said already.
    ///
    /// # Cancel safety
    /// A dropped tunnel closes the connection to the target.
    pub async fn run(
        mut self,
        mut client: impl AsyncRead + AsyncWrite + Unpin,
        early: Bytes,
        passed: &Passed,
    ) -> Result<(), TunnelError> {
        let mut up = Way::new(early, &passed.to_target);
        let mut down = Way::new(std::mem::take(&mut self.early), &passed.to_client);
        let mut deadline = Deadline::new();
        deadline.set(self.read_timeout);
        let mut moved = 0;
        let outcome = poll_fn(|cx| {
            let upwards = up.poll(cx, &mut client, &mut self.io)?;
            let downwards = down.poll(cx, &mut self.io, &mut client)?;
            if upwards.is_ready() && downwards.is_ready() {
                return Poll::Ready(Ok(()));
            }
            let is_stuck = up.is_stuck() || down.is_stuck();
            let limit = if is_stuck { self.write_timeout } else { self.read_timeout };
            if moved != up.steps + down.steps {
                moved = up.steps + down.steps;
                deadline.set(limit);
            }
            let late = if is_stuck { TunnelError::Stuck(limit) } else { TunnelError::Idle(limit) };
            deadline.poll(cx).map(|()| Err(late))
        });
        outcome.await
    }
}

/// One of the two ways.
#[derive(Debug)]
struct Way<'p> {
    /// Read, but not taken by the other side yet.
    rest: Bytes,
    state: State,
    passed: &'p Cell<u64>,
    /// Grows whenever something moved.
    steps: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The reading end was reached: the other side is to hear of it.
    Ending,
    Ended,
}

impl<'p> Way<'p> {
    fn new(early: Bytes, passed: &'p Cell<u64>) -> Self {
        Self { rest: early, state: State::Open, passed, steps: 0 }
    }

    fn is_stuck(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Moves bytes. Ready when the reading side has ended and the other one knows.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.rest.is_empty() {
                let taken = ready!(Pin::new(&mut *to).poll_write(cx, &self.rest))?;
                let taken = self.count(taken)?;
                self.rest.advance(taken);
            }
            match self.state {
                State::Open => {
                    if self.poll_piece(cx, from, to)?.is_pending() {
                        ready!(Pin::new(&mut *to).poll_flush(cx))?;
                        return Poll::Pending;
                    }
                }
                State::Ending => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Reads once and passes on what is taken at once: a tunnel that says nothing holds no buffer.
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        let mut space = [std::mem::MaybeUninit::uninit(); PIECE];
        let mut space = ReadBuf::uninit(&mut space);
        ready!(Pin::new(from).poll_read(cx, &mut space))?;
        self.steps += 1;
        let mut piece = space.filled();
        if piece.is_empty() {
            self.state = State::Ending;
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(taken) = Pin::new(to).poll_write(cx, piece) {
            piece = &piece[self.count(taken?)?..];
        }
        if !piece.is_empty() {
            self.rest = Bytes::copy_from_slice(piece);
        }
        Poll::Ready(Ok(()))
    }

    fn count(&mut self, taken: usize) -> io::Result<usize> {
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.passed.set(self.passed.get() + taken as u64);
        self.steps += 1;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Runs both ways between two pipes.
    async fn both(client: tokio::io::DuplexStream, target: tokio::io::DuplexStream, early: &'static str) -> (u64, u64) {
        let (mut client, mut target) = (client, target);
        let passed = Passed::default();
        let mut up = Way::new(Bytes::from_static(early.as_bytes()), &passed.to_target);
        let mut down = Way::new(Bytes::new(), &passed.to_client);
        poll_fn(|cx| {
            let upwards = up.poll(cx, &mut client, &mut target)?;
            let downwards = down.poll(cx, &mut target, &mut client)?;
            if upwards.is_ready() && downwards.is_ready() { Poll::Ready(io::Result::Ok(())) } else { Poll::Pending }
        })
        .await
        .unwrap();
        (passed.to_target.get(), passed.to_client.get())
    }

    #[tokio::test]
    async fn each_side_can_end_before_the_other() {
        let ((mut client, near), (far, mut target)) = (duplex(4), duplex(16));
        let talk = async {
            client.write_all(b" and more").await.unwrap();
            client.shutdown().await.unwrap();
            let mut heard = String::new();
            target.read_to_string(&mut heard).await.unwrap();
            target.write_all(b"an answer").await.unwrap();
            drop(target);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            (heard, answer)
        };
        // The target listens only after the client has ended: its pipe holds all that it is told.
        let (passed, talked) = tokio::join!(both(near, far, "early"), tokio::time::timeout(LONG, talk));
        let (heard, answer) = talked.unwrap();
        assert_eq!((&*heard, &*answer), ("early and more", "an answer"));
        assert_eq!(passed, (14, 9));
    }

    #[tokio::test]
    async fn no_more_is_read_than_the_other_side_takes() {
        let ((mut client, near), (far, _target)) = (duplex(PIECE), duplex(8));
        let passed = Cell::new(0);
        let (mut near, mut far, mut way) = (near, far, Way::new(Bytes::new(), &passed));
        client.write_all(&[b'x'; PIECE]).await.unwrap();
        let pending = poll_fn(|cx| Poll::Ready(way.poll(cx, &mut near, &mut far).is_pending())).await;
        assert!(pending && way.is_stuck());
        assert_eq!((passed.get(), way.rest.len()), (8, PIECE - 8));
        client.write_all(&[b'x'; PIECE]).await.unwrap();
        let full = tokio::time::timeout(Duration::from_millis(20), client.write_all(b"x"));
        let still = poll_fn(|cx| Poll::Ready(way.poll(cx, &mut near, &mut far).is_pending()));
        assert!(still.await && full.await.is_err(), "nothing more was read");
    }
}
