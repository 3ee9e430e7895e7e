//! Settings as typed: text under a name, from a flag, the environment or the file. The one list of what can be set.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{Mistake, Problem, Vaults};
use crate::model::VaultReference;

/// Prefix of environment variables.
const PREFIX: &str = "SANDGATE_";

/// Every setting a node has, as text; `None` where this source is silent. The names of the fields are the names in the
/// file; flags and variables are made from them.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Addresses for clients, or `off` [default: 0.0.0.0:8000, 0.0.0.0:8443 ssl http2]
    #[arg(long, value_name = "ADDRESSES")]
    pub proxy_listen: Option<Text>,
    /// Addresses for streams, with `ssl` for TLS and `udp` for datagrams, or `off` [default: off]
    #[arg(long, value_name = "ADDRESSES")]
    pub stream_listen: Option<Text>,
    /// Version of the PROXY protocol that targets of streams hear: off, v1 or v2, then others for named services (`off, db=v2`) [default: off]
    #[arg(long, value_name = "VERSIONS")]
    pub stream_proxy_protocol_upstream: Option<Text>,
    /// UDP clients that are served at once, shared out among the workers: 1 to 1,000,000 [default: 4096]
    #[arg(long, value_name = "NUMBER")]
    pub stream_udp_sessions: Option<Text>,
    /// PEM files of the default certificates, chain first: one, or two with different kinds of keys [default: a self-signed one]
    #[arg(long, value_name = "PATHS")]
    pub ssl_cert: Option<Text>,
    /// PEM files with their keys
    #[arg(long, value_name = "PATHS")]
    pub ssl_cert_key: Option<Text>,
    /// TLS versions for clients [default: TLSv1.2 TLSv1.3]
    #[arg(long, value_name = "VERSIONS")]
    pub ssl_protocols: Option<Text>,
    /// Cipher suites for clients: modern, intermediate or custom [default: intermediate]
    #[arg(long, value_name = "NAME")]
    pub ssl_cipher_suite: Option<Text>,
    /// Names of OpenSSL with colons between; with ssl_cipher_suite = custom
    #[arg(long, value_name = "NAMES")]
    pub ssl_ciphers: Option<Text>,
    /// Whether the order of ssl_ciphers decides, on or off; with ssl_cipher_suite = custom [default: on]
    #[arg(long, value_name = "SWITCH")]
    pub ssl_prefer_server_ciphers: Option<Text>,
    /// Whether sessions go on in other connections, on or off [default: on]
    #[arg(long, value_name = "SWITCH")]
    pub ssl_session_tickets: Option<Text>,
    /// For how long after their handshake: 1s to 7d [default: 1d]
    #[arg(long, value_name = "DURATION")]
    pub ssl_session_timeout: Option<Text>,
    /// How often the key of session tickets changes: 1s to 1d [default: 1h]
    #[arg(long, value_name = "DURATION")]
    pub ssl_session_ticket_rotation: Option<Text>,
    /// Certificates of clients: off, optional, optional_no_ca or on, where the listener does not say [default: off]
    #[arg(long, value_name = "WORD")]
    pub ssl_verify_client: Option<Text>,
    /// PEM file with the authorities that vouch for clients [default: none]
    #[arg(long, value_name = "PATH")]
    pub ssl_client_certificate: Option<Text>,
    /// Certificates between that of a client and an authority, at most: 0 to 100 [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub ssl_verify_depth: Option<Text>,
    /// Whether OCSP answers about certificates are fetched and stapled to handshakes, on or off [default: off]
    #[arg(long, value_name = "SWITCH")]
    pub ssl_stapling: Option<Text>,
    /// Whether targets that ask are shown a certificate of this node, on or off [default: off]
    #[arg(long, value_name = "SWITCH")]
    pub client_ssl: Option<Text>,
    /// PEM file with the chain of that certificate
    #[arg(long, value_name = "PATH")]
    pub client_ssl_cert: Option<Text>,
    /// PEM file with its key
    #[arg(long, value_name = "PATH")]
    pub client_ssl_cert_key: Option<Text>,
    /// Addresses of the Admin API, or `off`; others than loopback need authentication [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDRESSES")]
    pub admin_listen: Option<Text>,
    /// Token that may do everything: at least 32 characters. No flag, as other users see those [default: none]
    #[arg(skip)]
    pub admin_token: Option<Text>,
    /// File whose first line is such a token [default: none]
    #[arg(long, value_name = "PATH")]
    pub admin_token_file: Option<Text>,
    /// PEM file with the certificate chain of Admin and Status listeners with ssl [default: a self-signed one]
    #[arg(long, value_name = "PATH")]
    pub admin_ssl_cert: Option<Text>,
    /// PEM file with its key
    #[arg(long, value_name = "PATH")]
    pub admin_ssl_cert_key: Option<Text>,
    /// PEM file with the CA of client certificates that may use the Admin API [default: none]
    #[arg(long, value_name = "PATH")]
    pub admin_client_ca: Option<Text>,
    /// Role of client certificates that no /admin-certificates names [default: none]
    #[arg(long, value_name = "NAME")]
    pub admin_client_role: Option<Text>,
    /// URLs of web interfaces whose pages may call the Admin API [default: none]
    #[arg(long, value_name = "URLS")]
    pub admin_gui_url: Option<Text>,
    /// Open connections to the Admin API, and as many to the Status API: 1 to 100,000 [default: 512]
    #[arg(long, value_name = "NUMBER")]
    pub admin_connections: Option<Text>,
    /// Requests to the Admin API that are answered at once: 1 to 100,000 [default: 256]
    #[arg(long, value_name = "NUMBER")]
    pub admin_requests: Option<Text>,
    /// Size of all headers of a request to the Admin API: 8KiB to 1MiB [default: 32KiB]
    #[arg(long, value_name = "SIZE")]
    pub admin_header_limit: Option<Text>,
    /// Size of a body to the Admin API, modules apart: 64KiB to 1GiB [default: 10MiB]
    #[arg(long, value_name = "SIZE")]
    pub admin_body_limit: Option<Text>,
    /// For a TLS handshake, the head of the next request, and idle connections: 1s to 1h [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub admin_header_timeout: Option<Text>,
    /// For a whole body to arrive: 1s to 24h [default: 5m]
    #[arg(long, value_name = "DURATION")]
    pub admin_body_timeout: Option<Text>,
    /// Addresses of the Status API, or `off` [default: 127.0.0.1:8007]
    #[arg(long, value_name = "ADDRESSES")]
    pub status_listen: Option<Text>,
    /// Configuration database: sqlite://…, postgres://… or `off` [default: sqlite:// and sandgate.db in the data directory; `off` with a declarative file]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<Text>,
    /// Connections to PostgreSQL, beside one that listens: 2 to 1,000 [default: 10]
    #[arg(long, value_name = "NUMBER")]
    pub database_pool_size: Option<Text>,
    /// How long opening a connection to PostgreSQL may take: 100ms to 1m [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub database_connect_timeout: Option<Text>,
    /// How long a call waits for a connection of the pool: 100ms to 1m [default: 10s]
    #[arg(long, value_name = "DURATION")]
    pub database_acquire_timeout: Option<Text>,
    /// How long one statement may take: 100ms to 1m [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub database_statement_timeout: Option<Text>,
    /// How long a write waits for the writes before it: 100ms to 1m [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub database_lock_timeout: Option<Text>,
    /// How often changes are looked for of which there was no word: 100ms to 1m [default: 1s]
    #[arg(long, value_name = "DURATION")]
    pub database_poll_interval: Option<Text>,
    /// Declarative file to serve, .json or .yaml; without a database
    #[arg(long, value_name = "PATH")]
    pub declarative_config: Option<Text>,
    /// Declarative configuration to serve, as text in place of a file; without a database
    #[arg(long, value_name = "TEXT")]
    pub declarative_config_string: Option<Text>,
    /// Directory of modules that a gateway without a database loads [default: `modules` in the data directory]
    #[arg(long, value_name = "PATH")]
    pub modules_dir: Option<Text>,
    /// Directory of the database, caches and the snapshot [default: ./sandgate-data]
    #[arg(long, value_name = "PATH")]
    pub data_dir: Option<Text>,
    /// Directory of compiled plugin code; may be shared by gateways of one user [default: `compiled` in the data directory]
    #[arg(long, value_name = "PATH")]
    pub plugin_cache_dir: Option<Text>,
    /// Threads that serve requests: 1 to 1,024, or `auto` for one a core [default: auto]
    #[arg(long, value_name = "NUMBER")]
    pub workers: Option<Text>,
    /// error, warn, notice, info or debug [default: notice]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<Text>,
    /// plain or json [default: plain]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<Text>,
    /// File that gets a line for each request, or `off` [default: off]
    #[arg(long, value_name = "PATH")]
    pub proxy_access_log: Option<Text>,
    /// File that gets a line for each stream, or `off` [default: what proxy_access_log says]
    #[arg(long, value_name = "PATH")]
    pub proxy_stream_access_log: Option<Text>,
    /// Addresses, networks and `unix:` whose X-Forwarded-* and PROXY headers are believed [default: none]
    #[arg(long, value_name = "NETWORKS")]
    pub trusted_ips: Option<Text>,
    /// Header in which a trusted peer names the client, or `proxy_protocol` [default: X-Real-IP]
    #[arg(long, value_name = "NAME")]
    pub real_ip_header: Option<Text>,
    /// Whether the client is the last address that is not trusted, on or off [default: off]
    #[arg(long, value_name = "SWITCH")]
    pub real_ip_recursive: Option<Text>,
    /// Ports that clients know for those that are listened on: `80:8000, 443:8443` [default: off]
    #[arg(long, value_name = "PORTS")]
    pub port_maps: Option<Text>,
    /// Headers of answers: server_tokens, latency_tokens, single names as in docs/guide/answers.md, or `off` [default: server_tokens, latency_tokens, X-Kong-Request-Id]
    #[arg(long, value_name = "NAMES")]
    pub headers: Option<Text>,
    /// Headers that targets get besides: X-Kong-Request-Id, or `off` [default: X-Kong-Request-Id]
    #[arg(long, value_name = "NAMES")]
    pub headers_upstream: Option<Text>,
    /// Whether `Kong-Debug: 1` is answered with the names of route and service, on or off [default: off]
    #[arg(long, value_name = "SWITCH")]
    pub allow_debug_header: Option<Text>,
    /// Whether `X-Kong-Request-Debug: *` is answered with where the time went, to clients on this machine or with the token, on or off [default: on]
    #[arg(long, value_name = "SWITCH")]
    pub request_debug: Option<Text>,
    /// What other clients send in X-Kong-Request-Debug-Token: at least 16 characters. No flag [default: none]
    #[arg(skip)]
    pub request_debug_token: Option<Text>,
    /// Type of errors for clients that ask for none: text/plain, application/json, text/html or application/xml [default: text/plain]
    #[arg(long, value_name = "TYPE")]
    pub error_default_type: Option<Text>,
    /// File with an error as text/plain: `%s` for the message and `%s` for the id of the request [default: the gateway's own words]
    #[arg(long, value_name = "PATH")]
    pub error_template_plain: Option<Text>,
    /// The same as application/json
    #[arg(long, value_name = "PATH")]
    pub error_template_json: Option<Text>,
    /// The same as text/html
    #[arg(long, value_name = "PATH")]
    pub error_template_html: Option<Text>,
    /// The same as application/xml
    #[arg(long, value_name = "PATH")]
    pub error_template_xml: Option<Text>,
    /// How routes are matched: traditional, traditional_compatible or expressions [default: traditional_compatible]
    #[arg(long, value_name = "NAME")]
    pub router_flavor: Option<Text>,
    /// How long open requests may go on after SIGTERM: 0 to 1h [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub drain_grace_period: Option<Text>,
    /// Idle connections to one address that a worker keeps: 0 to 1,000,000 [default: 512]
    #[arg(long, value_name = "NUMBER")]
    pub upstream_keepalive_pool_size: Option<Text>,
    /// Requests on a connection to a target before it is closed: 0 to 4,294,967,295, 0 for no limit [default: 10000]
    #[arg(long, value_name = "NUMBER")]
    pub upstream_keepalive_max_requests: Option<Text>,
    /// How long a connection to a target stays idle before it is closed: 1s to 24h [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub upstream_keepalive_idle_timeout: Option<Text>,
    /// How long a new or recovered target takes to get its whole share: 0 to 1h, 0 for no time [default: 0]
    #[arg(long, value_name = "DURATION")]
    pub upstream_slow_start: Option<Text>,
    /// Failures in a row after which a target is left alone for a while: 0 to 1,000, 0 for never [default: 0]
    #[arg(long, value_name = "NUMBER")]
    pub upstream_outlier_failures: Option<Text>,
    /// How long it is left alone, each time in a row longer by as much: 1s to 1h [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub upstream_outlier_time: Option<Text>,
    /// Servers that names of targets are asked of, as addresses with or without ports [default: those of /etc/resolv.conf]
    #[arg(long, value_name = "ADDRESSES")]
    pub dns_resolver: Option<Text>,
    /// File with the servers, search domains and options of the machine, read again when it changes [default: /etc/resolv.conf]
    #[arg(long, value_name = "PATH")]
    pub dns_resolv_conf: Option<Text>,
    /// File of names that need no server [default: /etc/hosts]
    #[arg(long, value_name = "PATH")]
    pub dns_hostsfile: Option<Text>,
    /// Kinds of records to ask for until there is an answer: LAST, SRV, A, AAAA, CNAME [default: LAST,SRV,A,CNAME]
    #[arg(long, value_name = "KINDS")]
    pub dns_order: Option<Text>,
    /// How long an answer counts, in place of what it says itself: seconds [default: none]
    #[arg(long, value_name = "SECONDS")]
    pub dns_valid_ttl: Option<Text>,
    /// How long an answer that is over is used while servers fail: seconds [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    pub dns_stale_ttl: Option<Text>,
    /// After what time a name that does not exist is asked for again: seconds [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub dns_not_found_ttl: Option<Text>,
    /// After what time a name is asked for again whose servers failed: seconds [default: 1]
    #[arg(long, value_name = "SECONDS")]
    pub dns_error_ttl: Option<Text>,
    /// Answers of servers that are kept: 0 to 10,000,000 [default: 10000]
    #[arg(long, value_name = "NUMBER")]
    pub dns_cache_size: Option<Text>,
    /// Taken for the sake of Kong's files: names are asked for once a node in any case [default: off]
    #[arg(long, value_name = "SWITCH")]
    pub dns_no_sync: Option<Text>,
    /// Another name of dns_resolver
    #[arg(long, value_name = "ADDRESSES")]
    pub resolver_address: Option<Text>,
    /// Another name of dns_hostsfile
    #[arg(long, value_name = "PATH")]
    pub resolver_hosts_file: Option<Text>,
    /// Another name of dns_order
    #[arg(long, value_name = "KINDS")]
    pub resolver_family: Option<Text>,
    /// Another name of dns_valid_ttl
    #[arg(long, value_name = "SECONDS")]
    pub resolver_valid_ttl: Option<Text>,
    /// Another name of dns_stale_ttl
    #[arg(long, value_name = "SECONDS")]
    pub resolver_stale_ttl: Option<Text>,
    /// Another name of dns_error_ttl
    #[arg(long, value_name = "SECONDS")]
    pub resolver_error_ttl: Option<Text>,
    /// Another name of dns_cache_size
    #[arg(long, value_name = "NUMBER")]
    pub resolver_lru_cache_size: Option<Text>,
    /// Taken for the sake of Kong's files: there is one cache, in this process [default: 5m]
    #[arg(long, value_name = "SIZE")]
    pub resolver_mem_cache_size: Option<Text>,
    /// Size of all headers of a request: 1KiB to 1MiB [default: 32KiB]
    #[arg(long, value_name = "SIZE")]
    pub request_header_limit: Option<Text>,
    /// Size of a request's URI: 256 to 1MiB [default: 8KiB]
    #[arg(long, value_name = "SIZE")]
    pub request_uri_limit: Option<Text>,
    /// Open connections of clients, shared out among the workers: 1 to 10,000,000 [default: 16384]
    #[arg(long, value_name = "NUMBER")]
    pub client_connections: Option<Text>,
    /// For a TLS handshake of a client: 1s to 1h [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub client_handshake_timeout: Option<Text>,
    /// For the head of a request to arrive: 1s to 1h [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub client_header_timeout: Option<Text>,
    /// Between two requests of a connection: 1s to 24h [default: 75s]
    #[arg(long, value_name = "DURATION")]
    pub client_keepalive_timeout: Option<Text>,
    /// For a client that takes no bytes of its answers: 1s to 24h [default: 60s]
    #[arg(long, value_name = "DURATION")]
    pub client_send_timeout: Option<Text>,
    /// For an HTTP/2 client that asked for answers and never opened a window for any: 1s to 24h [default: 3s]
    #[arg(long, value_name = "DURATION")]
    pub http2_window_timeout: Option<Text>,
    /// HTTP/2 frames a second of one connection that bring nothing: 10 to 1,000,000 [default: 1000]
    #[arg(long, value_name = "NUMBER")]
    pub http2_control_frames: Option<Text>,
    /// Size of a request's body, or 0 for no limit: at most 1024GiB [default: 0]
    #[arg(long, value_name = "SIZE")]
    pub request_body_limit: Option<Text>,
    /// Number of headers of a request: 16 to 10,000 [default: 100]
    #[arg(long, value_name = "NUMBER")]
    pub request_header_count: Option<Text>,
    /// CPU time of one call of a plugin: 1ms to 10s [default: 50ms]
    #[arg(long, value_name = "DURATION")]
    pub plugin_cpu_limit: Option<Text>,
    /// Memory of one instance of a plugin: 64KiB to 4GiB [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    pub plugin_memory_limit: Option<Text>,
    /// Table elements of one instance of a plugin: 100 to 1,000,000 [default: 20000]
    #[arg(long, value_name = "NUMBER")]
    pub plugin_table_limit: Option<Text>,
    /// Stack of one instance of a plugin: 64KiB to 1536KiB [default: 512KiB]
    #[arg(long, value_name = "SIZE")]
    pub plugin_stack_limit: Option<Text>,
    /// Instances of one plugin that a worker keeps: 1 to 1,024 [default: 8]
    #[arg(long, value_name = "NUMBER")]
    pub plugin_instances: Option<Text>,
    /// Calls after which an instance of a plugin is replaced: 1 or more [default: 100000]
    #[arg(long, value_name = "NUMBER")]
    pub plugin_instance_calls: Option<Text>,
    /// Size of an uploaded module with its settings: 64KiB to 1GiB [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub upload_limit: Option<Text>,
    /// How long changes are gathered before they are served: 0 to 10s [default: 20ms]
    #[arg(long, value_name = "DURATION")]
    pub config_debounce: Option<Text>,
    /// At most one snapshot is written to disk in this time: 100ms to 1h [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub snapshot_interval: Option<Text>,
    /// How long a start waits that has neither database nor snapshot: 0 to 1h [default: 1m]
    #[arg(long, value_name = "DURATION")]
    pub database_start_wait: Option<Text>,
    /// Folder below which {vault://file/…} finds secrets, or `off` [default: off]
    #[arg(long, value_name = "PATH")]
    pub vault_file_dir: Option<Text>,
    /// How often secrets of vaults are looked up again: 1s to 24h [default: 1m]
    #[arg(long, value_name = "DURATION")]
    pub vault_rotation_interval: Option<Text>,
    /// File with the id of the running process, for `sandgate stop` and its like [default: `sandgate.pid` in the data directory]
    #[arg(long, value_name = "PATH")]
    pub pid_file: Option<Text>,
}

