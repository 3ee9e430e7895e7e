//! The embedded database: one SQLite file in WAL mode. One connection writes, a few read beside it.

mod history;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use sqlx::{
    Sqlite, SqlitePool,
    pool::PoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use self::write::SqliteTransaction;
use super::{Delta, Filter, Key, Page, Result, Rows, Store, Transaction, Version};
use crate::model::{Collection, Object, Registry};

/// How long a connection waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a write waits for the writes before it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections that read.
const READERS: u32 = 4;

/// Rows of changes that are kept for [`Store::changes_since`].
const HISTORY: u32 = 100_000;

/// A configuration database in one file. A write that was acknowledged survives the death of the process and of the
/// machine.
#[derive(Debug)]
pub struct SqliteStore {
    readers: SqlitePool,
    /// Holds one connection: who has it writes.
    writer: SqlitePool,
    history: u32,
}

impl SqliteStore {
    /// Opens the database at `path`, making the file when there is none, and applies the migrations it lacks.
    pub async fn open(path: &Path) -> Result<Self> {
        create_private(path).await.map_err(sqlx::Error::Io)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = pool(1).connect_with(options.clone()).await?;
        sqlx::migrate!("../migrations/sqlite").run(&writer).await?;
        let readers = pool(READERS).connect_with(options.read_only(true)).await?;
        Ok(Self { readers, writer, history: HISTORY })
    }

    /// Keeps only so many rows of changes: 1 or more. Default 100,000.
    pub fn with_history(mut self, rows: u32) -> Self {
        self.history = rows.max(1);
        self
    }

    /// Removes entities whose time to live is over, with what cascades from them, as one write. Answers how many there
    /// were. Readers do not see them even before. One that others refer to without cascade stays.
    pub async fn expired_sweep(&self, registry: &Registry) -> Result<usize> {
        let mut write = self.write().await?;
        let expired = write.sweep(registry).await?;
        Box::new(write).commit().await?;
        Ok(expired)
    }

    /// Closes every connection; those in use first finish. Afterwards every call fails.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn write(&self) -> Result<SqliteTransaction> {
        let transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(SqliteTransaction::new(transaction, self.history))
    }
}

/// Connections are kept, because each holds its prepared statements.
fn pool(size: u32) -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .max_connections(size)
        .min_connections(1)
        .acquire_timeout(WRITE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// The database holds secrets, so only its owner may read it; SQLite gives its other files the same mode.
async fn create_private(path: &Path) -> std::io::Result<()> {
    tokio::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).await.map(drop)
}

#[async_trait]
impl Store for SqliteStore {
    async fn version(&self) -> Result<Version> {
        read::version(&mut *self.readers.acquire().await?).await
    }

    async fn get(&self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        read::get(&mut *self.readers.acquire().await?, collection, key).await
    }

    async fn page(&self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows> {
        read::page(&mut *self.readers.acquire().await?, collection, filter, page).await
    }

    async fn changes_since(&self, registry: &Registry, version: Version) -> Result<Delta> {
        let mut transaction = self.readers.begin().await?;
        let delta = read::delta(&mut transaction, registry, version).await?;
        transaction.rollback().await?;
        Ok(delta)
    }

    async fn code(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        let query = sqlx::query_scalar("SELECT code FROM module_code WHERE digest = ?").bind(digest);
        Ok(query.fetch_optional(&self.readers).await?)
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        Ok(Box::new(self.write().await?))
    }

    async fn once(&self, key: &str, make: String) -> Result<String> {
        let query = sqlx::query("INSERT INTO node_values (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING");
        query.bind(key).bind(make).execute(&self.writer).await?;
        let query = sqlx::query_scalar("SELECT value FROM node_values WHERE key = ?").bind(key);
        Ok(query.fetch_one(&self.writer).await?)
    }
}
