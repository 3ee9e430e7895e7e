//! The Admin API in process, over a database of its own and modules that are JSON.

mod certificates;
mod entities;
mod keys;
mod modules;
mod openapi;
mod plugins;
mod transport;
mod versions;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::body::Body;
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{
    Access, AccessSettings, Announcer, Context, Controls, Door, Fitness, Limits, Modules, Node, Plugins, Status,
    TargetFitness, router, status_router,
};
use crate::{
    model::{
        AccessRows, Collection, ConfigError, Inspected, ModuleState, Object, PluginInfo, Refusal, core_registry,
        declared_collections,
    },
    shutdown::Tasks,
    store::SqliteStore,
    telemetry::LogLevel,
};

/// Nothing is stored about access.
static NOTHING: std::sync::LazyLock<(u64, Arc<AccessRows>)> = std::sync::LazyLock::new(Default::default);

/// A gateway's Admin API.
pub(crate) struct Admin {
    pub(crate) context: Context,
    pub(crate) notified: Arc<AtomicU64>,
    /// What the node would serve.
    pub(crate) served: watch::Sender<u64>,
    pub(crate) refused: mpsc::Receiver<crate::store::Refused>,
    _folder: tempfile::TempDir,
}

impl Admin {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("test.db")).await.unwrap();
        let catalogue = Arc::new(Catalogue::default());
        let mut registry = core_registry();
        for manifest in builtins() {
            declared_collections(&manifest)
                .unwrap()
                .into_iter()
                .for_each(|collection: Collection| registry.add(collection));
            let info = PluginInfo::from_manifest(&manifest).unwrap();
            catalogue.plugins.lock().unwrap().insert(info.name.to_string(), Arc::new(info));
        }
        let notified = Arc::new(AtomicU64::new(0));
        let seen = notified.clone();
        let configuration =
            json!({ "database": "postgres", "role": "traditional", "router_flavor": "traditional_compatible" });
        let (served, (refusals, refused)) = (watch::Sender::new(0), mpsc::channel(4));
        let context = Context {
            store: Arc::new(store),
            registry: Arc::new(ArcSwap::from_pointee(registry)),
            plugins: catalogue.clone(),
            modules: catalogue,
            access: Arc::new(Access::new(AccessSettings::default(), Arc::new(|| NOTHING.clone()), Arc::default())),
            limits: Limits {
                body: 10 << 20,
                upload: 64 << 20,
                body_timeout: std::time::Duration::from_secs(60),
                requests: Arc::new(tokio::sync::Semaphore::new(64)),
            },
            node: Arc::new(Node {
                id: "92879350-07cc-462e-bfea-c40252e95a34".into(),
                hostname: "node".into(),
                headers: Default::default(),
                version: "0.1.0".into(),
                configuration: configuration.as_object().unwrap().clone(),
            }),
            status: Arc::new(Status::default),
            metrics: Arc::new(|| "sandgate_up 1\n".to_owned()),
            explain: Arc::new(|_| Ok(Value::Null)),
            declarative: None,
            notify: Arc::new(move |version| seen.store(version, Ordering::SeqCst)),
            served: served.subscribe(),
            live: Arc::new(|| crate::store::NODE_LIVE),
            refusals,
            fitness: Arc::new(Nobody),
            marks: Arc::new(Announcer::new("this".into(), None)),
            controls: Arc::new(Dial(Mutex::new(LogLevel::Notice))),
            tasks: Tasks::new(tokio::runtime::Handle::current()),
        };
        Self { context, notified, served, refused, _folder: folder }
    }

    pub(crate) async fn send(&self, mut request: Request<Body>) -> Response<Body> {
        request.extensions_mut().get_or_insert(here());
        let service = hyper_util::service::TowerToHyperService::new(router(self.context.clone()));
        hyper::service::Service::call(&service, request).await.unwrap()
    }

    /// Status and JSON body of a request with a JSON body.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path);
        let request = if body.is_null() {
            request.body(Body::empty())
        } else {
            request.header("content-type", "application/json").body(Body::from(body.to_string()))
        };
        read(self.send(request.unwrap()).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, Value::Null).await
    }
}

/// Serves no target.
struct Nobody;

impl Fitness for Nobody {
    fn of_target(&self, _upstream: &str, _target: &str) -> Option<TargetFitness> {
        None
    }

    fn mark(&self, _: &str, _: &str, _: Option<(std::net::IpAddr, Option<u16>)>, _: bool) -> bool {
        false
    }
}

/// Keeps what it is set to.
struct Dial(Mutex<LogLevel>);

impl Controls for Dial {
    fn log_level(&self) -> LogLevel {
        *self.0.lock().unwrap()
    }

    fn set_log_level(&self, level: LogLevel, _: Option<Duration>) {
        *self.0.lock().unwrap() = level;
    }

    fn tasks(&self) -> Vec<Arc<str>> {
        vec!["publisher".into()]
    }
}

/// A listener that only this machine reaches.
pub(crate) fn here() -> Door {
    Door { public: false, ..Door::default() }
}

