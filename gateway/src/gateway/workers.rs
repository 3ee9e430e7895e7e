//! The worker threads: one a core, each with its own runtime, sockets, connections to targets and plugin instances.

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
};

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use super::{GatewayError, system};
use crate::{
    balancer::Ejection,
    config::{AccessLog, Config, Listen},
    listener::{self, Bound, Counters, Drained},
    plugin,
    proxy::{self, Proxy, Refusals},
    shutdown::Drain,
    snapshot::{Manner, Snapshot},
    tls::ServerTls,
    upstream,
};

/// The running workers.
pub(super) struct Workers {
    threads: Vec<JoinHandle<io::Result<Drained>>>,
    counters: Vec<Arc<Counters>>,
    order: Drain,
    dial: Dial,
    refusals: Arc<Refusals>,
}

/// Changes what the running workers go by.
#[derive(Clone)]
pub(super) struct Dial {
    listener: watch::Sender<listener::Settings>,
    proxy: watch::Sender<proxy::Settings>,
}

impl Dial {
    /// What the settings say of connections, requests and targets from now on. Workers follow within a second.
    pub(super) fn turn(&self, config: &Config) {
        self.listener.send_modify(|now| *now = listener_settings(config, now.tls.take()));
        self.proxy.send_modify(|now| *now = proxy_settings(config, now.access_log.take(), now.refusals.clone()));
    }

    /// The log that all of them write.
    pub(super) fn access_log(&self) -> Option<proxy::AccessLog> {
        self.proxy.borrow().access_log.clone()
    }
}

/// What the workers count.
#[derive(Clone)]
pub(super) struct Tally {
    /// Connections, of each worker.
    pub(super) connections: Vec<Arc<Counters>>,
    /// Requests that were refused, of all.
    pub(super) refusals: Arc<Refusals>,
}

/// Where the proxy listens.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses {
    pub(super) plain: Vec<String>,
    pub(super) tls: Vec<String>,
}

/// Real addresses of the sockets.
pub(super) fn addresses(sockets: &[Vec<Bound>]) -> Addresses {
    let mut addresses = Addresses::default();
    for bound in sockets.first().into_iter().flatten() {
        let place = if bound.is_tls() { &mut addresses.tls } else { &mut addresses.plain };
        let address = bound.place().to_string();
        // A worker may have several sockets of one listener.
        if !place.contains(&address) {
            place.push(address);
        }
    }
    addresses
}

impl Workers {
    /// Starts a thread for each set of sockets.
    pub(super) fn start(
        config: &Config,
        sockets: Vec<Vec<Bound>>,
        current: Arc<ArcSwap<Snapshot>>,
        server: ServerTls,
    ) -> Result<Self, GatewayError> {
        let refusals = Arc::<Refusals>::default();
        let settings = proxy_settings(config, open_access_log(config)?, refusals.clone());
        let dial = Dial {
            listener: watch::Sender::new(listener_settings(config, Some(server))),
            proxy: watch::Sender::new(settings),
        };
        let (mut threads, mut counters) = (Vec::new(), Vec::new());
        let order = Drain::default();
        for (number, own) in sockets.into_iter().enumerate() {
            let counted = Arc::<Counters>::default();
            counters.push(counted.clone());
            let worker = Worker {
                number,
                sockets: own,
                limits: dial.listener.subscribe(),
                settings: dial.proxy.subscribe(),
                current: current.clone(),
                counters: counted,
                order: order.clone(),
            };
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || worker.run()).map_err(system("a worker thread"))?);
        }
        Ok(Self { threads, counters, order, dial, refusals })
    }

    /// What they count.
    pub(super) fn tally(&self) -> Tally {
        Tally { connections: self.counters.clone(), refusals: self.refusals.clone() }
    }

    /// The order to end, which this hand gives.
    pub(super) fn order(&self) -> Drain {
        self.order.clone()
    }

    /// Changes what they go by.
    pub(super) fn dial(&self) -> Dial {
        self.dial.clone()
    }

    /// Waits for the threads, which end after the order to.
    pub(super) fn join(self) {
        for (number, thread) in self.threads.into_iter().enumerate() {
            match thread.join() {
                Ok(Ok(Drained { finished, cut })) => tracing::info!(worker = number, finished, cut, "a worker ended"),
                Ok(Err(error)) => tracing::error!(worker = number, %error, "a worker failed"),
                Err(_) => tracing::error!(worker = number, "a worker panicked"),
            }
        }
    }
}

