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
use crate::{shutdown::Shutdown, store::Version};

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
    while !shutdown.is_triggered() {
        // Dropping any arm loses nothing: the store is asked for what changed since the last version.
        tokio::select! {
            word = timeout(pace.poll, published.changed.notified()) => {
                if word.is_ok() {
                    sleep(pace.debounce).await;
                }
            }
            () = shutdown.triggered() => return,
        }
        let began = Instant::now();
        match builder.refresh().await {
            Ok(snapshot) => swap(&published, snapshot, began),
            Err(error) => {
                tracing::error!(error = %std::error::Error::source(&error).unwrap_or(&error), "the configuration could not be read; the last one stays")
            }
        }
    }
}

fn swap(published: &Published, snapshot: Arc<Snapshot>, began: Instant) {
    let version = snapshot.version;
    if Arc::ptr_eq(&published.current.load(), &snapshot) {
        return;
    }
    let quarantined = snapshot.quarantined.len();
    published.current.store(snapshot);
    published.served.send_replace(version);
    tracing::info!(version, quarantined, took = ?began.elapsed(), "a configuration is served");
}
