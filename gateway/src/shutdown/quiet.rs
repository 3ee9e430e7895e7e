//! Threads for work that takes long and that no request waits for.

use std::{sync::mpsc, thread};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Lowers the priority of this thread, and of those that it starts. `niceness` is what Linux calls so: 0 is ordinary, 19 the
/// least.
pub fn yield_to_others(niceness: i32) {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), niceness) {
        tracing::debug!(%error, "a thread runs with ordinary priority");
    }
}

/// A thread with lower priority than the workers have, which does one job after the other. It ends with its last handle.
#[derive(Debug, Clone)]
pub struct QuietThread {
    jobs: mpsc::Sender<Job>,
}

impl QuietThread {
    /// Starts it. `niceness` is what Linux calls so: 0 is ordinary, 19 the least.
    pub fn start(name: &'static str, niceness: i32) -> Self {
        let (sender, jobs) = mpsc::channel::<Job>();
        let started = thread::Builder::new().name(name.into()).spawn(move || {
            yield_to_others(niceness);
            jobs.into_iter().for_each(|job| job());
        });
        started.expect("the process can start a thread at its start");
        Self { jobs: sender }
    }

    /// Does the work there, after what was asked for before.
    ///
    /// # Cancel safety
    /// Dropping the future drops the result; the work is done all the same.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || drop(answer.send(work())));
        self.jobs.send(job).expect("the thread ends with its last handle");
        answered.await.expect("the thread answers every job")
    }
}