/// Status and JSON body; null when it is empty.
pub(crate) async fn read(response: Response<Body>) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// Plugins and modules whose code is their manifest, as JSON.
#[derive(Default)]
struct Catalogue {
    plugins: Mutex<BTreeMap<String, Arc<PluginInfo>>>,
}

#[async_trait]
impl Plugins for Catalogue {
    fn schema(&self, name: &str) -> Option<Arc<PluginInfo>> {
        self.plugins.lock().unwrap().get(name).cloned()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.plugins.lock().unwrap().keys().map(|name| name.as_str().into()).collect()
    }

    async fn validate(&self, _: &str, config: &Value) -> Result<(), Vec<ConfigError>> {
        judge(config)
    }
}

fn judge(config: &Value) -> Result<(), Vec<ConfigError>> {
    if config["realm"] == "forbidden" {
        return Err(vec![ConfigError { path: "realm".into(), message: "is forbidden".into() }]);
    }
    Ok(())
}

#[async_trait]
impl Modules for Catalogue {
    async fn inspect(&self, bytes: Vec<u8>) -> Result<Inspected, Vec<Refusal>> {
        let manifest: Value = serde_json::from_slice(&bytes).map_err(|_| vec![Refusal("not a component".into())])?;
        let digest = format!("{:064x}", bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        Ok(Inspected {
            digest,
            component: bytes,
            manifest,
            phases: vec!["request-headers".into()],
            imports: Vec::new(),
        })
    }

    async fn validate(&self, _: &Inspected, config: &Value) -> Result<(), Vec<ConfigError>> {
        judge(config)
    }

    async fn install(&self, module: &Object) {
        let info = PluginInfo::from_manifest(&module["manifest"]).unwrap();
        self.plugins.lock().unwrap().insert(info.name.to_string(), Arc::new(info));
    }

    async fn remove(&self, name: &str) {
        self.plugins.lock().unwrap().remove(name);
    }

    fn state(&self, _: &str) -> ModuleState {
        ModuleState::default()
    }
}

/// Manifests of plugins with the settings that the tests need.
pub(crate) fn builtins() -> Vec<Value> {
    vec![key_auth("1.0.0"), acl(), rate_limiting(), http_log(), request_transformer(), file_log(), correlation_id()]
}

pub(crate) fn key_auth(version: &str) -> Value {
    let flag = |default: bool| json!({ "type": "boolean", "default": default });
    json!({
        "name": "key-auth", "version": version, "priority": 1250, "consumer_scope": false, "protocols": [],
        "capabilities": [{ "name": "consumers", "scope": ["keyauth_credentials"] }],
        "config_schema": json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false,
            "required": ["key_names", "hide_credentials", "key_in_header", "key_in_query", "key_in_body", "run_on_preflight"],
            "properties": {
                "key_names": { "type": "array", "items": { "type": "string", "x-kong-kind": "header_name" }, "default": ["apikey"] },
                "hide_credentials": flag(false), "anonymous": { "type": "string" }, "key_in_header": flag(true),
                "key_in_query": flag(true), "key_in_body": flag(false), "run_on_preflight": flag(true), "realm": { "type": "string" },
            },
        }).to_string(),
        "collections": [{
            "name": "keyauth_credentials", "path": "key-auths", "nested_path": "key-auth", "parent": "consumers",
            "schema": r#"{"type":"object","properties":{"key":{"type":"string"}}}"#,
            "unique_fields": ["key"], "unique_in_parent": [], "generated_fields": ["key"], "ttl": true,
        }],
    })
}

fn acl() -> Value {
    json!({
        "name": "acl", "version": "1.0.0", "priority": 950, "consumer_scope": false,
        "config_schema": json!({
            "type": "object", "required": ["hide_groups_header", "always_use_authenticated_groups"],
            "properties": {
                "allow": { "type": "array", "items": { "type": "string" } },
                "deny": { "type": "array", "items": { "type": "string" } },
                "hide_groups_header": { "type": "boolean", "default": false },
                "always_use_authenticated_groups": { "type": "boolean", "default": false },
            },
            "x-kong-checks": [{ "only_one_of": ["allow", "deny"] }, { "at_least_one_of": ["allow", "deny"] }],
        }),
        "collections": [{
            "name": "acls", "path": "acls", "nested_path": "acls", "parent": "consumers",
            "schema": r#"{"type":"object","required":["group"],"properties":{"group":{"type":"string"}}}"#,
            "unique_fields": [], "unique_in_parent": ["group"], "generated_fields": [], "ttl": false,
        }],
    })
}

