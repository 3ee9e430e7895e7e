//! Typed forms of the entities, read from their objects when a snapshot is built.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

/// A reference to another entity.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct Id {
    /// UUID in lower case.
    pub id: Arc<str>,
}

/// Where requests go: a host, or an upstream by its name. Times in milliseconds.
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    pub id: Arc<str>,
    pub name: Option<Arc<str>>,
    pub protocol: Arc<str>,
    pub host: Arc<str>,
    pub port: u16,
    pub path: Option<Arc<str>>,
    pub retries: Option<u32>,
    pub connect_timeout: Option<u64>,
    pub write_timeout: Option<u64>,
    pub read_timeout: Option<u64>,
    pub tls_verify: Option<bool>,
    pub enabled: bool,
}

/// Which requests go to a service.
#[derive(Debug, Clone, Deserialize)]
pub struct Route {
    pub id: Arc<str>,
    pub name: Option<Arc<str>>,
    pub protocols: Vec<Arc<str>>,
    pub methods: Option<Vec<Arc<str>>>,
    pub hosts: Option<Vec<Arc<str>>>,
    pub paths: Option<Vec<Arc<str>>>,
    pub headers: Option<BTreeMap<Arc<str>, Vec<Arc<str>>>>,
    pub snis: Option<Vec<Arc<str>>>,
    pub regex_priority: Option<i64>,
    pub strip_path: bool,
    pub preserve_host: bool,
    pub path_handling: Option<Arc<str>>,
    pub https_redirect_status_code: u16,
    pub request_buffering: bool,
    pub response_buffering: bool,
    pub service: Option<Id>,
    pub created_at: f64,
}

/// Someone who uses the APIs.
#[derive(Debug, Clone, Deserialize)]
pub struct Consumer {
    pub id: Arc<str>,
    pub username: Option<Arc<str>>,
    pub custom_id: Option<Arc<str>>,
}

/// A plugin's configuration at a scope.
#[derive(Debug, Clone, Deserialize)]
pub struct Plugin {
    pub id: Arc<str>,
    pub name: Arc<str>,
    pub instance_name: Option<Arc<str>>,
    pub config: Value,
    pub enabled: bool,
    pub protocols: Vec<Arc<str>>,
    pub route: Option<Id>,
    pub service: Option<Id>,
    pub consumer: Option<Id>,
}

/// A set of targets under one name.
#[derive(Debug, Clone, Deserialize)]
pub struct Upstream {
    pub id: Arc<str>,
    pub name: Arc<str>,
    pub algorithm: Arc<str>,
    pub host_header: Option<Arc<str>>,
    pub slots: u32,
}

/// An address of an upstream.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    pub id: Arc<str>,
    pub target: Arc<str>,
    pub weight: u32,
    pub upstream: Id,
}

/// A plugin's code as the store has it; the bytes are kept apart, by digest.
#[derive(Debug, Clone, Deserialize)]
pub struct Module {
    pub id: Arc<str>,
    /// Name of the plugin.
    pub name: Arc<str>,
    /// Version of the plugin.
    pub version: Arc<str>,
    /// SHA-256 of the component, hexadecimal.
    pub digest: Arc<str>,
    /// `builtin` or `upload`.
    pub source: Arc<str>,
    /// The manifest as the module described itself.
    pub manifest: Value,
    /// Capabilities granted by the operator: name to scope.
    pub grants: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// `closed`, `open`, or `null` for the default of the phases.
    pub failure_policy: Option<Arc<str>>,
    /// In place of the manifest's.
    pub priority: Option<i32>,
    /// Bytes of linear memory an instance may use; `null` for the default.
    pub memory_limit: Option<u64>,
    /// CPU milliseconds a call may take; `null` for the default.
    pub cpu_limit: Option<u64>,
    /// A fresh instance for every request.
    pub fresh: bool,
}
