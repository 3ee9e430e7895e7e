//! The embedded database: one SQLite file in WAL mode. One connection writes, a few read beside it.

mod connection;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    Sqlite, SqliteConnection, SqlitePool,
    pool::{PoolConnection, PoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::Notify;

use super::{
    HISTORY, Result,
    backend::{Backend, Health, Writer},
};

/// How long a connection waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a write waits for the writes before it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections that read.
const READERS: u32 = 4;

/// A configuration database in one file. A write that was acknowledged survives the death of the process and of the
/// machine.
#[derive(Debug)]
pub struct SqliteStore {
    readers: SqlitePool,
    /// Holds one connection: who has it writes.
    writer: SqlitePool,
    history: u32,
    health: Health,
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
        Ok(Self { readers, writer, history: HISTORY, health: Health::default() })
    }

    /// Keeps only so many rows of changes: 1 or more. Default 100,000.
    pub fn with_history(mut self, rows: u32) -> Self {
        self.history = rows.max(1);
        self
    }
}

/// Steps of SQLite's machine after which its thread lets others go first: some ten microseconds.
const STEPS: i32 = 500;

/// Connections are kept, because each holds its prepared statements.
fn pool(size: u32) -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .after_connect(|connection, _| Box::pin(be_considerate(connection)))
        .max_connections(size)
        .min_connections(1)
        .acquire_timeout(WRITE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Lets the workers go first, beside whom the thread of a connection does long work: a request that arrives must not wait for
/// the end of the thread's turn, which the system lets last for more than a millisecond.
async fn be_considerate(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    connection.lock_handle().await?.set_progress_handler(STEPS, || {
        std::thread::yield_now();
        true
    });
    Ok(())
}

/// The database holds secrets, so only its owner may read it; SQLite gives its other files the same mode.
async fn create_private(path: &Path) -> std::io::Result<()> {
    tokio::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).await.map(drop)
}

#[async_trait]
impl Backend for SqliteStore {
    type Sql = Sqlite;

    async fn reader(&self) -> Result<PoolConnection<Sqlite>> {
        Ok(self.readers.acquire().await?)
    }

    async fn moment(&self) -> Result<sqlx::Transaction<'static, Sqlite>> {
        Ok(self.readers.begin().await?)
    }

    async fn writer(&self) -> Result<Writer<Sqlite>> {
        Ok(Writer { db: self.writer.begin_with("BEGIN IMMEDIATE").await?, _turn: None })
    }

    async fn aside(&self) -> Result<sqlx::Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    fn history(&self) -> u32 {
        self.history
    }

    fn health(&self) -> &Health {
        &self.health
    }

    /// Opening has done it.
    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    /// Nobody else writes to the file.
    async fn watch(&self, _changed: Arc<Notify>) {
        std::future::pending().await
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