/// The value of a setting as typed. In the file also a number, a boolean (`on`, `off`) or a list (commas between).
#[derive(Debug, Clone, Serialize)]
pub struct Text(String);

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(source)?;
        flat(&value).map(Self).ok_or_else(|| D::Error::custom("neither text, a number, a boolean nor a list of them"))
    }
}

fn flat(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(switch) => Some(if *switch { "on" } else { "off" }.to_owned()),
        toml::Value::Array(parts) => parts.iter().map(flat).collect::<Option<Vec<_>>>().map(|parts| parts.join(", ")),
        _ => None,
    }
}

/// A setting's text and where it was typed, for errors.
#[derive(Debug)]
pub(super) struct Typed {
    pub(super) text: String,
    /// The reference to a secret that the text came from.
    pub(super) referred: Option<String>,
    pub(super) at: String,
}

/// What all sources say, by name of the setting: flags over the environment over the file.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) settings: BTreeMap<String, Typed>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Sources {
    /// Lays the file at `path` over what is known.
    pub(super) fn file(&mut self, path: &Path) {
        let place = path.display();
        let table = std::fs::read_to_string(path)
            .map_err(Problem::File)
            .and_then(|text| text.parse::<toml::Table>().map_err(|error| Problem::Toml(error.to_string())));
        match table {
            Ok(table) => table.into_iter().for_each(|(name, value)| self.put(&name, value, format!("{place}: {name}"))),
            Err(problem) => self.mistakes.push(Mistake { at: place.to_string(), problem }),
        }
    }

    /// Lays the `SANDGATE_*` variables among `variables` over what is known.
    pub(super) fn environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, value) in variables {
            let at = name.to_string_lossy().into_owned();
            let Some(name) = at.strip_prefix(PREFIX).map(str::to_lowercase) else { continue };
            match value.into_string() {
                // The path of the file is found by the command line; the other one passes between two gateways.
                _ if matches!(&*name, "config" | "handover") => {}
                Ok(text) => self.put(&name, text.into(), at),
                Err(_) => self.mistakes.push(Mistake { at, problem: Problem::NotUnicode }),
            }
        }
    }

    /// Lays the flags over what is known.
    pub(super) fn flags(&mut self, flags: &Settings) {
        for (name, text) in named(flags) {
            if let serde_json::Value::String(text) = text {
                let at = format!("--{}", name.replace('_', "-"));
                self.settings.insert(name, Typed { text, referred: None, at });
            }
        }
    }

    /// Puts secrets in the place of references to them.
    pub(super) fn resolve(&mut self, vaults: Vaults<'_>) {
        let folder = self.settings.get("vault_file_dir").map(|typed| typed.text.clone());
        let folder = folder.as_deref().filter(|folder| *folder != "off").map(Path::new);
        for typed in self.settings.values_mut().filter(|typed| VaultReference::is_meant(typed.text.trim())) {
            let reference = typed.text.trim().to_owned();
            match vaults(&reference, folder) {
                Ok(secret) => typed.text = secret,
                Err(reason) => self.mistakes.push(Mistake { at: typed.at.clone(), problem: Problem::Secret(reason) }),
            }
            typed.referred = Some(reference);
        }
    }

    fn put(&mut self, name: &str, value: toml::Value, at: String) {
        if !named(&Settings::default()).contains_key(name) {
            let problem = super::tls::absent(name).map_or(Problem::UnknownSetting, Problem::Absent);
            return self.mistakes.push(Mistake { at, problem });
        }
        match value.try_into() {
            Ok(Text(text)) => drop(self.settings.insert(name.to_owned(), Typed { text, referred: None, at })),
            Err(error) => self.mistakes.push(Mistake { at, problem: Problem::Toml(error.message().to_owned()) }),
        }
    }
}

/// Every setting by its name, silent ones `null`.
pub(super) fn named(settings: &Settings) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(settings) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}
