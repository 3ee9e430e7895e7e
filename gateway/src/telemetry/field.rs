//! Names of the fields of log lines: `tracing::info!({ field::PLUGIN } = name, "…")`.

/// Name of a plugin.
pub const PLUGIN: &str = "plugin";
/// Name or id of a module.
pub const MODULE: &str = "module";
/// SHA-256 of a module's code.
pub const DIGEST: &str = "digest";
/// Phase of a plugin.
pub const PHASE: &str = "phase";
/// Name or id of a route.
pub const ROUTE: &str = "route";
/// Name or id of a service.
pub const SERVICE: &str = "service";
/// Name of an upstream.
pub const UPSTREAM: &str = "upstream";
/// Address of a target.
pub const TARGET: &str = "target";
/// Name or id of a consumer.
pub const CONSUMER: &str = "consumer";
/// Internal name of a collection.
pub const COLLECTION: &str = "collection";
/// Id of an entity.
pub const ENTITY: &str = "entity";
/// Version of the configuration.
pub const VERSION: &str = "version";
/// Address that is listened on.
pub const LISTEN: &str = "listen";
/// Address of a client.
pub const CLIENT: &str = "client";
/// Id of a request, as in `X-Kong-Request-Id`.
pub const REQUEST: &str = "request";
/// Status that a client was answered with.
pub const STATUS: &str = "status";
/// Number of a worker, from 0.
pub const WORKER: &str = "worker";
/// Name of a background task.
pub const TASK: &str = "task";
/// Path of a file.
pub const PATH: &str = "path";
/// How long something took, in milliseconds.
pub const DURATION: &str = "duration_ms";
/// How many there were.
pub const COUNT: &str = "count";
/// Why something failed, with its causes.
pub const ERROR: &str = "error";