struct Worker {
    number: usize,
    sockets: Vec<Bound>,
    limits: watch::Receiver<listener::Settings>,
    settings: watch::Receiver<proxy::Settings>,
    current: Arc<ArcSwap<Snapshot>>,
    counters: Arc<Counters>,
    order: Drain,
}

impl Worker {
    fn run(self) -> io::Result<Drained> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        plugin::enter_worker(u32::try_from(self.number).unwrap_or(u32::MAX));
        runtime.block_on(async move {
            let client = upstream::Client::new(self.settings.borrow().upstream);
            let proxy = Rc::new(Proxy::new(self.current, client, self.settings));
            let drained = listener::serve(self.sockets, proxy, self.limits, self.counters, self.order).await;
            plugin::leave_worker();
            drained
        })
    }
}

fn listener_settings(config: &Config, tls: Option<ServerTls>) -> listener::Settings {
    let (limits, client) = (&config.request_limits, &config.client_limits);
    listener::Settings {
        tls,
        head_bytes: limits.headers.as_usize(),
        uri_bytes: limits.uri.as_usize(),
        header_count: limits.header_count,
        handshake_timeout: client.handshake_timeout,
        head_timeout: client.header_timeout,
        idle_timeout: client.keepalive_timeout,
        send_timeout: client.send_timeout,
        connections: client.connections.div_ceil(config.workers.get()),
        http2_control_frames: client.control_frames,
        grace: config.drain_grace_period,
        ..listener::Settings::default()
    }
}

fn open_access_log(config: &Config) -> Result<Option<proxy::AccessLog>, GatewayError> {
    Ok(match &config.access_log {
        AccessLog::Off => None,
        AccessLog::File(path) => Some(proxy::AccessLog::open(path)?),
    })
}

fn proxy_settings(config: &Config, access_log: Option<proxy::AccessLog>, refusals: Arc<Refusals>) -> proxy::Settings {
    proxy::Settings {
        uri_bytes: config.request_limits.uri.as_usize(),
        body_bytes: match config.request_limits.body.as_usize() {
            0 => u64::MAX,
            limit => limit as u64,
        },
        trusted: config.real_ip.trusted.clone(),
        naming: config.real_ip.naming.clone(),
        real_ip_recursive: config.real_ip.recursive,
        access_log,
        manner: manner(config),
        upstream: upstream_settings(config),
        refusals,
    }
}

fn manner(config: &Config) -> Manner {
    let care = &config.target_care;
    let ejection = Ejection { failures: care.outlier_failures, time: care.outlier_time };
    Manner { slow_start: care.slow_start, ejection }
}

fn upstream_settings(config: &Config) -> upstream::Settings {
    upstream::Settings {
        pool_size: config.keepalive.pool_size,
        idle_timeout: config.keepalive.idle_timeout,
        requests_per_connection: match config.keepalive.max_requests {
            0 => u32::MAX,
            number => number,
        },
    }
}

/// Sum of a number over the workers.
pub(super) fn total(counters: &[Arc<Counters>], read: impl Fn(&Counters) -> u64) -> u64 {
    counters.iter().map(|counters| read(counters)).sum()
}

/// A socket address as Kong shows it: `ip`, `port`.
pub(super) fn shown(address: &str, listen: &Listen) -> serde_json::Value {
    let parsed = address.parse::<SocketAddr>().ok();
    let (ip, port) = parsed.map_or((String::new(), 0), |address| (address.ip().to_string(), address.port()));
    let (tls, http2) = (listen.tls, listen.http2);
    serde_json::json!({ "ip": ip, "port": port, "ssl": tls, "http2": http2, "listener": address })
}
