//! Owns every background task of the control runtime and ends them in order. Knows no other room; `gateway` alone makes
//! [`Tasks`] and drains them, everyone else holds a clone to spawn with.

mod drain;
mod quiet;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};

pub use drain::{Drain, Ending};
pub use quiet::{QuietThread, yield_to_others};

/// The wish to end, given once and never taken back. Works on any runtime, a worker's local one too: clones may be sent
/// to other threads and waited for there.
#[derive(Debug, Clone)]
pub struct Shutdown {
    wanted: watch::Sender<bool>,
}

impl Shutdown {
    /// A signal that nobody has given yet.
    pub fn new() -> Self {
        Self { wanted: watch::Sender::new(false) }
    }

    /// Gives the signal to every clone. Giving it again changes nothing.
    pub fn trigger(&self) {
        self.wanted.send_replace(true);
    }

    /// Whether the signal was given.
    pub fn is_triggered(&self) -> bool {
        *self.wanted.borrow()
    }

    /// Waits for the signal; at once when it was given before.
    ///
    /// # Cancel safety
    /// Safe: dropping the future loses nothing.
    pub async fn triggered(&self) {
        let seen = self.wanted.subscribe().wait_for(|wanted| *wanted).await.is_ok();
        debug_assert!(seen, "this clone keeps the sender alive");
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

/// Every background task of the control runtime, by name. A clone is another handle to the same tasks.
#[derive(Debug, Clone)]
pub struct Tasks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    runtime: Handle,
    /// Asks tasks to end.
    shutdown: Shutdown,
    /// Ends those that did not.
    cut: Shutdown,
    numbers: AtomicU64,
    /// Names of the tasks. Never held while a task is started or dropped, as both come back here.
    running: Mutex<BTreeMap<u64, Arc<str>>>,
    count: watch::Sender<usize>,
}

impl Tasks {
    /// Tasks that will run on `runtime`.
    pub fn new(runtime: Handle) -> Self {
        let shared = Shared {
            runtime,
            shutdown: Shutdown::new(),
            cut: Shutdown::new(),
            numbers: AtomicU64::new(0),
            running: Mutex::default(),
            count: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The signal that [`Tasks::drain`] gives. A task without an end of its own waits for it beside its work.
    pub fn shutdown(&self) -> Shutdown {
        self.shared.shutdown.clone()
    }

    /// The runtime the tasks run on.
    pub fn runtime(&self) -> &Handle {
        &self.shared.runtime
    }

    /// Names of the tasks that run now, oldest first.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.shared.running().values().cloned().collect()
    }

    /// Runs `future` in the background. Callable from any thread. After the drain began the future is dropped unrun,
    /// because nothing would wait for it.
    pub fn spawn<F>(&self, name: impl Into<Arc<str>>, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(ended) = self.shared.enter(name.into()) else { return };
        let cut = self.shared.cut.clone();
        self.shared.runtime.spawn(async move {
            let _ended = ended;
            tokio::select! {
                biased;
                () = future => {}
                // What the task was doing is lost; the drain names it.
                () = cut.triggered() => {}
            }
        });
    }

    /// Gives the signal, waits at most `grace` for every task to end, then cuts the rest. Answers with the names of
    /// those that were cut.
    ///
    /// # Cancel safety
    /// Not safe: a dropped drain has given the signal but cuts nothing.
    pub async fn drain(&self, grace: Duration) -> Vec<Arc<str>> {
        {
            // Under the lock, so that no task starts after it.
            let _running = self.shared.running();
            self.shared.shutdown.trigger();
        }
        let mut count = self.shared.count.subscribe();
        if tokio::time::timeout(grace, count.wait_for(|count| *count == 0)).await.is_ok() {
            return Vec::new();
        }
        let names = self.names();
        self.shared.cut.trigger();
        names
    }
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<str>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a task, unless the drain began.
    fn enter(self: &Arc<Self>, name: Arc<str>) -> Option<Ended> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut running = self.running();
        if self.shutdown.is_triggered() {
            tracing::debug!(task = &*name, "a task is not started, the gateway is shutting down");
            return None;
        }
        running.insert(number, name);
        self.count.send_replace(running.len());
        Some(Ended { shared: self.clone(), number })
    }
}

/// Strikes a task off the list when its future is dropped: ended, cut, or unwound by a panic.
struct Ended {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let mut running = self.shared.running();
        let name = running.remove(&self.number);
        if let (true, Some(name)) = (std::thread::panicking(), name) {
            tracing::error!(task = &*name, "a background task panicked and is gone");
        }
        self.shared.count.send_replace(running.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Tasks {
        Tasks::new(Handle::current())
    }

    #[tokio::test]
    async fn draining_waits_for_tasks_that_heed_the_signal() {
        let tasks = tasks();
        let shutdown = tasks.shutdown();
        tasks.spawn("slow to end", async move {
            shutdown.triggered().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
        assert!(tasks.drain(Duration::from_secs(10)).await.is_empty());
        assert!(tasks.names().is_empty());
    }

    #[tokio::test]
    async fn draining_names_what_it_cut() {
        let tasks = tasks();
        tasks.spawn("deaf", std::future::pending());
        tasks.spawn("done", std::future::ready(()));
        assert_eq!(tasks.drain(Duration::from_millis(20)).await, ["deaf".into()]);
        while !tasks.names().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(tasks.names().is_empty(), "a cut task is gone");
    }

    #[tokio::test]
    async fn a_panicking_task_is_struck_off() {
        let tasks = tasks();
        tasks.spawn("broken", async { panic!("on purpose") });
        assert!(tasks.drain(Duration::from_secs(5)).await.is_empty());
    }

    #[test]
    fn spawning_on_a_runtime_that_is_gone_does_not_hang() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let tasks = Tasks::new(runtime.handle().clone());
        runtime.shutdown_background();
        tasks.spawn("too late", std::future::pending());
        // Whether tokio drops the task at once or with its last worker is its own affair.
        assert!(tasks.names().len() <= 1);
    }

    #[tokio::test]
    async fn nothing_starts_after_the_drain_began() {
        let tasks = tasks();
        tasks.drain(Duration::ZERO).await;
        tasks.clone().spawn("late", std::future::pending());
        assert!(tasks.names().is_empty());
    }

    #[test]
    fn the_signal_reaches_another_runtime() {
        let shutdown = Shutdown::new();
        let waiting = shutdown.clone();
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(waiting.triggered());
        });
        shutdown.trigger();
        worker.join().unwrap();
        assert!(shutdown.is_triggered());
    }
}
