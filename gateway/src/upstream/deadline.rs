//! A deadline that is cheap to move: the timer is touched only when it rings, or when it would ring too late.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// A deadline of a connection. Lives as long as it, and moves with every request.
#[derive(Debug)]
pub(super) struct Deadline {
    timer: Option<Pin<Box<Sleep>>>,
    pub(super) at: Instant,
}

impl Deadline {
    pub(super) fn new() -> Self {
        Self { timer: None, at: Instant::now() }
    }

    /// Sets it to `limit` from now.
    pub(super) fn set(&mut self, limit: Duration) {
        self.at = Instant::now() + limit;
    }

    /// Ready once the deadline has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.at)));
        if timer.deadline() > self.at {
            timer.as_mut().reset(self.at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= self.at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Sets it, and has its timer know.
    async fn set(deadline: &mut Deadline, limit: Duration) {
        deadline.set(limit);
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_deadline_rings_at_the_time_it_was_last_set_to() {
        let mut deadline = Deadline::new();
        for before in [HOUR, Duration::from_millis(10)] {
            let (start, limit) = (Instant::now(), Duration::from_millis(80));
            set(&mut deadline, before).await;
            deadline.set(limit);
            let rung = tokio::time::timeout(HOUR / 60, poll_fn(|cx| deadline.poll(cx))).await;
            assert!(rung.is_ok() && start.elapsed() >= limit, "{before:?}, then {:?}", start.elapsed());
        }
    }

    #[tokio::test]
    async fn a_deadline_that_moves_on_does_not_ring() {
        let mut deadline = Deadline::new();
        set(&mut deadline, Duration::from_millis(20)).await;
        deadline.set(HOUR);
        let waited = tokio::time::timeout(Duration::from_millis(100), poll_fn(|cx| deadline.poll(cx))).await;
        assert!(waited.is_err());
    }
}
