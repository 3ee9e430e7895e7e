//! Typed forms of the entities, read from their objects when a snapshot is built.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use super::Healthchecks;

/// A reference to another entity.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct Id {
    /// UUID in lower case.
    pub id: Arc<str>,
}

/// Where requests go: a host, or an upstream by its name. Times in milliseconds.
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    /// Primary key.
    pub id: Arc<str>,
    /// Unique name.
    pub name: Option<Arc<str>>,
    /// `http`, `https`, `grpc`, `grpcs`, or one of the stream protocols.
    pub protocol: Arc<str>,
    /// A host, or the name of an upstream.
    pub host: Arc<str>,
    /// 0 to 65,535; unused when the host names an upstream.
    pub port: u16,
    /// Put before the path of each request.
    pub path: Option<Arc<str>>,
    /// Attempts after the first.
    pub retries: Option<u32>,
    /// For a connection, in milliseconds.
    pub connect_timeout: Option<u64>,
    /// Between two writes, in milliseconds.
    pub write_timeout: Option<u64>,
    /// Between two reads, in milliseconds.
    pub read_timeout: Option<u64>,
    /// Whether the certificate is verified; `None`: as the node does.
    pub tls_verify: Option<bool>,
    /// Certificates between that of the target and a trusted one, at most.
    pub tls_verify_depth: Option<u8>,
    /// Whom to trust in place of the system's roots.
    pub ca_certificates: Option<Vec<Arc<str>>>,
    /// Shown to the target.
    pub client_certificate: Option<Id>,
    /// Whether its routes are served.
    pub enabled: bool,
}

/// Which requests go to a service.
#[derive(Debug, Clone, Deserialize)]
pub struct Route {
    /// Primary key.
    pub id: Arc<str>,
    /// Unique name.
    pub name: Option<Arc<str>>,
    /// What it serves.
    pub protocols: Vec<Arc<str>>,
    /// Methods it asks for.
    pub methods: Option<Vec<Arc<str>>>,
    /// Hosts it asks for.
    pub hosts: Option<Vec<Arc<str>>>,
    /// Prefixes, and regular expressions after `~`.
    pub paths: Option<Vec<Arc<str>>>,
    /// Headers it asks for: name to values.
    pub headers: Option<BTreeMap<Arc<str>, Vec<Arc<str>>>>,
    /// Server names it asks for, over TLS.
    pub snis: Option<Vec<Arc<str>>>,
    /// Where the clients of a stream may be.
    pub sources: Option<Vec<Endpoint>>,
    /// Where the clients of a stream may have connected to.
    pub destinations: Option<Vec<Endpoint>>,
    /// Orders regular expressions.
    pub regex_priority: Option<i64>,
    /// In place of all conditions, in the router flavor `expressions`.
    pub expression: Option<Arc<str>>,
    /// Orders expressions.
    pub priority: Option<u64>,
    /// Whether the matched part of the path stays behind.
    pub strip_path: bool,
    /// Whether the client's Host goes upstream.
    pub preserve_host: bool,
    /// `v0` or `v1`; the router flavor knows only the first.
    pub path_handling: Option<Arc<str>>,
    /// Status for plain requests where only TLS is served.
    pub https_redirect_status_code: u16,
    /// Whether small bodies are read before the upstream is asked.
    pub request_buffering: bool,
    /// Kept for compatibility: answers are streamed.
    pub response_buffering: bool,
    /// Where it leads.
    pub service: Option<Id>,
    /// Seconds since the epoch.
    pub created_at: f64,
}

/// An address, a network or a port that a stream comes from or goes to.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct Endpoint {
    /// An address, or a network in CIDR notation.
    pub ip: Option<Arc<str>>,
    /// A port.
    pub port: Option<u16>,
}

/// Someone who uses the APIs.
#[derive(Debug, Clone, Deserialize)]
pub struct Consumer {
    /// Primary key.
    pub id: Arc<str>,
    /// Unique name.
    pub username: Option<Arc<str>>,
    /// What the operator knows it by.
    pub custom_id: Option<Arc<str>>,
}

