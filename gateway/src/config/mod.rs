//! What this node needs to boot: listeners, database, limits. Read once, from flags over `SANDGATE_*` variables over one
//! TOML file; every mistake is found before anything starts. What operators manage at run time is `model`.

mod admin;
mod answers;
mod database;
mod dns;
mod file;
mod listen;
mod quantity;
mod read;
mod shown;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    ffi::OsString,
    fmt, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use http::HeaderName;
use ipnet::IpNet;

use crate::router::{Flavor, UnknownFlavor};
use crate::telemetry::{LogFormat, LogLevel, UnknownName};

pub use admin::{Admin, BootstrapToken};
pub use answers::{AnswerHeaders, Answers, Debugging, ErrorFormat, ErrorPages, PortMaps};
pub use database::{Database, DatabaseUse, PostgresUrl};
pub use file::{Settings, Text};
pub use listen::{Address, Listen, Probes};
pub use quantity::{ByteCount, duration};
pub use shown::Shown;
pub use stream::{Introductions, ProxyVersion, Streams};
pub use tls::Tls;

/// Finds the secret behind a reference, given the folder of the `file` vault; or says why not.
pub type Vaults<'a> = &'a dyn Fn(&str, Option<&Path>) -> Result<String, String>;

/// The settings of a node as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Addresses for clients.
    pub proxy_listen: Vec<Listen>,
    /// Addresses for streams.
    pub stream_listen: Vec<Listen>,
    /// How they are served.
    pub streams: Streams,
    /// Addresses of the Admin API: those that other machines reach need authentication.
    pub admin_listen: Vec<Listen>,
    /// Who may use the Admin API, and what its requests may use.
    pub admin: Admin,
    /// Addresses of the Status API.
    pub status_listen: Vec<Listen>,
    /// Where the configuration is kept.
    pub database: Database,
    /// How it is used, unless it is a file.
    pub database_use: DatabaseUse,
    /// TLS with clients and targets.
    pub tls: Tls,
    /// Directory of the database, caches and the snapshot.
    pub data_dir: PathBuf,
    /// What is served without a database.
    pub declarative: Declarative,
    /// Directory of the modules that an operator adds without a database.
    pub modules_dir: PathBuf,
    /// Where compiled plugin code is kept.
    pub plugin_cache_dir: PathBuf,
    /// Threads that serve requests.
    pub workers: NonZeroUsize,
    /// How much the node logs.
    pub log_level: LogLevel,
    /// How a line of the log looks.
    pub log_format: LogFormat,
    /// Where each request leaves a line.
    pub access_log: AccessLog,
    /// Where each stream leaves a line.
    pub stream_access_log: AccessLog,
    /// Whose word about the client's address counts.
    pub real_ip: RealIp,
    /// What answers tell of the gateway.
    pub answers: Answers,
    /// The ports that clients know.
    pub port_maps: PortMaps,
    /// How routes are matched.
    pub router_flavor: Flavor,
    /// How long open requests may go on after SIGTERM.
    pub drain_grace_period: Duration,
    /// Idle connections to targets.
    pub keepalive: Keepalive,
    /// How names of targets are resolved.
    pub dns: crate::dns::Settings,
    /// How targets are treated beyond what their upstreams say.
    pub target_care: TargetCare,
    /// What a request may hold.
    pub request_limits: RequestLimits,
    /// What a client's connection may take.
    pub client_limits: ClientLimits,
    /// What a plugin may use, unless its module says otherwise.
    pub plugin_limits: PluginLimits,
    /// Size of an uploaded module with its settings.
    pub upload_limit: ByteCount,
    /// How long changes are gathered before they are served.
    pub config_debounce: Duration,
    /// At most one snapshot is written to disk in this time.
    pub snapshot_interval: Duration,
    /// How long a start waits that has neither database nor snapshot.
    pub database_start_wait: Duration,
    /// Folder of the `file` vault; without one, no reference to it resolves.
    pub vault_file_dir: Option<PathBuf>,
    /// How often secrets are looked up again.
    pub vault_rotation_interval: Duration,
    /// File with the id of the running process.
    pub pid_file: PathBuf,
    /// Every setting as it was typed or is by default, by name.
    pub shown: Vec<Shown>,
}

