//! From text to [`Config`]: one line a setting, with its default and range.

use std::{
    collections::BTreeMap,
    fmt::Display,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
    thread,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    AccessLog, ByteCount, ClientLimits, Config, Database, DatabaseUse, Declarative, Keepalive, Mistake, Naming,
    PluginLimits, PostgresUrl, Problem, RealIp, RequestLimits, Settings, Shown, TargetCare, Trusted,
    file::{Sources, named as named_settings},
    listen::{listens, own_listens},
    quantity::duration,
    stream::stream_listens,
};

/// Settings that name a configuration to serve without a database.
const DECLARATIONS: [&str; 2] = ["declarative_config", "declarative_config_string"];
pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Reads everything, and gathers mistakes on the way: a setting with one counts as its default until the end.
pub(super) fn config(sources: Sources) -> Result<Config, Vec<Mistake>> {
    let mut reader = Reader { sources, defaults: BTreeMap::new() };
    let data_dir = reader.take("data_dir", "./sandgate-data", path);
    let access_log = reader.take("proxy_access_log", "off", access_log);
    let mut config = Config {
        proxy_listen: reader.take("proxy_listen", "0.0.0.0:8000, 0.0.0.0:8443 ssl http2", listens),
        stream_listen: reader.take("stream_listen", "off", stream_listens),
        streams: reader.streams(),
        admin_listen: reader.take("admin_listen", "127.0.0.1:8001", own_listens),
        admin: reader.admin(),
        tls: reader.tls(),
        status_listen: reader.take("status_listen", "127.0.0.1:8007", own_listens),
        database: reader.database(&data_dir),
        declarative: reader.declarative(),
        modules_dir: reader.inside(&data_dir, "modules_dir", "modules"),
        plugin_cache_dir: reader.inside(&data_dir, "plugin_cache_dir", "compiled"),
        database_use: reader.database_use(),
        pid_file: reader.inside(&data_dir, "pid_file", "sandgate.pid"),
        data_dir,
        workers: reader.take("workers", "auto", workers),
        log_level: reader.take("log_level", "notice", named),
        log_format: reader.take("log_format", "plain", named),
        stream_access_log: reader.stream_access_log(&access_log),
        access_log,
        real_ip: reader.real_ip(),
        answers: reader.answers(),
        port_maps: reader.port_maps(),
        router_flavor: reader.take("router_flavor", "traditional_compatible", named),
        drain_grace_period: reader.take("drain_grace_period", "30s", time(Duration::ZERO, 3600 * SECOND)),
        keepalive: reader.keepalive(),
        dns: reader.dns(),
        target_care: reader.target_care(),
        request_limits: reader.request_limits(),
        client_limits: reader.client_limits(),
        plugin_limits: reader.plugin_limits(),
        upload_limit: reader.take("upload_limit", "64MiB", size(64 * KIB, 1024 * MIB)),
        config_debounce: reader.take("config_debounce", "20ms", time(Duration::ZERO, 10 * SECOND)),
        snapshot_interval: reader.take("snapshot_interval", "5s", time(SECOND / 10, 3600 * SECOND)),
        database_start_wait: reader.take("database_start_wait", "1m", time(Duration::ZERO, 3600 * SECOND)),
        vault_file_dir: reader.take("vault_file_dir", "off", folder),
        vault_rotation_interval: reader.take("vault_rotation_interval", "1m", time(SECOND, 86_400 * SECOND)),
        shown: Vec::new(),
    };
    config.shown = reader.shown();
    reader.refuse_equal_addresses(&config);
    reader.refuse_unused_declarations(&config);
    reader.refuse_unverifiable_clients(&config);
    if reader.sources.mistakes.is_empty() { Ok(config) } else { Err(reader.sources.mistakes) }
}

pub(super) struct Reader {
    sources: Sources,
    /// Of the settings that nobody typed.
    defaults: BTreeMap<String, String>,
}

