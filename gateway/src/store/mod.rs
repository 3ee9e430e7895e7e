//! Where the configuration is kept. One folder a database, with the same file names; nothing here knows what an entity
//! means beyond its [`Collection`]. Never on the request path.

#[cfg(test)]
mod conformance;
mod entity;
mod history;
mod recorder;
mod sqlite;
mod table;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::model::{Collection, Object, Registry};

pub use history::{
    Changes, Counts, Diff, DiffPage, EntityChange, Entry, EntryFilter, EntryPage, HEARTBEAT, Heard, History, NODE_LIVE,
    NodeReport, Note, Refused, Request,
};
pub use sqlite::SqliteStore;

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

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another entity has the same values in a unique group.
    #[error("unique constraint of {collection} violated")]
    Unique {
        /// Internal name of the collection.
        collection: Arc<str>,
        /// The group with its values.
        fields: Object,
    },
    /// The id exists already.
    #[error("{collection} has the id {id} already")]
    PrimaryKey {
        /// Internal name of the collection.
        collection: Arc<str>,
        /// The id.
        id: Arc<str>,
    },
    /// A reference points to nothing.
    #[error("{field} refers to no entity of {to}")]
    ForeignKey {
        /// The field.
        field: Arc<str>,
        /// Collection it refers to.
        to: Arc<str>,
        /// The value of the field.
        value: Value,
    },
    /// The entity cannot be deleted while others refer to it.
    #[error("{collection} is referenced by {by}")]
    Referenced {
        /// Collection of the entity.
        collection: Arc<str>,
        /// Collection of the entities that refer to it.
        by: Arc<str>,
    },
    /// The database failed or could not be reached.
    #[error("the configuration database failed")]
    Database(#[from] sqlx::Error),
    /// Migrations could not be applied.
    #[error("the configuration database could not be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A stored row cannot be read.
    #[error("a row of {0} cannot be read")]
    Corrupt(Arc<str>, #[source] serde_json::Error),
}

/// Answers of the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A configuration database. Keeps a bounded number of changes: what is older than those can be neither compared nor
/// rolled back to.
#[async_trait]
pub trait Store: History + Send + Sync + 'static {
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
    /// A stable text of this database under `key`, `make` being kept the first time: node and cluster identity.
    async fn once(&self, key: &str, make: String) -> Result<String>;
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