/// A plugin's configuration at a scope.
#[derive(Debug, Clone, Deserialize)]
pub struct Plugin {
    /// Primary key.
    pub id: Arc<str>,
    /// Name of the plugin.
    pub name: Arc<str>,
    /// Unique name of this configuration.
    pub instance_name: Option<Arc<str>>,
    /// What the plugin gets, defaults filled in.
    pub config: Value,
    /// Whether it runs.
    pub enabled: bool,
    /// For requests of these.
    pub protocols: Vec<Arc<str>>,
    /// For requests of this route.
    pub route: Option<Id>,
    /// For requests to this service.
    pub service: Option<Id>,
    /// For requests of this consumer.
    pub consumer: Option<Id>,
}

/// A set of targets under one name.
#[derive(Debug, Clone, Deserialize)]
pub struct Upstream {
    /// Primary key.
    pub id: Arc<str>,
    /// What `service.host` names.
    pub name: Arc<str>,
    /// `round-robin`, `least-connections`, `consistent-hashing` or `latency`.
    pub algorithm: Arc<str>,
    /// Host header for its targets.
    pub host_header: Option<Arc<str>>,
    /// Whether requests name what SRV records lead to.
    #[serde(default)]
    pub use_srv_name: bool,
    /// Size of the hash table.
    pub slots: u32,
    /// Shown to its targets, unless the service has one of its own.
    pub client_certificate: Option<Id>,
    /// When its targets count as healthy.
    #[serde(default)]
    pub healthchecks: Healthchecks,
    /// What consistent hashing goes by.
    #[serde(flatten)]
    pub hashing: HashFields,
}

/// What consistent hashing goes by, and what if there is no such thing in a request.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub struct HashFields {
    /// `none`, `consumer`, `ip`, `header`, `cookie`, `path`, `query_arg` or `uri_capture`.
    pub hash_on: Option<Arc<str>>,
    /// The same.
    pub hash_fallback: Option<Arc<str>>,
    /// Name of the header.
    pub hash_on_header: Option<Arc<str>>,
    /// Name of the header.
    pub hash_fallback_header: Option<Arc<str>>,
    /// Name of the cookie, for both.
    pub hash_on_cookie: Option<Arc<str>>,
    /// Path of the cookie.
    pub hash_on_cookie_path: Option<Arc<str>>,
    /// Name of the argument.
    pub hash_on_query_arg: Option<Arc<str>>,
    /// Name of the argument.
    pub hash_fallback_query_arg: Option<Arc<str>>,
    /// Name of the group.
    pub hash_on_uri_capture: Option<Arc<str>>,
    /// Name of the group.
    pub hash_fallback_uri_capture: Option<Arc<str>>,
}

/// An address of an upstream.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// Primary key.
    pub id: Arc<str>,
    /// `host:port`.
    pub target: Arc<str>,
    /// 0 to 65,535; 0 gets nothing.
    pub weight: u32,
    /// The set it belongs to.
    pub upstream: Id,
}

/// Where secrets are found that configurations refer to.
#[derive(Debug, Clone, Deserialize)]
pub struct Vault {
    /// Primary key.
    pub id: Arc<str>,
    /// What references call it.
    pub prefix: Arc<str>,
    /// Its kind: `env` or `file`.
    pub name: Arc<str>,
    /// Settings of the kind.
    pub config: Value,
}

/// A plugin's code as the store has it; the bytes are kept apart, by digest.
#[derive(Debug, Clone, Deserialize)]
pub struct Module {
    /// Primary key.
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

/// A certificate chain with its key, and perhaps a second pair of another kind of key. PEM texts.
#[derive(Clone, Deserialize)]
pub struct Certificate {
    /// Primary key.
    pub id: Arc<str>,
    /// The chain, the certificate itself first.
    pub cert: Arc<str>,
    /// Its private key.
    pub key: Arc<str>,
    /// Another chain.
    pub cert_alt: Option<Arc<str>>,
    /// Its private key.
    pub key_alt: Option<Arc<str>>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The keys are secrets.
        f.debug_struct("Certificate").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A name that clients ask for in a TLS handshake.
#[derive(Debug, Clone, Deserialize)]
pub struct Sni {
    /// Primary key.
    pub id: Arc<str>,
    /// A name, `*.name`, `name.*` or `*`.
    pub name: Arc<str>,
    /// What they are shown.
    pub certificate: Id,
}

/// A certificate to be trusted. PEM text.
#[derive(Debug, Clone, Deserialize)]
pub struct CaCertificate {
    /// Primary key.
    pub id: Arc<str>,
    /// The certificate.
    pub cert: Arc<str>,
}
