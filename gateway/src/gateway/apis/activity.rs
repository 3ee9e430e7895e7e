//! Whether a connection is of use: a request is being answered, or its answer is leaving. Bytes of a request that is not
//! whole do not count, so that nobody holds a connection by sending one now and then.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// What is known of one connection.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    open: usize,
    since: Instant,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { open: 0, since: Instant::now() })))
    }

    /// A request is being answered until the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.change(|state| state.open += 1);
        Busy(self.clone())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until the connection has been idle for so long.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let (open, since) = self.change(|state| (state.open, state.since));
            let end = if open > 0 { Instant::now() + limit } else { since + limit };
            if open == 0 && end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.open = state.open.saturating_sub(1);
            state.since = Instant::now();
        });
    }
}

/// A connection whose written bytes count as activity.
pub(super) struct Watched<T> {
    io: T,
    activity: Arc<Activity>,
}

impl<T> Watched<T> {
    pub(super) fn new(io: T, activity: Arc<Activity>) -> Self {
        Self { io, activity }
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(length)) if *length > 0) {
            self.activity.change(|state| state.since = Instant::now());
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_not_idle_while_a_request_is_answered() {
        let activity = Activity::new();
        let idle = |limit| tokio::time::timeout(limit, activity.idle_for(Duration::from_millis(10)));
        let busy = activity.begin();
        assert!(idle(Duration::from_millis(50)).await.is_err());
        drop(busy);
        assert!(idle(Duration::from_secs(60)).await.is_ok());
    }
}
