//! One PostgreSQL database for several nodes. Writes take turns by locking the one row of `config_version`, so versions
//! have no gaps and are committed in their order. `NOTIFY` carries the number and is a hint; nodes ask by themselves too.

mod connection;
#[cfg(test)]
mod tests;
mod watch;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::{
    Connection, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

use super::{
    HISTORY, Result, StoreError,
    backend::{Backend, Health, Session, Writer},
    query::Query,
};

/// Where the database tells of new versions.
const CHANNEL: &str = "sandgate_config_version";

/// How long the migrations may take, those of other nodes that start at the same time included.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(600);

/// How a node uses its database.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Server, user, database and TLS.
    pub connect: PgConnectOptions,
    /// Connections that are kept, beside one that listens: 2 or more.
    pub connections: u32,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// How long a call waits for a connection of the pool.
    pub acquire_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long a write waits for the writes before it.
    pub lock_timeout: Duration,
}

/// A configuration database that other nodes share.
#[derive(Debug)]
pub struct PostgresStore {
    options: PostgresOptions,
    pool: PgPool,
    /// For the one connection that listens.
    listening: PgPool,
    /// Who has it writes: a queue of writers holds one connection, not all of them.
    turn: Arc<Semaphore>,
    history: u32,
    health: Health,
}

impl PostgresStore {
    /// Knows the database, but has not spoken to it yet: [`super::Store::prepare`] does.
    pub fn new(options: PostgresOptions) -> Self {
        let connect = limited(&options);
        let pool = PgPoolOptions::new()
            .max_connections(options.connections.max(2))
            .acquire_timeout(options.acquire_timeout)
            // Together at least the deadlines of all that a transaction does in between.
            .idle_timeout(Duration::from_secs(300))
            .test_before_acquire(true);
        let listening = PgPoolOptions::new().max_connections(1).acquire_timeout(options.connect_timeout);
        Self {
            pool: pool.connect_lazy_with(connect.clone()),
            listening: listening.max_lifetime(None).idle_timeout(None).connect_lazy_with(connect),
            turn: Arc::new(Semaphore::new(1)),
            history: HISTORY,
            health: Health::default(),
            options,
        }
    }

    /// Keeps only so many rows of changes: 1 or more. Default 100,000.
    pub fn with_history(mut self, rows: u32) -> Self {
        self.history = rows.max(1);
        self
    }

    /// A connection of its own, or why there is none.
    async fn connect(&self, options: &PgConnectOptions) -> Result<PgConnection> {
        let limit = self.options.connect_timeout;
        let connected = timeout(limit, PgConnection::connect_with(options)).await;
        connected.map_err(|_| StoreError::silent("a connection", limit))?.map_err(StoreError::unreachable)
    }
}

/// With the limits that the server keeps.
fn limited(options: &PostgresOptions) -> PgConnectOptions {
    let milliseconds = |limit: Duration| limit.as_millis().max(1).to_string();
    options.connect.clone().options([
        ("statement_timeout", milliseconds(options.statement_timeout + options.lock_timeout)),
        ("lock_timeout", milliseconds(options.lock_timeout)),
        // A node that froze in the middle of a write must not hold up the others for ever.
        ("idle_in_transaction_session_timeout", milliseconds(options.statement_timeout)),
    ])
}

#[async_trait]
impl Backend for PostgresStore {
    type Sql = Postgres;

    async fn reader(&self) -> Result<PoolConnection<Postgres>> {
        Ok(self.pool.acquire().await?)
    }

    async fn moment(&self) -> Result<sqlx::Transaction<'static, Postgres>> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    async fn writer(&self) -> Result<Writer<Postgres>> {
        let limit = self.options.lock_timeout;
        let turn = timeout(limit, self.turn.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| StoreError::Busy(limit))?.map_err(|_| sqlx::Error::PoolClosed)?;
        // The default of a database may be stricter, and would then refuse to read what was committed meanwhile.
        let mut db = self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
        db.execute(Query::new("SELECT FROM config_version FOR UPDATE")).await?;
        Ok(Writer { db, _turn: Some(turn) })
    }

    async fn aside(&self) -> Result<sqlx::Transaction<'static, Postgres>> {
        let mut db = self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
        // Reports follow one another; one that a crash of the server takes along is none to wait for.
        db.execute(Query::new("SET LOCAL synchronous_commit TO OFF")).await?;
        Ok(db)
    }

    fn history(&self) -> u32 {
        self.history
    }

    fn health(&self) -> &Health {
        &self.health
    }

    async fn prepare(&self) -> Result<()> {
        // Index builds and the wait for another node that migrates have no other limit.
        let unlimited = [("statement_timeout", "0"), ("lock_timeout", "0")];
        let options = self.options.connect.clone().options(unlimited);
        // A pool would try on and on to reach a server that is not there.
        self.connect(&options).await?.close().await?;
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(self.options.connect_timeout);
        let pool = pool.connect_lazy_with(options);
        let mut migrations = sqlx::migrate!("../migrations/postgres");
        // A node of the version before must start on what the next version has migrated.
        migrations.set_ignore_missing(true);
        let migrated = timeout(MIGRATION_TIMEOUT, migrations.run(&pool)).await;
        pool.close().await;
        Ok(migrated.map_err(|_| StoreError::Busy(MIGRATION_TIMEOUT))??)
    }

    async fn watch(&self, changed: Arc<Notify>) {
        watch::watch(self, &changed).await;
    }

    async fn close(&self) {
        self.listening.close().await;
        self.pool.close().await;
    }
}