/// What is served without a database, until another configuration is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declarative {
    /// Nothing.
    Empty,
    /// This file, which SIGHUP reads again.
    File(PathBuf),
    /// This text.
    Text(String),
}

/// Where each request, or each stream, leaves a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// At the end of this file.
    File(PathBuf),
}

/// Whose word about the client's address counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealIp {
    /// Peers in these networks are believed.
    pub trusted: Trusted,
    /// How they name the client.
    pub naming: Naming,
    /// The client is the last address of the header that is not trusted; otherwise the last address.
    pub recursive: bool,
}

/// Who is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    /// Whoever is in these networks.
    pub networks: Vec<IpNet>,
    /// Whoever comes through a socket in the file system (`unix:`).
    pub files: bool,
}

impl Trusted {
    /// Whether the peer at `address` is believed.
    pub fn contains(&self, address: std::net::IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// How a peer that is believed names the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    /// In this header of each request.
    Header(HeaderName),
    /// By the PROXY protocol, once for a connection (`proxy_protocol`).
    ProxyProtocol,
}

/// Idle connections to targets, kept by each worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Connections to one address that a worker keeps; 0 keeps none.
    pub pool_size: usize,
    /// Requests on one connection before it is closed; 0 sets no limit.
    pub max_requests: u32,
    /// How long one stays idle before it is closed.
    pub idle_timeout: Duration,
}

/// How targets are treated beyond what their upstreams say, which Kong's entities have no fields for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetCare {
    /// How long a target that joins, or is well again, takes to get all of its share; zero: no time.
    pub slow_start: Duration,
    /// Failures in a row after which a target is left alone; 0: it never is.
    pub outlier_failures: u16,
    /// For how long, the first time.
    pub outlier_time: Duration,
}

/// What a request may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of all headers together; more is answered with 400 or, over HTTP/2, 431.
    pub headers: ByteCount,
    /// Bytes of the URI; more is answered with 414.
    pub uri: ByteCount,
    /// Bytes of the body; more is answered with 413. 0 is no limit.
    pub body: ByteCount,
    /// Number of headers; more is answered with 400.
    pub header_count: usize,
}

/// What connections of clients may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Open at once, over all workers; more are closed when they are accepted.
    pub connections: usize,
    /// For a TLS handshake.
    pub handshake_timeout: Duration,
    /// For the head of a request.
    pub header_timeout: Duration,
    /// Between two requests.
    pub keepalive_timeout: Duration,
    /// For a client that takes no bytes.
    pub send_timeout: Duration,
    /// For an HTTP/2 client that never opened a window.
    pub window_timeout: Duration,
    /// HTTP/2 frames a second that bring nothing.
    pub control_frames: u32,
}

/// What a plugin may use, unless its module says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginLimits {
    /// CPU time of one call.
    pub cpu: Duration,
    /// Linear memory of one instance.
    pub memory: ByteCount,
    /// Table elements of one instance.
    pub table_elements: usize,
    /// Stack of one instance.
    pub stack: ByteCount,
    /// Instances that a worker keeps.
    pub instances: usize,
    /// Calls after which an instance is replaced.
    pub calls_per_instance: u64,
}

impl Config {
    /// Reads the settings: `flags` over the `SANDGATE_*` among `variables` over the TOML file at `path`. Touches nothing
    /// else. Errors: every mistake there is.
    pub fn load(
        flags: &Settings,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        path: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let no_vault = |_: &str, _: Option<&Path>| Err("there are no vaults here".to_owned());
        Self::load_with(flags, variables, path, &no_vault)
    }

