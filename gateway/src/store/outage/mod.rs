//! A store that outlives its database. It keeps what the database told last, in memory and on disk: while the database is
//! away, at the start too, reads are answered from there and writes are refused. When it is back, all of it is read again
//! in one transaction and compared, so that nothing of before is mixed with a database that is another one by now.

mod disk;
mod failure;
mod history;
mod image;
mod keeper;
mod store;
#[cfg(test)]
mod tests;
mod transaction;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

pub use self::keeper::keep;
use self::{
    disk::Disk,
    failure::{is_broken, is_outage, is_refusal, reason, silent},
    image::Image,
};
use super::{Database, Delta, Result, Store, StoreError, Upkeep, Version, migrations::refuse_others};

/// How long the database may take to show that it is there.
const PROBE: Duration = Duration::from_secs(10);
/// Between two attempts to reach it: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Between two lines in the log of a start that waits.
const REMINDER: Duration = Duration::from_secs(10);
/// A version that no database has reached: it answers with everything.
const ALL: Version = i64::MAX.cast_unsigned();
/// Under this key a database keeps its identity.
const CLUSTER: &str = "cluster_id";

/// How to start and what to keep.
#[derive(Debug, Clone)]
pub struct OutageOptions {
    /// Folder of the snapshots.
    pub folder: PathBuf,
    /// How long a start without any snapshot waits for the database.
    pub start_wait: Duration,
    /// What becomes of another schema.
    pub upkeep: Upkeep,
}

/// The database, and what it told last.
pub struct Resilient {
    database: Database,
    upkeep: Upkeep,
    /// Set once it was reached.
    live: OnceLock<Arc<dyn Store>>,
    known: RwLock<Known>,
    disk: Disk,
    /// Since when the database is away.
    away: watch::Sender<Option<SystemTime>>,
    /// Told when a call met a database that may be away.
    suspicion: Arc<Notify>,
}

impl std::fmt::Debug for Resilient {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Resilient").field("database", &self.database).finish_non_exhaustive()
    }
}

/// What the database told last.
#[derive(Debug, Default)]
struct Known {
    image: Image,
    /// The connection was lost since: the next reading is of everything.
    stale: bool,
    /// [`Store::breaks`] when that was last looked at.
    breaks: u64,
    /// Raised when the image changes.
    generation: u64,
}

/// What to do about a failed call.
enum Verdict {
    /// The database is there, whatever this was: once more.
    Again,
    /// It is away.
    Away,
    /// It answered, and the answer is this.
    Failed(StoreError),
}

impl Resilient {
    /// Reaches the database, or starts from a snapshot where it is away, or waits for it where there is none.
    pub async fn open(database: Database, options: OutageOptions) -> Result<Arc<Self>> {
        let disk = Disk::new(options.folder);
        let store = Self {
            database,
            upkeep: options.upkeep,
            live: OnceLock::new(),
            known: RwLock::default(),
            disk,
            away: watch::Sender::new(None),
            suspicion: Arc::default(),
        };
        let error = match store.connect().await {
            Ok(()) => return Ok(Arc::new(store)),
            Err(error) if !is_outage(&error) || is_refusal(&error) => return Err(error),
            Err(error) => error,
        };
        let disk = store.disk.clone();
        match spawn_blocking(move || disk.load()).await.ok().flatten() {
            Some((header, image)) => {
                let written = httpdate::fmt_http_date(header.written());
                let reason = reason(&error);
                tracing::error!(reason, version = image.version, written, "{STARTED_WITHOUT}");
                *store.write() = Known { image, stale: true, ..Known::default() };
                store.away.send_replace(Some(SystemTime::now()));
            }
            None if is_broken(&error) => return Err(error),
            None => store.wait(error, options.start_wait).await?,
        }
        Ok(Arc::new(store))
    }

