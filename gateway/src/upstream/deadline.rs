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
    at: Instant,
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

    #[tokio::test(start_paused = true)]
    async fn a_deadline_rings_at_the_time_it_was_last_set_to() {
        let start = Instant::now();
        let mut deadline = Deadline::new();
        let cases = [(60, 60), (1, 61), (30, 91), (5, 96)];
        for (limit, expected) in cases {
            deadline.set(Duration::from_secs(limit));
            poll_fn(|cx| deadline.poll(cx)).await;
            assert_eq!(start.elapsed().as_secs(), expected, "limit {limit}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_on_does_not_ring() {
        let mut deadline = Deadline::new();
        let start = Instant::now();
        for _ in 0..5 {
            deadline.set(Duration::from_secs(10));
            let waited = tokio::time::timeout(Duration::from_secs(6), poll_fn(|cx| deadline.poll(cx))).await;
            assert!(waited.is_err());
        }
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 34);
    }
}