    /// As [`Config::load`], and asks `vaults` for the secrets of values that are references, with the folder of the `file`
    /// vault.
    ///
    /// # Errors
    /// Every mistake there is.
    pub fn load_with(
        flags: &Settings,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        path: Option<&Path>,
        vaults: Vaults<'_>,
    ) -> Result<Self, ConfigError> {
        let mut sources = file::Sources::default();
        if let Some(path) = path {
            sources.file(path);
        }
        sources.environment(variables);
        sources.flags(flags);
        sources.resolve(vaults);
        read::config(sources).map_err(ConfigError)
    }

    /// Names of the settings that differ from those of `other`.
    pub fn differing(&self, other: &Self) -> Vec<&str> {
        let same =
            |shown: &&Shown| other.shown.iter().any(|before| before.name == shown.name && before.text == shown.text);
        self.shown.iter().filter(|shown| !same(shown)).map(|shown| shown.name.as_str()).collect()
    }

    /// What `next` says of these settings is in force now, as far as [`Config::differing`] goes.
    pub fn take_over(&mut self, next: &Self, names: &[&str]) {
        let known = self.shown.iter_mut().filter(|shown| names.contains(&&*shown.name));
        for shown in known {
            if let Some(found) = next.shown.iter().find(|found| found.name == shown.name) {
                *shown = found.clone();
            }
        }
    }
}

/// Where the settings of this process come from, to read them again.
#[derive(Clone)]
pub struct Origin {
    /// Flags.
    pub flags: Settings,
    /// TOML file.
    pub path: Option<PathBuf>,
    /// Knows the vaults.
    pub vaults: fn(&str, Option<&Path>) -> Result<String, String>,
}

impl Origin {
    /// Reads the settings: flags over the environment over the file.
    ///
    /// # Errors
    /// Every mistake there is.
    pub fn load(&self) -> Result<Config, ConfigError> {
        Config::load_with(&self.flags, std::env::vars_os(), self.path.as_deref(), &self.vaults)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Origin").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The settings are wrong. Shows every mistake on a line of its own.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError(pub Vec<Mistake>);

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the settings have {} mistake(s)", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(out, "\n  {mistake}"))
    }
}

/// One wrong setting.
#[derive(Debug)]
pub struct Mistake {
    /// Where it was typed: `--workers`, `SANDGATE_WORKERS`, `sandgate.toml: workers`.
    pub at: String,
    /// What is wrong with it.
    pub problem: Problem,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.at, self.problem)
    }
}