    /// Waits for a database without which there is nothing to serve.
    async fn wait(&self, mut error: StoreError, patience: Duration) -> Result<()> {
        let (end, mut pause) = (Instant::now() + patience, PAUSES.0);
        let mut reminder = Instant::now();
        while Instant::now() < end {
            if reminder <= Instant::now() {
                let left = end - Instant::now();
                tracing::warn!(reason = reason(&error), ?left, "{WAITING}");
                reminder += REMINDER;
            }
            sleep(jittered(pause)).await;
            pause = longer(pause);
            match self.connect().await {
                Ok(()) => return Ok(()),
                Err(other) if !is_outage(&other) || is_broken(&other) || is_refusal(&other) => return Err(other),
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    /// Opens the database, which has deadlines of its own for each step. Migrations may take long, and are waited for:
    /// the database is there.
    async fn connect(&self) -> Result<()> {
        if self.upkeep == Upkeep::Refuse {
            refuse_others(&self.database).await?;
        }
        let live = super::open(&self.database).await?;
        let cluster = live.once(CLUSTER, uuid::Uuid::new_v4().to_string()).await?;
        if self.away.borrow().is_none() {
            let (version, disk) = (live.version().await?, self.disk.clone());
            let header = spawn_blocking(move || disk.newest_header()).await.ok().flatten();
            if let Some(header) = header {
                compare((&header.cluster, header.version), (&cluster, version));
            }
            self.write().image.cluster = cluster;
        }
        _ = self.live.set(live);
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database, unless it is away.
    fn reachable(&self) -> Option<&Arc<dyn Store>> {
        if self.away.borrow().is_some() { None } else { self.live.get() }
    }

    fn reachable_or_read_only(&self) -> Result<&Arc<dyn Store>> {
        self.reachable().ok_or_else(|| self.read_only())
    }

    fn read_only(&self) -> StoreError {
        StoreError::ReadOnly { since: self.away.borrow().unwrap_or_else(SystemTime::now) }
    }

    /// Asks the database, or what it told last.
    async fn ask<T, F, A>(&self, ask: A, last: impl FnOnce(&Image) -> Result<T>) -> Result<T>
    where
        A: Fn(Arc<dyn Store>) -> F,
        F: Future<Output = Result<T>> + Send,
    {
        let mut again = false;
        while let Some(live) = self.reachable() {
            match ask(live.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if again => return Err(error),
                Err(error) => match self.judge(error).await {
                    Verdict::Again => again = true,
                    Verdict::Away => break,
                    Verdict::Failed(error) => return Err(error),
                },
            }
        }
        last(&self.read().image)
    }

    /// Finds out whether a call failed because the database is away.
    async fn judge(&self, error: StoreError) -> Verdict {
        if !is_outage(&error) {
            return Verdict::Failed(error);
        }
        // Whatever was broken may have hidden a database that was put in the place of this one.
        self.write().stale = true;
        if self.is_there().await {
            return Verdict::Again;
        }
        self.lost(&error);
        Verdict::Away
    }

    async fn is_there(&self) -> bool {
        match self.live.get() {
            Some(live) => matches!(timeout(PROBE, live.version()).await, Ok(Ok(_))),
            None => false,
        }
    }

    fn lost(&self, error: &StoreError) {
        let first = self.away.send_if_modified(|away| {
            let first = away.is_none();
            away.get_or_insert_with(SystemTime::now);
            first
        });
        self.suspicion.notify_one();
        if first {
            let version = self.read().image.version;
            tracing::error!(reason = reason(error), version, "{LOST}");
        }
    }

    fn found(&self) {
        self.write().stale = true;
        if let Some(since) = self.away.send_replace(None) {
            let away = since.elapsed().unwrap_or_default();
            tracing::warn!(?away, "the configuration database is reachable again");
        }
    }

    /// Watches whether the database is there. Never ends.
    async fn guard(&self, changed: &Notify) {
        loop {
            if self.away.borrow().is_none() {
                self.suspicion.notified().await;
                if !self.is_there().await {
                    self.lost(&silent());
                }
                continue;
            }
            let mut pause = PAUSES.0;
            while !self.try_again().await {
                sleep(jittered(pause)).await;
                pause = longer(pause);
            }
            self.found();
            changed.notify_one();
        }
    }

    async fn try_again(&self) -> bool {
        if self.live.get().is_some() {
            return self.is_there().await;
        }
        match self.connect().await {
            Ok(()) => true,
            Err(error) => {
                if !is_outage(&error) {
                    tracing::error!(reason = reason(&error), "the configuration database refuses this gateway");
                }
                false
            }
        }
    }

    /// Whether everything must be read again.
    fn is_stale(&self, live: &dyn Store) -> bool {
        let (mut known, breaks) = (self.write(), live.breaks());
        known.stale |= breaks != known.breaks;
        known.breaks = breaks;
        known.stale
    }

    /// What is known since a version.
    fn last(&self, since: Version) -> Result<Delta> {
        let known = self.read();
        if since == known.image.version && since > 0 {
            return Ok(Delta { version: since, full: false, changes: Vec::new() });
        }
        known.image.everything()
    }

    /// Takes over what changed. Whoever asks from another version than the one that is known changes nothing.
    fn take(&self, delta: &Delta, since: Version) {
        let mut known = self.write();
        if delta.full {
            let Known { image, .. } = &*known;
            compare((&image.cluster, image.version), (&image.cluster, delta.version));
        }
        if (delta.full || since == known.image.version) && known.image.apply(delta) {
            known.generation += 1;
        }
    }

    /// Compares everything there is with what was known, and goes over to it.
    async fn catch_up(&self, live: &dyn Store, full: Delta, since: Version) -> Delta {
        let cluster = timeout(PROBE, live.once(CLUSTER, uuid::Uuid::new_v4().to_string())).await;
        let mut known = self.write();
        let cluster = cluster.ok().and_then(Result::ok).unwrap_or_else(|| known.image.cluster.clone());
        compare((&known.image.cluster, known.image.version), (&cluster, full.version));
        // Whoever has what is known needs the difference alone, and keeps what did not change.
        let delta = if since == known.image.version { known.image.difference(full) } else { full };
        if known.image.apply(&delta) {
            known.generation += 1;
        }
        known.image.cluster = cluster;
        known.stale = false;
        delta
    }
}

const STARTED_WITHOUT: &str =
    "the configuration database cannot be reached: starting from the snapshot on disk, the Admin API is read-only";
const WAITING: &str = "the configuration database cannot be reached and there is no snapshot on disk: waiting for it";
const LOST: &str =
    "the configuration database is away: the last configuration stays in service, the Admin API is read-only";

/// Says so when a database is not the one that was known, or not as far. What the database has is served either way.
fn compare((known, before): (&str, Version), (cluster, version): (&str, Version)) {
    if known.is_empty() || before == 0 {
        return;
    }
    if known != cluster {
        tracing::warn!(
            cluster,
            known,
            version,
            before,
            "{}",
            concat!(
                "the configuration database is another one than before: ",
                "everything is read again and what it has is served"
            )
        );
    } else if version < before {
        tracing::warn!(
            version,
            before,
            "{}",
            concat!(
                "the configuration database is older than what was served, as if restored from a backup: ",
                "everything is read again and what it has is served"
            )
        );
    }
}

/// Between half of it and all of it, so that gateways do not come back in step.
fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_bytes()[0];
    pause.mul_f64(0.5 + f64::from(random) / 510.0)
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(PAUSES.1)
}
