//! What the Admin API works on: the doors that the assembly opens for it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{Access, Announcer, Explain, Limits, declarative::Declarative};
use crate::{
    config::AnswerHeaders,
    model::{ConfigError, Inspected, ModuleState, Object, PluginInfo, Refusal, Registry},
    shutdown::Tasks,
    store::{Refused, Store, Version},
    telemetry::LogLevel,
};

/// Everything the Admin API needs.
#[derive(Clone)]
pub struct Context {
    /// The configuration database.
    pub store: Arc<dyn Store>,
    /// Collections there are now. The Admin API adds those of a module that it commits, before the answer.
    pub registry: Arc<ArcSwap<Registry>>,
    /// Plugins that configurations may name.
    pub plugins: Arc<dyn Plugins>,
    /// Inspecting and knowing modules.
    pub modules: Arc<dyn Modules>,
    /// Who may use the Admin API.
    pub access: Arc<Access>,
    /// What requests to the Admin API may use.
    pub limits: Limits,
    /// Who this node is.
    pub node: Arc<Node>,
    /// Counters and readiness at this moment.
    pub status: Arc<dyn Fn() -> Status + Send + Sync>,
    /// Prometheus text, for the Status API.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What would become of a request; the error says what is wrong with the question.
    pub explain: Explainer,
    /// The configuration when it comes from a file; `None` with a database.
    pub declarative: Option<Arc<Declarative>>,
    /// Called after each committed write, before its answer.
    pub notify: Arc<dyn Fn(Version) + Send + Sync>,
    /// The configuration that this node serves.
    pub served: watch::Receiver<Version>,
    /// How old the last report of a live node may be at this moment.
    pub live: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// How targets fare on this node.
    pub fitness: Arc<dyn Fitness>,
    /// Tells other nodes how targets were turned by hand.
    pub marks: Arc<Announcer>,
    /// Takes writes that were refused to the audit log. Bounded; what does not fit is counted in the log alone.
    pub refusals: mpsc::Sender<Refused>,
    /// What can be turned while the node runs.
    pub controls: Arc<dyn Controls>,
    /// Where requests that may write are finished, whether their clients wait or not.
    pub tasks: Tasks,
}

/// Answers `POST /routes/explain`.
pub type Explainer = Arc<dyn Fn(&Explain) -> Result<Value, String> + Send + Sync>;

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Context").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Plugins that configurations may name: what is in the module catalogue of this node.
#[async_trait]
pub trait Plugins: Send + Sync + 'static {
    /// By name.
    fn schema(&self, name: &str) -> Option<Arc<PluginInfo>>;
    /// All names, in any order.
    fn names(&self) -> Vec<Arc<str>>;
    /// The plugin's own `validate` on a complete configuration that its schema accepts. Errors: every mistake it found.
    async fn validate(&self, name: &str, config: &Value) -> Result<(), Vec<ConfigError>>;
}

/// Modules: the code of plugins.
#[async_trait]
pub trait Modules: Send + Sync + 'static {
    /// Looks at an upload without keeping anything of it. Errors: every reason why it cannot be used.
    async fn inspect(&self, bytes: Vec<u8>) -> Result<Inspected, Vec<Refusal>>;
    /// Runs `validate` of an inspected module that is not installed yet, for the configurations of an old version.
    async fn validate(&self, candidate: &Inspected, config: &Value) -> Result<(), Vec<ConfigError>>;
    /// Makes a committed module (a row of `modules`) known to this node before the upload is answered, so that the next
    /// request may configure the plugin. Must accept a replacement and a change of grants or limits alike.
    async fn install(&self, module: &Object);
    /// Forgets a module that was deleted.
    async fn remove(&self, name: &str);
    /// How the module fares on this node.
    fn state(&self, name: &str) -> ModuleState;
}

/// What can be looked at and turned while the node runs.
pub trait Controls: Send + Sync + 'static {
    /// How much the node logs now.
    fn log_level(&self) -> LogLevel;
    /// Logs so much from now on; after `lasts` as the settings say. `None`: until the node ends.
    fn set_log_level(&self, level: LogLevel, lasts: Option<Duration>);
    /// Names of the background tasks that run now.
    fn tasks(&self) -> Vec<Arc<str>>;
}

/// How the targets of upstreams fare on this node.
pub trait Fitness: Send + Sync + 'static {
    /// The addresses of a target (`host:port`, as stored) of the upstream of this name; `None`: it is not served.
    fn of_target(&self, upstream: &str, target: &str) -> Option<TargetFitness>;
    /// Makes its addresses healthy or not until the checks say otherwise; with `only`, this one, at any port if it names none.
    /// `false`: there is no such address.
    fn mark(&self, upstream: &str, target: &str, only: Option<(IpAddr, Option<u16>)>, healthy: bool) -> bool;
}

/// The addresses of a target.
#[derive(Debug, Clone, Default)]
pub struct TargetFitness {
    /// The addresses; without any there is a failure, unless its name is still being asked for.
    pub addresses: Vec<AddressFitness>,
    /// Why its name has none.
    pub failure: Option<String>,
}

/// How an address of a target fares.
#[derive(Debug, Clone)]
pub struct AddressFitness {
    /// The address.
    pub address: SocketAddr,
    /// Its share.
    pub weight: u32,
    /// Whether it may be asked.
    pub is_healthy: bool,
    /// Kind of the record that gave it.
    pub kind: &'static str,
}

/// Who this node is.
#[derive(Debug, Clone)]
pub struct Node {
    /// UUID, the same after a restart.
    pub id: String,
    /// Host name.
    pub hostname: String,
    /// Version of Sandgate.
    pub version: String,
    /// Headers of answers.
    pub headers: AnswerHeaders,
    /// What `GET /` shows under `configuration`: `database`, `role`, `router_flavor`, `admin_listen`,
    /// `admin_listeners`, `proxy_listeners`, …; no secrets. `loaded_plugins` is added.
    pub configuration: Object,
}

impl Node {
    /// Whether the configuration is kept in a database, and not read from a file.
    pub(super) fn has_database(&self) -> bool {
        self.configuration.get("database").is_none_or(|database| database != "off")
    }
}

/// An entity that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Internal name of its collection.
    pub collection: &'static str,
    /// Primary key.
    pub id: Arc<str>,
    /// Why not.
    pub reason: String,
}

/// Counters and readiness of the node.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Why the node is not ready for traffic; `None` when it is.
    pub unready: Option<String>,
    /// Configuration version that requests are served from.
    pub config_version: Version,
    /// Entities of it that are not served.
    pub quarantined: Vec<Quarantined>,
    /// Client connections accepted since the start.
    pub connections_accepted: u64,
    /// Client connections open now.
    pub connections_active: u64,
    /// Of the open ones, idle.
    pub connections_waiting: u64,
    /// Requests since the start.
    pub total_requests: u64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
}
