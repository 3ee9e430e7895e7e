//! What the store remembers beside the configuration itself: how each version came to be, and which nodes serve it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use super::{Result, Version};
use crate::model::Object;

/// Refused writes that are kept in the audit log; older ones are pruned, so that a flood of them drives out no version.
pub(super) const REFUSALS: i64 = 10_000;

/// Seconds after which the report of a node that is gone is forgotten.
pub(super) const NODE_KEPT: f64 = 86_400.0;

/// How often a node reports although nothing changed.
pub const HEARTBEAT: Duration = Duration::from_secs(3);

/// A node is live while its last report is younger than this.
pub const NODE_LIVE: Duration = Duration::from_secs(15);

/// An entity on both sides of a change. Never equal on both, never absent from both.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityChange {
    /// Internal name of the collection.
    pub collection: Arc<str>,
    /// Primary key.
    pub id: Arc<str>,
    /// `None`: it is new.
    pub before: Option<Object>,
    /// `None`: it is gone.
    pub after: Option<Object>,
}

/// How many entities a write touched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// New ones.
    pub created: u64,
    /// Changed ones.
    pub updated: u64,
    /// Those that are gone.
    pub deleted: u64,
}

/// What a write has done.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Of all of it.
    pub counts: Counts,
    /// The first ones, in the order of collections and ids.
    pub entities: Vec<EntityChange>,
}

/// Who asked for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name that access control gave; the gateway itself is `sandgate`.
    pub actor: Arc<str>,
    /// Where the request came from.
    pub address: Option<String>,
    /// HTTP method, or what the gateway did by itself.
    pub method: String,
    /// Path of the request.
    pub path: String,
}

impl Request {
    /// The gateway's own doing.
    pub fn own(what: &str) -> Self {
        Self { actor: "sandgate".into(), address: None, method: String::new(), path: what.to_owned() }
    }
}

/// What is kept with a version about its write.
#[derive(Debug, Clone)]
pub struct Note {
    /// Who asked for it.
    pub request: Request,
    /// For the audit log: the entities that changed. Must hold no secrets.
    pub entities: Value,
}

/// A row of the audit log.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Greater for later ones.
    pub seq: u64,
    /// Unix seconds.
    pub at: f64,
    /// The version that was made; `None`: the write was refused.
    pub version: Option<Version>,
    /// Who asked for what.
    pub request: Request,
    /// Status of a refusal.
    pub status: Option<u16>,
    /// How many entities changed.
    pub counts: Counts,
    /// Which ones, as [`Note::entities`] said.
    pub entities: Value,
}

/// A write that access control refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Unix seconds.
    pub at: f64,
    /// Who asked for what.
    pub request: Request,
    /// Status of the answer.
    pub status: u16,
}

/// Which rows of the audit log a listing holds.
#[derive(Debug, Clone, Default)]
pub struct EntryFilter {
    /// Writes that made a version (`true`), refused ones (`false`), or both.
    pub committed: Option<bool>,
    /// Of this actor.
    pub actor: Option<String>,
    /// With this method.
    pub method: Option<String>,
    /// That made this version.
    pub version: Option<Version>,
    /// That changed this entity: collection and id.
    pub entity: Option<(String, String)>,
    /// At or after these Unix seconds.
    pub since: Option<f64>,
    /// Before these Unix seconds.
    pub until: Option<f64>,
}

/// A page of the audit log, newest first.
#[derive(Debug, Clone, Default)]
pub struct EntryPage {
    /// Rows with a smaller number than this.
    pub before: Option<u64>,
    /// At most this many.
    pub size: usize,
}

/// A page of a comparison, in the order of collections and ids.
#[derive(Debug, Clone, Default)]
pub struct DiffPage {
    /// Entities after this collection and id.
    pub after: Option<(String, String)>,
    /// At most this many.
    pub size: usize,
}

/// Entities that differ between two versions, and where to go on; `None` on the last page.
#[derive(Debug, Clone, Default)]
pub struct Diff {
    /// The entities.
    pub entities: Vec<EntityChange>,
    /// Where the next page begins.
    pub next: Option<(String, String)>,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeReport {
    /// UUID.
    pub id: String,
    /// Host name.
    pub hostname: String,
    /// Version of Sandgate.
    pub software: String,
    /// The configuration that its requests are served from.
    pub version: Version,
    /// Entities that it cannot serve, for operators.
    pub quarantined: Value,
    /// Digest of each module that it runs, by name.
    pub modules: Value,
}

/// A report and its age by the clock of the database.
#[derive(Debug, Clone)]
pub struct Heard {
    /// What the node said last.
    pub report: NodeReport,
    /// Seconds since then.
    pub age: f64,
}

/// Versions, the audit log and the reports of nodes.
#[async_trait]
pub trait History: Send + Sync {
    /// The oldest version whose state is still known. The history is bounded; see [`Store`](super::Store).
    async fn oldest(&self) -> Result<Version>;
    /// A page of the audit log.
    async fn entries(&self, filter: &EntryFilter, page: &EntryPage) -> Result<Vec<Entry>>;
    /// What turns version `from` into the later version `to`. Both must be known: [`History::oldest`] to the newest.
    async fn diff(&self, from: Version, to: Version, page: &DiffPage) -> Result<Diff>;
    /// Adds refused writes to the audit log. Makes no version.
    async fn refused(&self, writes: &[Refused]) -> Result<()>;
    /// Keeps the report of a node in place of its last one.
    async fn report(&self, node: &NodeReport) -> Result<()>;
    /// Forgets a node that ended.
    async fn leave(&self, node: &str) -> Result<()>;
    /// The last report of every node.
    async fn nodes(&self) -> Result<Vec<Heard>>;
}