impl Reader {
    /// The setting `name` as `parse` understands it, or `default`.
    pub(super) fn take<T>(&mut self, name: &str, default: &str, parse: impl Fn(&str) -> Result<T, Problem>) -> T {
        if let Some(typed) = self.sources.settings.get(name) {
            match parse(typed.text.trim()) {
                Ok(value) => return value,
                Err(problem) => self.sources.mistakes.push(Mistake { at: typed.at.clone(), problem }),
            }
        }
        self.defaults.insert(name.to_owned(), default.to_owned());
        parse(default).expect("every default is sound, as a test checks")
    }

    /// The setting `name` as `parse` understands it, if it is set.
    pub(super) fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Problem>) -> Option<T> {
        let typed = self.sources.settings.get(name)?;
        match parse(typed.text.trim()) {
            Ok(value) => Some(value),
            Err(problem) => self.mistake(name, problem),
        }
    }

    /// As at Kong, streams and requests share a file unless they are told apart.
    fn stream_access_log(&mut self, of_requests: &AccessLog) -> AccessLog {
        let name = "proxy_stream_access_log";
        if let Some(typed) = self.optional(name, access_log) {
            return typed;
        }
        self.default(
            name,
            &match of_requests {
                AccessLog::Off => "off".to_owned(),
                AccessLog::File(path) => path.display().to_string(),
            },
        );
        of_requests.clone()
    }

    /// Shown for a setting that nobody typed, and whose default depends on others.
    pub(super) fn default(&mut self, name: &str, text: &str) {
        self.defaults.insert(name.to_owned(), text.to_owned());
    }

    /// Every setting as it is in force.
    fn shown(&self) -> Vec<Shown> {
        let names = named_settings(&Settings::default());
        let shown = |name: &String| match self.sources.settings.get(name) {
            Some(typed) => Shown {
                name: name.clone(),
                text: Some(typed.text.clone()),
                referred: typed.referred.clone(),
                from: typed.at.clone(),
            },
            None => {
                let text = self.defaults.get(name).cloned();
                Shown { name: name.clone(), text, referred: None, from: "default".to_owned() }
            }
        };
        names.keys().map(shown).collect()
    }

    /// Whether anybody typed the setting `name`.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.sources.settings.contains_key(name)
    }

    /// Gathers a mistake in the setting `name`.
    pub(super) fn mistake<T>(&mut self, name: &str, problem: Problem) -> Option<T> {
        let at = self.sources.settings.get(name).map_or(name, |typed| &typed.at).to_owned();
        self.sources.mistakes.push(Mistake { at, problem });
        None
    }

    /// A folder, by default of this name in the data directory.
    fn inside(&mut self, data_dir: &Path, name: &str, default: &str) -> PathBuf {
        match self.sources.settings.contains_key(name) {
            true => self.take(name, default, path),
            false => {
                self.defaults.insert(name.to_owned(), data_dir.join(default).display().to_string());
                data_dir.join(default)
            }
        }
    }

    fn declarative(&mut self) -> Declarative {
        let is_set = |reader: &Self, name: &str| reader.sources.settings.contains_key(name);
        if is_set(self, "declarative_config") {
            return Declarative::File(self.take("declarative_config", "kong.yaml", path));
        }
        if is_set(self, "declarative_config_string") {
            return Declarative::Text(self.take("declarative_config_string", "", |text| Ok(text.to_owned())));
        }
        Declarative::Empty
    }

    /// A file that is named and not read would be a trap.
    fn refuse_unused_declarations(&mut self, config: &Config) {
        let typed = DECLARATIONS.map(|name| self.sources.settings.get(name).map(|typed| typed.at.clone()));
        let mut refuse = |at: &String, problem| self.sources.mistakes.push(Mistake { at: at.clone(), problem });
        if let [Some(_), Some(text)] = &typed {
            refuse(text, Problem::TwoConfigurations);
        }
        if config.database != Database::Off {
            typed.iter().flatten().for_each(|at| refuse(at, Problem::NeedsNoDatabase));
        }
    }

    fn database(&mut self, data_dir: &Path) -> Database {
        match self.sources.settings.contains_key("database_url") {
            true => self.take("database_url", "sqlite://sandgate.db", database),
            false if DECLARATIONS.iter().any(|name| self.sources.settings.contains_key(*name)) => {
                self.defaults.insert("database_url".to_owned(), "off".to_owned());
                Database::Off
            }
            // Not by way of text: the directory may have a name that is no UTF-8.
            false => {
                let file = data_dir.join("sandgate.db");
                self.defaults.insert("database_url".to_owned(), format!("sqlite://{}", file.display()));
                Database::Sqlite(file)
            }
        }
    }

    fn database_use(&mut self) -> DatabaseUse {
        let limit = || time(SECOND / 10, 60 * SECOND);
        DatabaseUse {
            pool_size: self.take("database_pool_size", "10", number(2, 1000)),
            connect_timeout: self.take("database_connect_timeout", "5s", limit()),
            acquire_timeout: self.take("database_acquire_timeout", "10s", limit()),
            statement_timeout: self.take("database_statement_timeout", "30s", limit()),
            lock_timeout: self.take("database_lock_timeout", "30s", limit()),
            poll_interval: self.take("database_poll_interval", "1s", limit()),
        }
    }

    fn real_ip(&mut self) -> RealIp {
        RealIp {
            trusted: self.take("trusted_ips", "", trusted),
            naming: self.take("real_ip_header", "x-real-ip", naming),
            recursive: self.take("real_ip_recursive", "off", switch),
        }
    }

    fn target_care(&mut self) -> TargetCare {
        TargetCare {
            slow_start: self.take("upstream_slow_start", "0s", time(Duration::ZERO, 3600 * SECOND)),
            outlier_failures: self.take("upstream_outlier_failures", "0", number(0, 1000)),
            outlier_time: self.take("upstream_outlier_time", "30s", time(SECOND, 3600 * SECOND)),
        }
    }

    fn keepalive(&mut self) -> Keepalive {
        Keepalive {
            pool_size: self.take("upstream_keepalive_pool_size", "512", number(0, 1_000_000)),
            max_requests: self.take("upstream_keepalive_max_requests", "10000", number(0, u32::MAX)),
            idle_timeout: self.take("upstream_keepalive_idle_timeout", "60s", time(SECOND, 86_400 * SECOND)),
        }
    }

    fn request_limits(&mut self) -> RequestLimits {
        RequestLimits {
            headers: self.take("request_header_limit", "32KiB", size(KIB, MIB)),
            uri: self.take("request_uri_limit", "8KiB", size(256, MIB)),
            body: self.take("request_body_limit", "0", size(0, 1024 * 1024 * MIB)),
            header_count: self.take("request_header_count", "100", number(16, 10_000)),
        }
    }

    fn client_limits(&mut self) -> ClientLimits {
        let limit = || time(SECOND, 3600 * SECOND);
        let long = || time(SECOND, 86_400 * SECOND);
        ClientLimits {
            connections: self.take("client_connections", "16384", number(1, 10_000_000)),
            handshake_timeout: self.take("client_handshake_timeout", "60s", limit()),
            header_timeout: self.take("client_header_timeout", "60s", limit()),
            keepalive_timeout: self.take("client_keepalive_timeout", "75s", long()),
            send_timeout: self.take("client_send_timeout", "60s", long()),
            window_timeout: self.take("http2_window_timeout", "3s", long()),
            control_frames: self.take("http2_control_frames", "1000", number(10, 1_000_000)),
        }
    }

    fn plugin_limits(&mut self) -> PluginLimits {
        PluginLimits {
            cpu: self.take("plugin_cpu_limit", "50ms", time(SECOND / 1000, 10 * SECOND)),
            memory: self.take("plugin_memory_limit", "16MiB", size(64 * KIB, 4096 * MIB)),
            table_elements: self.take("plugin_table_limit", "20000", number(100, 1_000_000)),
            stack: self.take("plugin_stack_limit", "512KiB", size(64 * KIB, 1536 * KIB)),
            instances: self.take("plugin_instances", "8", number(1, 1024)),
            calls_per_instance: self.take("plugin_instance_calls", "100000", number(1, u64::MAX)),
        }
    }

    /// Two listeners on one address would share its connections by chance.
    fn refuse_equal_addresses(&mut self, config: &Config) {
        let mut seen = Vec::new();
        let rooms = [
            ("proxy_listen", &config.proxy_listen),
            ("stream_listen", &config.stream_listen),
            ("admin_listen", &config.admin_listen),
            ("status_listen", &config.status_listen),
        ];
        for (name, listen) in rooms.into_iter().flat_map(|(name, all)| all.iter().map(move |listen| (name, listen))) {
            if !listen.address.is_any_port() && seen.contains(&(listen.udp, &listen.address)) {
                let at = self.sources.settings.get(name).map_or(name, |typed| &typed.at).to_owned();
                self.sources.mistakes.push(Mistake { at, problem: Problem::AddressTaken(listen.address.to_string()) });
            }
            seen.push((listen.udp, &listen.address));
        }
    }
}