/// What can be wrong with a setting.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    File(io::Error),
    /// The file is not TOML, or a value of it has no use here.
    #[error("{0}")]
    Toml(String),
    /// There is no such setting.
    #[error("there is no such setting")]
    UnknownSetting,
    /// Kong has such a setting, and it has no use here.
    #[error("there is no such setting: {0}")]
    Absent(&'static str),
    /// A variable holds bytes that are no text.
    #[error("the value is not UTF-8")]
    NotUnicode,
    /// Not an IP address and port.
    #[error("`{0}` is not an IP address with a port, such as 127.0.0.1:8000 or [::1]:8000, nor unix:/path")]
    Address(String),
    /// An unknown word behind an address.
    #[error(
        "`{0}` behind {1} is not an option there: ssl, http2, bind, deferred and backlog=1..65535; for clients proxy_protocol \
         and with ssl ssl_verify_client=off|optional|optional_no_ca|on; for streams udp, without http2 or what only \
         connections have; with an IP address reuseport and \
         so_keepalive=on|off|[idle]:[interval]:[count]; with an IPv6 address ipv6only=on|off"
    )]
    ListenOption(String, String),
    /// Two listeners at one address.
    #[error("{0} is listened on already")]
    AddressTaken(String),
    /// A token that somebody could guess. It is not repeated.
    #[error("a token has at least {0} visible ASCII characters, such as those of `openssl rand -hex 32`")]
    Token(usize),
    /// Two settings for one thing.
    #[error("`{0}` is set as well: set one of them")]
    Both(&'static str),
    /// Half of a pair.
    #[error("`{0}` is missing")]
    Alone(&'static str),
    /// Not a URL.
    #[error("`{0}` is not a URL, such as https://ops.example")]
    Url(String),
    /// Not a database at all. The text is not repeated, it may hold a password.
    #[error("is not a database URL: use sqlite://path or postgres://user@host/database")]
    DatabaseUrl,
    /// A setting that only means something without a database.
    #[error("only works without a database: set database_url to off")]
    NeedsNoDatabase,
    /// Two sources of one configuration.
    #[error("declarative_config names a file already")]
    TwoConfigurations,
    /// An unknown word behind the question mark of a database URL.
    #[error("`{0}` is not a parameter of a database URL")]
    DatabaseParameter(String),
    /// A reference to a secret that does not resolve.
    #[error("the secret is not found: {0}")]
    Secret(String),
    /// An empty path.
    #[error("the path is empty")]
    EmptyPath,
    /// Not a size.
    #[error("`{0}` is not a size, such as 4096, 32KiB or 16MiB")]
    Bytes(String),
    /// Not a duration.
    #[error("`{0}` is not a duration, such as 20ms, 30s, 5m, 1h or 1d")]
    Duration(String),
    /// Not a whole number.
    #[error("`{0}` is not a whole number")]
    Number(String),
    /// Not a list of those who get PROXY headers.
    #[error("`{0}` is neither off, v1, v2 nor one of these behind the name of a service and `=`")]
    Introduction(String),
    /// Not a switch.
    #[error("`{0}` is neither on nor off")]
    Switch(String),
    /// Outside what is sensible.
    #[error("`{text}` is not within {least} and {most}")]
    Range {
        /// As typed.
        text: String,
        /// The least allowed.
        least: String,
        /// The most allowed.
        most: String,
    },
    /// Not a network.
    #[error("`{0}` is neither an IP address, a network such as 10.0.0.0/8, nor unix:")]
    Network(String),
    /// Not a header.
    #[error("`{0}` is not the name of a header")]
    Header(String),
    /// Not a name out of a list.
    #[error(transparent)]
    Name(#[from] UnknownName),
    /// Not a header that answers have.
    #[error(
        "`{0}` is none of server_tokens, latency_tokens, Via, Server, X-Kong-Upstream-Latency, X-Kong-Proxy-Latency, \
         X-Kong-Response-Latency, X-Kong-Admin-Latency, X-Kong-Upstream-Status, X-Kong-Request-Id, nor off alone"
    )]
    AnswerHeader(String),
    /// Not a header that targets get.
    #[error("`{0}` is neither X-Kong-Request-Id nor off")]
    UpstreamHeader(String),
    /// Not a pair of ports.
    #[error("`{0}` is not a port that clients know, a colon and a port that is listened on, such as 80:8000")]
    PortMap(String),
    /// A port that clients know by two others.
    #[error("two ports are said to lead to {0}")]
    PortMapTwice(u16),
    /// Not a type of an error's body.
    #[error("`{0}` is none of text/plain, application/json, text/html, application/xml")]
    ErrorType(String),
    /// Not a server.
    #[error("`{0}` is not an address of a server, such as 10.0.0.53 or [::1]:5353")]
    Server(String),
    /// Not a kind of record.
    #[error(transparent)]
    Kind(#[from] crate::dns::UnknownStep),
    /// A version, suite or set of suites that is not offered.
    #[error(transparent)]
    NotOffered(#[from] crate::tls::NotOffered),
    /// A list that nobody reads.
    #[error("only works with ssl_cipher_suite = custom")]
    NeedsCustomSuite,
    /// A protocol version that no connection could have.
    #[error("there is no cipher suite for one of the versions: see ssl_cipher_suite and ssl_ciphers")]
    NoSuite,
    /// More certificates than kinds of keys.
    #[error("at most two certificates, one for each kind of key")]
    TooManyCertificates,
    /// A certificate without a key.
    #[error("there are to be as many keys as certificates, in the same order")]
    UnevenCertificates,
    /// Not a word about certificates of clients.
    #[error(transparent)]
    ClientCertificate(#[from] crate::tls::UnknownWord),
    /// Not a flavor of the router.
    #[error(transparent)]
    Flavor(#[from] UnknownFlavor),
}