fn rate_limiting() -> Value {
    let limit = json!({ "type": "number", "exclusiveMinimum": 0 });
    let needs = |value: &str, policy: &str, field: &str| {
        json!({ "conditional": {
            "if_field": policy, "if_match": { "eq": value }, "then_field": field, "then_match": { "required": true },
        } })
    };
    let redis = json!({
        "type": "object", "properties": {
            "host": { "type": "string", "x-kong-kind": "host" }, "port": { "x-kong-kind": "port", "default": 6379 },
            "timeout": { "x-kong-kind": "timeout", "default": 2000 },
            "username": { "type": "string", "x-kong-referenceable": true },
            "password": { "type": "string", "x-kong-referenceable": true, "x-kong-encrypted": true, "minLength": 0 },
            "database": { "type": "integer", "default": 0 }, "ssl": { "type": "boolean", "default": false },
            "ssl_verify": { "type": "boolean", "default": false }, "server_name": { "type": "string", "x-kong-kind": "sni" },
        },
    });
    let names = ["host", "port", "password", "username", "ssl", "ssl_verify", "server_name", "timeout", "database"];
    let shorthands: Object =
        names.iter().map(|name| (format!("redis_{name}"), format!("redis.{name}").into())).collect();
    json!({
        "name": "rate-limiting", "version": "1.0.0", "priority": 910, "consumer_scope": true,
        "config_schema": json!({
            "type": "object", "required": ["fault_tolerant", "redis", "hide_client_headers", "sync_rate"],
            "properties": {
                "second": limit, "minute": limit, "hour": limit, "day": limit, "month": limit, "year": limit,
                "limit_by": { "enum": ["consumer", "credential", "ip", "service", "header", "path"], "default": "consumer" },
                "header_name": { "type": "string", "x-kong-kind": "header_name" },
                "path": { "type": "string", "x-kong-kind": "path" },
                "policy": { "type": "string", "enum": ["local", "cluster", "redis"], "default": "local", "minLength": 0 },
                "fault_tolerant": { "type": "boolean", "default": true },
                "redis": redis,
                "hide_client_headers": { "type": "boolean", "default": false },
                "error_code": { "type": "number", "exclusiveMinimum": 0, "default": 429 },
                "error_message": { "type": "string", "default": "API rate limit exceeded" },
                "sync_rate": { "type": "number", "default": -1 },
            },
            "x-kong-shorthands": shorthands,
            "x-kong-checks": [
                { "at_least_one_of": ["second", "minute", "hour", "day", "month", "year"] },
                needs("redis", "policy", "redis.host"), needs("redis", "policy", "redis.port"), needs("redis", "policy", "redis.timeout"),
                needs("header", "limit_by", "header_name"), needs("path", "limit_by", "path"),
            ],
        }).to_string(),
    })
}

fn http_log() -> Value {
    json!({
        "name": "http-log", "version": "1.0.0", "priority": 12, "consumer_scope": true,
        "config_schema": {
            "type": "object", "required": ["http_endpoint", "queue"], "x-kong-protocols": "all",
            "properties": {
                "http_endpoint": { "type": "string", "x-kong-kind": "url", "x-kong-referenceable": true },
                "headers": {
                    "type": "object", "additionalProperties": { "type": "string" },
                    "propertyNames": { "x-kong-kind": "header_name", "x-kong-match-none": [{ "pattern": "^[Hh]ost$", "err": "cannot contain 'Host' header" }] },
                },
                "queue": { "type": "object", "properties": {
                    "max_batch_size": { "type": "integer", "minimum": 1, "maximum": 1_000_000, "default": 1 },
                    "initial_retry_delay": { "type": "number", "minimum": 0.001, "maximum": 1_000_000, "default": 0.01 },
                } },
            },
        },
    })
}

fn request_transformer() -> Value {
    let list = json!({ "type": "array", "items": { "type": "string" }, "default": [] });
    let record = json!({ "type": "object", "required": ["headers"], "properties": { "headers": list } });
    json!({
        "name": "request-transformer", "version": "1.0.0", "priority": 801, "consumer_scope": true,
        "config_schema": {
            "type": "object", "required": ["add"], "x-kong-protocols": "all",
            "properties": { "http_method": { "type": "string", "x-kong-kind": "http_method" }, "add": record },
        },
    })
}

fn file_log() -> Value {
    json!({
        "name": "file-log", "version": "1.0.0", "priority": 9, "consumer_scope": true,
        "config_schema": {
            "type": "object", "required": ["path", "reopen"], "x-kong-protocols": "all",
            "properties": {
                "path": { "type": "string", "x-kong-match": "^[^*&%%\\`]+$", "x-kong-error": "not a valid filename" },
                "reopen": { "type": "boolean", "default": false },
                "custom_fields_by_lua": { "type": "object", "propertyNames": { "minLength": 1 }, "additionalProperties": { "type": "string", "minLength": 1 } },
            },
        },
    })
}

fn correlation_id() -> Value {
    json!({
        "name": "correlation-id", "version": "1.0.0", "priority": 100_001, "consumer_scope": true,
        "config_schema": {
            "type": "object", "required": ["generator", "echo_downstream"],
            "properties": {
                "header_name": { "type": "string", "default": "Kong-Request-ID" },
                "generator": { "type": "string", "enum": ["uuid", "uuid#counter", "tracker"], "default": "uuid#counter" },
                "echo_downstream": { "type": "boolean", "default": false },
            },
        },
    })
}
