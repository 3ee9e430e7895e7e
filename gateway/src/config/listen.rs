//! Addresses to listen on, in Kong's syntax: `127.0.0.1:8000, [::]:8443 ssl http2, unix:/run/sandgate.sock`.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use super::Problem;
use crate::tls::ClientCertificate;

/// Connections that may wait to be accepted; the kernel may lower it.
const BACKLOG: u32 = 4096;

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and port. Port 0: any free port.
    Tcp(SocketAddr),
    /// A socket in the file system (`unix:/path`). Its clients count as 127.0.0.1.
    Unix(PathBuf),
}

impl Address {
    /// Whether other machines reach it.
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }

    /// Whether the kernel chooses a port.
    pub(super) fn is_any_port(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.port() == 0)
    }
}

impl FromStr for Address {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let tcp = || text.parse().map(Self::Tcp).map_err(|_| Problem::Address(text.to_owned()));
        match text.strip_prefix("unix:") {
            Some("") => Err(Problem::EmptyPath),
            Some(path) => Ok(Self::Unix(path.into())),
            None => tcp(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// Probes of idle connections (`so_keepalive=idle:interval:count`); what is `None` is the system's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Probes {
    /// Silence before the first probe.
    pub idle: Option<Duration>,
    /// Between two probes.
    pub interval: Option<Duration>,
    /// Probes without an answer that end the connection.
    pub count: Option<u32>,
}

/// One address to listen on, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// Speaks TLS (`ssl`).
    pub tls: bool,
    /// Whether clients are asked for a certificate (`ssl_verify_client=…`); `None`: as the node's setting says.
    pub client_certificate: Option<ClientCertificate>,
    /// Offers HTTP/2 by ALPN, or takes prior knowledge on clear text (`http2`).
    pub http2: bool,
    /// Another gateway may listen on the same port (`reuseport`). Each worker has a socket of its own in any case.
    pub reuseport: bool,
    /// An IPv6 listener takes IPv4 connections too (`ipv6only=off`).
    pub dual: bool,
    /// Connections are probed (`so_keepalive=…`).
    pub probes: Option<Probes>,
    /// Connections that may wait to be accepted (`backlog=N`): 1 to 65,535.
    pub backlog: u32,
    /// Every connection begins with a PROXY header (`proxy_protocol`).
    pub proxy_protocol: bool,
}

impl FromStr for Listen {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let mut words = text.split_whitespace();
        let mut listen = Self::new(words.next().unwrap_or_default().parse()?);
        let refused =
            |listen: &Self, option: &str| Problem::ListenOption(option.to_owned(), listen.address.to_string());
        for option in words {
            listen.set(option).ok_or_else(|| refused(&listen, option))?;
        }
        if listen.client_certificate.is_some() && !listen.tls {
            return Err(refused(&listen, "ssl_verify_client"));
        }
        Ok(listen)
    }
}

impl Listen {
    /// A listener without options.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            tls: false,
            client_certificate: None,
            http2: false,
            reuseport: false,
            dual: false,
            probes: None,
            backlog: BACKLOG,
            proxy_protocol: false,
        }
    }

    fn set(&mut self, option: &str) -> Option<()> {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        let is_ip = matches!(self.address, Address::Tcp(_));
        match (name, value) {
            ("ssl", None) => self.tls = true,
            ("http2", None) => self.http2 = true,
            ("proxy_protocol", None) => self.proxy_protocol = true,
            ("reuseport", None) if is_ip => self.reuseport = true,
            // What these ask for is so in any case: a socket that is bound on its own, and a client that says nothing
            // costs next to nothing.
            ("bind" | "deferred", None) => {}
            ("ssl_verify_client", Some(value)) => self.client_certificate = Some(value.parse().ok()?),
            ("ipv6only", Some(value)) if matches!(self.address, Address::Tcp(SocketAddr::V6(_))) => {
                self.dual = !switch(value)?;
            }
            ("so_keepalive", Some(value)) if is_ip => self.probes = probes(value)?,
            ("backlog", Some(value)) => {
                self.backlog = value.parse().ok().filter(|number| (1..=65_535).contains(number))?
            }
            _ => return None,
        }
        Some(())
    }
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// `on`, `off`, or nginx's `[idle]:[interval]:[count]`, such as `30m::10`.
fn probes(text: &str) -> Option<Option<Probes>> {
    if let Some(on) = switch(text) {
        return Some(on.then(Probes::default));
    }
    let parts: Vec<&str> = text.split(':').collect();
    let [idle, interval, count] = parts[..] else { return None };
    let count = if count.is_empty() { None } else { Some(count.parse().ok().filter(|number| *number > 0)?) };
    let probes = Probes { idle: time(idle)?, interval: time(interval)?, count };
    (probes != Probes::default()).then_some(Some(probes))
}

/// Seconds, or a number with `s`, `m` or `h`; 1 s to 9 h, as the kernel takes it.
fn time(text: &str) -> Option<Option<Duration>> {
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.trim_end_matches(['s', 'm', 'h']);
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let seconds = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (1..=32_400).contains(&seconds).then_some(Some(Duration::from_secs(seconds)))
}

impl fmt::Display for Probes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs().to_string()).unwrap_or_default();
        let count = self.count.map(|count| count.to_string()).unwrap_or_default();
        match self {
            Self { idle: None, interval: None, count: None } => out.write_str("on"),
            Self { idle, interval, .. } => write!(out, "{}:{}:{count}", seconds(*idle), seconds(*interval)),
        }
    }
}

impl fmt::Display for Listen {
    /// The way it is typed, with options in a fixed order.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.address)?;
        let switches = [
            (self.tls, "ssl"),
            (self.http2, "http2"),
            (self.proxy_protocol, "proxy_protocol"),
            (self.reuseport, "reuseport"),
            (self.dual, "ipv6only=off"),
        ];
        for (_, option) in switches.into_iter().filter(|(set, _)| *set) {
            write!(out, " {option}")?;
        }
        if let Some(asked) = self.client_certificate {
            write!(out, " ssl_verify_client={}", asked.as_str())?;
        }
        if let Some(probes) = &self.probes {
            write!(out, " so_keepalive={probes}")?;
        }
        if self.backlog != BACKLOG {
            write!(out, " backlog={}", self.backlog)?;
        }
        Ok(())
    }
}

/// Addresses of the Admin and Status APIs: who calls them is known by address and certificate alone.
pub(super) fn own_listens(text: &str) -> Result<Vec<Listen>, Problem> {
    let listens = listens(text)?;
    let refused =
        |listen: &Listen, option: &str| Err(Problem::ListenOption(option.to_owned(), listen.address.to_string()));
    match listens.iter().find(|listen| listen.proxy_protocol || listen.client_certificate.is_some()) {
        Some(listen) if listen.proxy_protocol => refused(listen, "proxy_protocol"),
        Some(listen) => refused(listen, "ssl_verify_client (see admin_client_ca)"),
        None => Ok(listens),
    }
}

/// A list of addresses with commas between; empty for `off`.
pub(super) fn listens(text: &str) -> Result<Vec<Listen>, Problem> {
    if text == "off" {
        return Ok(Vec::new());
    }
    text.split(',').map(|part| part.trim().parse()).collect()
}
