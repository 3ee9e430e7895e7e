//! What a database adds to the statements that all of them share, and the [`Store`] that comes of both.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use sqlx::{Database, pool::PoolConnection};
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};

use super::{
    Delta, Filter, Key, Page, Result, Rows, Store, StoreError, Transaction, Version,
    query::{Query, Shape},
    read,
    write::Write,
};
use crate::model::{Collection, Object, Registry};

/// A connection that runs statements.
#[async_trait]
pub(super) trait Session: Send {
    /// Unix seconds by the clock of the database.
    const CLOCK: &str;

    /// Runs a statement without rows.
    async fn execute(&mut self, query: Query) -> Result<()>;

    /// Runs a statement and reads its rows.
    async fn rows<T: Shape>(&mut self, query: Query) -> Result<Vec<T>>;

    /// The first row, if any.
    async fn row<T: Shape>(&mut self, query: Query) -> Result<Option<T>> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    /// Goes on with what finds the value at these names in the JSON of `data`, as text.
    fn push_json(query: &mut Query, names: &[String]);

    /// What tells other nodes of a version once it is committed.
    fn announcement(version: Version) -> Option<Query>;
}

/// A connection that writes, and the turn it has among the writers of this node.
pub(super) struct Writer<D: Database> {
    pub(super) db: sqlx::Transaction<'static, D>,
    /// Dropped after the connection.
    pub(super) _turn: Option<OwnedSemaphorePermit>,
}

/// A database.
#[async_trait]
pub(super) trait Backend: Send + Sync + 'static
where
    <Self::Sql as Database>::Connection: Session,
{
    type Sql: Database;

    /// A connection that reads.
    async fn reader(&self) -> Result<PoolConnection<Self::Sql>>;
    /// A transaction that sees one moment and writes nothing.
    async fn moment(&self) -> Result<sqlx::Transaction<'static, Self::Sql>>;
    /// A transaction that waited for the writes before it.
    async fn writer(&self) -> Result<Writer<Self::Sql>>;
    /// A transaction that writes what is no configuration. Waits for no write.
    async fn aside(&self) -> Result<sqlx::Transaction<'static, Self::Sql>>;
    /// Rows of changes to keep.
    fn history(&self) -> u32;
    /// Whether the database is there.
    fn health(&self) -> &Health;
    /// As [`Store::prepare`].
    async fn prepare(&self) -> Result<()>;
    /// As [`Store::watch`].
    async fn watch(&self, changed: Arc<Notify>);
    /// As [`Store::close`].
    async fn close(&self);
}

#[async_trait]
impl<B: Backend> Store for B
where
    <B::Sql as Database>::Connection: Session,
{
    async fn version(&self) -> Result<Version> {
        let work = async { read::version(&mut *self.reader().await?).await };
        self.health().guard(work).await
    }

    async fn get(&self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        let work = async { read::get(&mut *self.reader().await?, collection, key).await };
        self.health().guard(work).await
    }

    async fn page(&self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows> {
        let work = async { read::page(&mut *self.reader().await?, collection, filter, page).await };
        self.health().guard(work).await
    }

    async fn changes_since(&self, registry: &Registry, version: Version) -> Result<Delta> {
        let work = async {
            let mut moment = self.moment().await?;
            let delta = read::delta(&mut *moment, registry, version).await?;
            moment.rollback().await?;
            Ok(delta)
        };
        self.health().guard(work).await
    }

    async fn code(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        let query = Query::with("SELECT code FROM module_code WHERE digest = $1", [digest.into()]);
        let work = async { self.reader().await?.row::<(Vec<u8>,)>(query).await };
        Ok(self.health().guard(work).await?.map(|(code,)| code))
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        let writer = self.health().guard(self.writer()).await?;
        Ok(Box::new(Write::new(writer, self.history(), self.health().clone())))
    }

    async fn sweep(&self, registry: &Registry) -> Result<usize> {
        let work = async {
            let query = Query::with("SELECT id FROM entities WHERE expires_at <= $1 LIMIT 1", [read::now().into()]);
            // Without a turn among the writers, as there is nothing to do in most seconds.
            if self.reader().await?.row::<(String,)>(query).await?.is_none() {
                return Ok(0);
            }
            let mut write = Write::new(self.writer().await?, self.history(), self.health().clone());
            let expired = write.sweep(registry).await?;
            Box::new(write).commit().await?;
            Ok(expired)
        };
        self.health().guard(work).await
    }

    async fn once(&self, key: &str, make: String) -> Result<String> {
        let work = async {
            let mut write = self.writer().await?;
            let text = "INSERT INTO node_values (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            write.db.execute(Query::with(text, [key.into(), make.into()])).await?;
            let query = Query::with("SELECT value FROM node_values WHERE key = $1", [key.into()]);
            let kept: Option<(String,)> = write.db.row(query).await?;
            write.db.commit().await?;
            Ok(kept.ok_or(sqlx::Error::RowNotFound)?.0)
        };
        self.health().guard(work).await
    }

    async fn prepare(&self) -> Result<()> {
        Backend::prepare(self).await
    }

    async fn watch(&self, changed: Arc<Notify>) {
        Backend::watch(self, changed).await;
    }

    async fn close(&self) {
        Backend::close(self).await;
    }

    fn breaks(&self) -> u64 {
        self.health().breaks.load(Relaxed)
    }
}

/// Whether the database is there, as who watches it says. Work that waits for a database fails once it is lost, instead
/// of waiting on.
#[derive(Debug, Clone, Default)]
pub(super) struct Health {
    lost: Arc<watch::Sender<Option<Arc<sqlx::Error>>>>,
    breaks: Arc<AtomicU64>,
}

impl Health {
    /// The database cannot be reached, for this reason.
    pub(super) fn lost(&self, reason: Arc<sqlx::Error>) {
        self.lost.send_replace(Some(reason));
    }

    /// The connection that listens broke, whatever became of the others.
    pub(super) fn broke(&self) {
        self.breaks.fetch_add(1, Relaxed);
    }

    /// The database is there. True when it had been lost.
    pub(super) fn found(&self) -> bool {
        self.lost.send_replace(None).is_some()
    }

    /// Does `work` unless it would wait for a database that is lost.
    pub(super) async fn guard<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let mut seen = self.lost.subscribe();
        // A write that is dropped here leaves nothing behind or was committed; the caller is told neither.
        tokio::select! {
            biased;
            done = work => done,
            Ok(lost) = seen.wait_for(Option::is_some) => Err(unreachable(&lost)),
        }
    }
}

fn unreachable(lost: &Option<Arc<sqlx::Error>>) -> StoreError {
    let reason = lost.clone().unwrap_or_else(|| Arc::new(sqlx::Error::PoolClosed));
    StoreError::Unreachable(reason)
}
