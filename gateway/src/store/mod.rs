//! Where the configuration is kept. One folder a database, with the same file names; nothing here knows what an entity
//! means beyond its [`Collection`]. Never on the request path.

mod backend;
#[cfg(test)]
mod conformance;
mod entity;
mod failure;
mod history;
mod ledger;
mod marks;
mod memory;
mod migrations;
mod outage;
mod postgres;
mod query;
mod read;
mod recorder;
mod sqlite;
mod table;
mod write;

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::model::{Collection, Object, Registry};

pub use failure::StoreError;
pub use history::{
    Changes, Counts, Diff, DiffPage, EntityChange, Entry, EntryFilter, EntryPage, HEARTBEAT, Heard, History, NODE_LIVE,
    NodeReport, Note, Refused, Request,
};
pub use marks::{Marks, MarksSince, TargetMark};
pub use memory::{EMPTY_HASH, MemoryStore};
pub use migrations::{Migration, Upkeep, migrations};
pub use outage::{OutageOptions, Resilient, keep};
pub use postgres::{PostgresOptions, PostgresStore};
pub use sqlite::SqliteStore;

/// Rows of changes that are kept for [`Store::changes_since`].
const HISTORY: u32 = 100_000;

/// Which database, and how to use it.
#[derive(Debug, Clone)]
pub enum Database {
    /// An embedded one in this file.
    Sqlite(PathBuf),
    /// One that nodes share.
    Postgres(Box<PostgresOptions>),
}

/// Opens a database and applies the migrations it lacks.
pub async fn open(database: &Database) -> Result<Arc<dyn Store>> {
    let store: Arc<dyn Store> = match database {
        Database::Sqlite(file) => Arc::new(SqliteStore::open(file).await?),
        Database::Postgres(options) => Arc::new(PostgresStore::new((**options).clone())),
    };
    store.prepare().await?;
    Ok(store)
}

/// A configuration version: 0 for an empty database, then one more for each committed write, without gaps.
pub type Version = u64;

/// How an entity is found.
#[derive(Debug, Clone, Copy)]
pub enum Key<'a> {
    /// By primary key.
    Id(&'a str),
    /// By a unique field and its value.
    Unique(&'a str, &'a str),
}

/// Which entities a listing holds.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Children of this parent: field and id.
    pub parent: Option<(Arc<str>, Arc<str>)>,
    /// Equal to this value: field and text.
    pub equals: Option<(Arc<str>, String)>,
    /// Tags, and whether all or any of them.
    pub tags: Option<Tags>,
}

/// A tag filter.
#[derive(Debug, Clone)]
pub enum Tags {
    /// Every one of them.
    All(Vec<String>),
    /// At least one.
    Any(Vec<String>),
}

/// A page of a listing, in the order of ids.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Entities with a greater id than this.
    pub after: Option<String>,
    /// At most this many.
    pub size: usize,
}

/// Entities of a page, and the id to go on after; `None` on the last page.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The entities.
    pub rows: Vec<Object>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// One entity that changed; `entity` is `None` when it was deleted.
#[derive(Debug, Clone)]
pub struct Change {
    /// Internal name of the collection.
    pub collection: Arc<str>,
    /// Primary key.
    pub id: Arc<str>,
    /// As it is now.
    pub entity: Option<Object>,
}

/// What happened since a version.
#[derive(Debug, Clone)]
pub struct Delta {
    /// The version that the changes lead to.
    pub version: Version,
    /// True when the history does not reach back: `changes` then holds every entity there is, and anything else is gone.
    pub full: bool,
    /// Each entity once, in its latest state.
    pub changes: Vec<Change>,
}

/// Answers of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A configuration database. Keeps a bounded number of changes: what is older than those can be neither compared nor
/// rolled back to.
#[async_trait]
pub trait Store: History + Marks + Send + Sync + 'static {
    /// The newest committed version.
    async fn version(&self) -> Result<Version>;
    /// One entity, or `None`.
    async fn get(&self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>>;
    /// A page of a collection.
    async fn page(&self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows>;
    /// Everything that changed since `version`, read in one transaction.
    async fn changes_since(&self, registry: &Registry, version: Version) -> Result<Delta>;
    /// Bytes of a module by the SHA-256 of the component, hexadecimal.
    async fn code(&self, digest: &str) -> Result<Option<Vec<u8>>>;
    /// Starts a write. Writes run one at a time.
    async fn begin(&self) -> Result<Box<dyn Transaction>>;
    /// A stable text of this database under `key`, `make` being kept the first time: the identity of the cluster.
    async fn once(&self, key: &str, make: String) -> Result<String>;
    /// Removes entities whose time to live is over, with what cascades from them, as one write. Answers how many there
    /// were. Readers do not see them even before. One that others refer to without cascade stays.
    async fn sweep(&self, registry: &Registry) -> Result<usize>;
    /// Applies the migrations that the database lacks. Several nodes may do so at once.
    async fn prepare(&self) -> Result<()>;
    /// Gives word to `changed` when the database may have something new, which others wrote. Never ends. Word may be
    /// lost, so who needs it asks from time to time as well. While this runs, calls fail at once when the database
    /// cannot be reached.
    async fn watch(&self, changed: Arc<Notify>);
    /// Closes every connection; those in use first finish. Afterwards every call fails.
    async fn close(&self);
    /// How often the connection that [`Store::watch`] holds broke. Another database may have come in the place of this
    /// one each time, unnoticed by the connections of calls.
    fn breaks(&self) -> u64 {
        0
    }
    /// Since when the database is away, as far as this store finds out.
    fn unreachable_since(&self) -> Option<SystemTime> {
        None
    }
}

/// A write: all of it or nothing, and one version.
#[async_trait]
pub trait Transaction: Send {
    /// As [`Store::get`], with what this write has done so far.
    async fn get(&mut self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>>;
    /// As [`Store::page`], with what this write has done so far.
    async fn page(&mut self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows>;
    /// Adds an entity.
    async fn insert(&mut self, collection: &Collection, entity: &Object) -> Result<()>;
    /// Replaces an entity that exists.
    async fn update(&mut self, collection: &Collection, entity: &Object) -> Result<()>;
    /// Deletes an entity and what cascades from it. False when there is none.
    async fn delete(&mut self, registry: &Registry, collection: &Collection, id: &str) -> Result<bool>;
    /// Keeps the bytes of a module.
    async fn put_code(&mut self, digest: &str, bytes: &[u8]) -> Result<()>;
    /// What this write has done so far: counts, and the first `most` entities.
    fn changes(&self, most: usize) -> Result<Changes>;
    /// Says who writes; kept with the version. Without it the write counts as the gateway's own.
    fn sign(&mut self, note: Note);
    /// Commits, and answers with the version it made. Nothing changed: the version there was.
    async fn commit(self: Box<Self>) -> Result<Version>;
}
