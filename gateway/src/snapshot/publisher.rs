//! Watches for changes of the configuration and publishes the snapshots made of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{Builder, Snapshot};
use crate::{
    shutdown::{QuietThread, Shutdown},
    store::Version,
};

/// How often snapshots that are served no more are looked at again.
const LOOKS: Duration = Duration::from_secs(1);
/// What the thread that drops them yields to the workers, as Linux counts it.
const NICENESS: i32 = 10;

/// The snapshot that requests are served from, and word of each new one.
#[derive(Debug, Clone)]
pub struct Published {
    /// What workers load.
    pub current: Arc<ArcSwap<Snapshot>>,
    /// Told that the store may have something new.
    pub changed: Arc<Notify>,
    /// The version being served.
    pub served: watch::Sender<Version>,
}

impl Published {
    /// Begins with `first`.
    pub fn new(first: Arc<Snapshot>) -> Self {
        let served = watch::Sender::new(first.version);
        Self { current: Arc::new(ArcSwap::new(first)), changed: Arc::default(), served }
    }
}

/// When to look for changes.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long changes are gathered after word of one.
    pub debounce: Duration,
    /// How long to wait for word, which may be lost where several gateways share a database.
    pub poll: Duration,
}

/// Builds and publishes until the gateway ends.
pub async fn publish(mut builder: Builder, published: Published, pace: Pace, shutdown: Shutdown) {
    let mut retired = Retired { snapshots: Vec::new(), thread: QuietThread::start("snapshot-dropper", NICENESS) };
    while !shutdown.is_triggered() {
        retired.sweep().await;
        // Dropping any arm loses nothing: the store is asked for what changed since the last version.
        tokio::select! {
            word = timeout(pace.poll, published.changed.notified()) => {
                if word.is_ok() {
                    sleep(pace.debounce).await;
                }
            }
            () = sleep(LOOKS), if !retired.snapshots.is_empty() => continue,
            () = shutdown.triggered() => return,
        }
        let began = Instant::now();
        match builder.refresh().await {
            Ok(snapshot) => retired.snapshots.extend(swap(&published, snapshot, began)),
            Err(error) => {
                tracing::error!(error = %std::error::Error::source(&error).unwrap_or(&error), "the configuration could not be read; the last one stays")
            }
        }
    }
}

/// The snapshot that was served before, if this is another one.
fn swap(published: &Published, snapshot: Arc<Snapshot>, began: Instant) -> Option<Arc<Snapshot>> {
    let version = snapshot.version;
    if Arc::ptr_eq(&published.current.load(), &snapshot) {
        return None;
    }
    let quarantined = snapshot.quarantined.len();
    let before = published.current.swap(snapshot);
    published.served.send_replace(version);
    tracing::info!(version, quarantined, took = ?began.elapsed(), "a configuration is served");
    Some(before)
}

/// Snapshots that are served no more. Workers may have requests that began with them, and the last to let go of one drops
/// all that no other one shares: never a worker, which would stand still for milliseconds.
struct Retired {
    snapshots: Vec<Arc<Snapshot>>,
    thread: QuietThread,
}

impl Retired {
    /// Drops those that nobody else has.
    async fn sweep(&mut self) {
        let free: Vec<_> = self.snapshots.extract_if(.., |snapshot| Arc::strong_count(snapshot) == 1).collect();
        if !free.is_empty() {
            self.thread.run(move || drop(free)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_snapshot_stays_until_the_last_worker_has_let_go_of_it() {
        let mut retired = Retired { snapshots: Vec::new(), thread: QuietThread::start("test", 0) };
        let published = Published::new(Arc::new(Snapshot::empty()));
        let worker = published.current.load_full();
        let dropped = Arc::downgrade(&worker);
        retired.snapshots.extend(swap(&published, Arc::new(Snapshot::empty()), Instant::now()));
        retired.sweep().await;
        assert_eq!(retired.snapshots.len(), 1);
        drop(worker);
        assert!(dropped.upgrade().is_some(), "the worker does not drop it");
        retired.sweep().await;
        assert!(dropped.upgrade().is_none() && retired.snapshots.is_empty());
    }
}
