//! Makes targets healthy or not as operators told other nodes that share the database.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};

use crate::{
    admin::{Announcer, Fitness, only},
    config::{Config, Database},
    shutdown::{Shutdown, Tasks},
    snapshot::Published,
    store::{Store, TargetMark, Version},
};

/// How long a mark waits for the configuration that has its target, or for the addresses of a name.
const PATIENCE: Duration = Duration::from_secs(10);
/// Marks that wait at most.
const MOST_WAITING: usize = 1_000;

/// Who turns targets by hand in this process.
pub(super) struct Marking {
    pub(super) fitness: Arc<dyn Fitness>,
    /// Names this process, which made its own marks already.
    process: Arc<str>,
    /// Tells of marks that are made here.
    pub(super) announcer: Arc<Announcer>,
    /// Told that the database may have something new.
    pub(super) word: Arc<Notify>,
}

impl Marking {
    /// With the store, where other nodes read it, too.
    pub(super) fn of(published: &Published, shared: Option<Arc<dyn Store>>) -> Self {
        let fitness = Arc::new(super::fitness::Fitness::of(published.current.clone()));
        let process: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        let announcer = Arc::new(Announcer::new(process.clone(), shared));
        Self { fitness, process, announcer, word: Arc::default() }
    }

    /// Follows the marks of others from the time of this call on, where there may be any.
    pub(super) async fn follow(&self, config: &Config, store: &Arc<dyn Store>, published: &Published, tasks: &Tasks) {
        if !matches!(config.database, Database::Postgres(_)) {
            return;
        }
        let follower = Follower {
            store: store.clone(),
            fitness: self.fitness.clone(),
            process: self.process.clone(),
            announcer: self.announcer.clone(),
            word: self.word.clone(),
            poll: config.database_use.poll_interval,
            served: published.served.subscribe(),
        };
        // What was said before this process began concerns others. What follows reaches it, ready or not.
        let mut last = None;
        if timeout(PATIENCE, follower.read(&mut last, &mut Vec::new())).await.is_err() {
            tracing::warn!("the marks of targets could not be read in time");
        }
        tasks.spawn("marks of targets", follower.run(last, tasks.shutdown()));
    }
}

struct Follower {
    store: Arc<dyn Store>,
    fitness: Arc<dyn Fitness>,
    process: Arc<str>,
    announcer: Arc<Announcer>,
    word: Arc<Notify>,
    /// How long to wait for word, which may be lost.
    poll: Duration,
    served: watch::Receiver<Version>,
}

impl Follower {
    /// Until the gateway ends.
    async fn run(mut self, mut last: Option<u64>, ending: Shutdown) {
        let mut waiting: Vec<(Instant, TargetMark)> = Vec::new();
        loop {
            self.announcer.catch_up().await;
            self.read(&mut last, &mut waiting).await;
            let now = Instant::now();
            waiting.retain(|(until, mark)| !self.apply(mark) && *until > now);
            // No arm loses anything: the marks are read by their numbers, and those that wait are tried again.
            tokio::select! {
                () = ending.triggered() => return,
                _ = timeout(self.poll, self.word.notified()) => {}
                Ok(()) = self.served.changed(), if !waiting.is_empty() => {}
            }
            self.served.borrow_and_update();
        }
    }

    async fn read(&self, last: &mut Option<u64>, waiting: &mut Vec<(Instant, TargetMark)>) {
        loop {
            let found = match self.store.marks(*last).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(%error, "marks of targets could not be read");
                    return;
                }
            };
            *last = Some(found.last);
            let until = Instant::now() + PATIENCE;
            for mark in found.marks.into_iter().filter(|mark| mark.process != self.process) {
                // The last word on a target is the one that counts.
                let is_old = |old: &TargetMark| {
                    old.upstream == mark.upstream && old.target == mark.target && old.address == mark.address
                };
                waiting.retain(|(_, old)| !is_old(old));
                if waiting.len() < MOST_WAITING {
                    waiting.push((until, mark));
                }
            }
            if !found.more {
                return;
            }
        }
    }

    fn apply(&self, mark: &TargetMark) -> bool {
        let address = mark.address.as_deref().and_then(only);
        self.fitness.mark(&mark.upstream, &mark.target, address, mark.healthy)
    }
}