fn database(text: &str) -> Result<Database, Problem> {
    match text.split_once("://") {
        Some(("sqlite", file)) => path(file).map(Database::Sqlite),
        Some(("postgres" | "postgresql", _)) => PostgresUrl::parse(text).map(Database::Postgres),
        None if text == "off" => Ok(Database::Off),
        _ => Err(Problem::DatabaseUrl),
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, Problem> {
    if text.is_empty() { Err(Problem::EmptyPath) } else { Ok(PathBuf::from(text)) }
}

fn folder(text: &str) -> Result<Option<PathBuf>, Problem> {
    if text == "off" { Ok(None) } else { path(text).map(Some) }
}

fn access_log(text: &str) -> Result<AccessLog, Problem> {
    if text == "off" { Ok(AccessLog::Off) } else { path(text).map(AccessLog::File) }
}

fn workers(text: &str) -> Result<NonZeroUsize, Problem> {
    if text == "auto" {
        return Ok(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    }
    let number: usize = number(1, 1024)(text)?;
    Ok(NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN))
}

fn trusted(text: &str) -> Result<Trusted, Problem> {
    let mut trusted = Trusted::default();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part {
            "unix:" => trusted.files = true,
            part => trusted.networks.push(network(part).ok_or_else(|| Problem::Network(part.to_owned()))?),
        }
    }
    Ok(trusted)
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

/// `proxy_protocol` is no header, in whatever letters: clients could choose their address by one of that name.
fn naming(text: &str) -> Result<Naming, Problem> {
    if text.eq_ignore_ascii_case("proxy_protocol") {
        return Ok(Naming::ProxyProtocol);
    }
    text.parse().map(Naming::Header).map_err(|_| Problem::Header(text.to_owned()))
}

pub(super) fn switch(text: &str) -> Result<bool, Problem> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Problem::Switch(text.to_owned())),
    }
}

