//! The logs of exchanges that are over, which run beside the requests that follow. At the end of a worker they are waited for.

use std::{cell::Cell, rc::Rc};

use tokio::sync::Notify;

/// The logs that run on a worker.
#[derive(Debug, Default)]
pub(super) struct Logs {
    running: Cell<usize>,
    settled: Notify,
}

impl Logs {
    /// One begins, and runs until the value is dropped.
    pub(super) fn begin(self: &Rc<Self>) -> Running {
        self.running.set(self.running.get() + 1);
        Running(self.clone())
    }

    /// Waits until none runs.
    pub(super) async fn settled(&self) {
        while self.running.get() > 0 {
            self.settled.notified().await;
        }
    }
}

/// A log that runs.
#[derive(Debug)]
pub(super) struct Running(Rc<Logs>);

impl Drop for Running {
    fn drop(&mut self) {
        let running = self.0.running.get() - 1;
        self.0.running.set(running);
        if running == 0 {
            self.0.settled.notify_one();
        }
    }
}