fn named<T: FromStr>(text: &str) -> Result<T, Problem>
where
    Problem: From<T::Err>,
{
    Ok(text.parse()?)
}

pub(super) fn number<T: FromStr + PartialOrd + Display + Copy>(
    least: T,
    most: T,
) -> impl Fn(&str) -> Result<T, Problem> {
    move |text| {
        let number = text.parse().map_err(|_| Problem::Number(text.to_owned()))?;
        within(text, number, (&least, &most), T::to_string)
    }
}

pub(super) fn size(least: u64, most: u64) -> impl Fn(&str) -> Result<ByteCount, Problem> {
    move |text| within(text, text.parse()?, (&ByteCount::new(least), &ByteCount::new(most)), ByteCount::to_string)
}

pub(super) fn time(least: Duration, most: Duration) -> impl Fn(&str) -> Result<Duration, Problem> {
    move |text| within(text, duration(text)?, (&least, &most), |limit| format!("{limit:?}"))
}

fn within<T: PartialOrd>(
    text: &str,
    value: T,
    (least, most): (&T, &T),
    show: impl Fn(&T) -> String,
) -> Result<T, Problem> {
    if (least..=most).contains(&&value) {
        return Ok(value);
    }
    Err(Problem::Range { text: text.to_owned(), least: show(least), most: show(most) })
}
