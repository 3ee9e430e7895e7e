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

use super::{BACKGROUND_GRACE, GatewayError, system};
use crate::{
    balancer::Ejection,
    config::{self, Config, Listen},
    listener::{self, Bound, Counters, Drained, Entry},
    plugin,
    proxy::{self, ErrorWords, Proxy, Refusals},
    shutdown::Drain,
    snapshot::{Manner, Snapshot},
    stream::{self, Streams},
    telemetry::AccessLog,
    tls::ServerTls,
    upstream,
};

/// The running workers.
pub(super) struct Workers {
    threads: Vec<JoinHandle<io::Result<Drained>>>,
    tally: Tally,
    order: Drain,
    dial: Dial,
}

/// Changes what the running workers go by.
#[derive(Clone)]
pub(super) struct Dial {
    listener: watch::Sender<listener::Settings>,
    proxy: watch::Sender<proxy::Settings>,
    stream: watch::Sender<stream::Settings>,
}

impl Dial {
    /// What the settings say of connections, requests and targets from now on. Workers follow within a second.
    pub(super) fn turn(&self, config: &Config) {
        self.listener.send_modify(|now| *now = listener_settings(config, now.tls.take()));
        self.proxy.send_modify(|now| {
            *now = proxy_settings(config, now.access_log.take(), now.refusals.clone(), now.errors.clone());
        });
        self.stream.send_modify(|now| *now = stream_settings(config, now.tls.clone(), now.access_log.take()));
    }

    /// How errors are worded from now on.
    pub(super) fn reword(&self, errors: ErrorWords) {
        self.proxy.send_modify(|now| now.errors = Arc::new(errors));
    }

    /// The logs that all of them write; one and the same may be there twice.
    pub(super) fn access_logs(&self) -> impl Iterator<Item = AccessLog> + use<> {
        let (of_requests, of_streams) =
            (self.proxy.borrow().access_log.clone(), self.stream.borrow().access_log.clone());
        of_requests.into_iter().chain(of_streams)
    }
}

/// What the workers count.
#[derive(Clone)]
pub(super) struct Tally {
    /// Connections, of each worker.
    pub(super) connections: Vec<Arc<Counters>>,
    /// Streams, of each worker.
    pub(super) streams: Vec<Arc<stream::Counters>>,
    /// Requests that were refused, of all.
    pub(super) refusals: Arc<Refusals>,
}

/// The sockets of one worker.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) proxy: Vec<Bound>,
    pub(super) stream: Vec<Bound>,
}

/// Where the proxy listens.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses {
    pub(super) plain: Vec<String>,
    pub(super) tls: Vec<String>,
    pub(super) stream: Vec<String>,
}

/// Real addresses of the sockets.
pub(super) fn addresses(proxy: &[Vec<Bound>], stream: &[Vec<Bound>]) -> Addresses {
    let mut addresses = Addresses { stream: streams(stream), ..Addresses::default() };
    for bound in proxy.first().into_iter().flatten() {
        let place = if bound.is_tls() { &mut addresses.tls } else { &mut addresses.plain };
        let address = bound.place().to_string();
        // A worker may have several sockets of one listener.
        if !place.contains(&address) {
            place.push(address);
        }
    }
    addresses
}

/// With the words that say how they differ.
fn streams(sockets: &[Vec<Bound>]) -> Vec<String> {
    let shown = |entry: &Entry| {
        let kind = match (entry.tls, entry.datagrams) {
            (true, _) => " ssl",
            (_, true) => " udp",
            (false, false) => "",
        };
        format!("{}{kind}", entry.place)
    };
    let mut all: Vec<String> = sockets.first().into_iter().flatten().map(|bound| shown(bound.entry())).collect();
    all.dedup();
    all
}

impl Workers {
    /// Starts a thread for each set of sockets.
    pub(super) fn start(
        config: &Config,
        doors: Vec<Doors>,
        current: Arc<ArcSwap<Snapshot>>,
        server: ServerTls,
    ) -> Result<Self, GatewayError> {
        let refusals = Arc::<Refusals>::default();
        let (log, stream_log) = open_access_logs(config)?;
        let errors = Arc::new(ErrorWords::read(&config.answers.errors)?);
        let streaming = stream_settings(config, server.clone(), stream_log);
        let settings = proxy_settings(config, log, refusals.clone(), errors);
        let dial = Dial {
            listener: watch::Sender::new(listener_settings(config, Some(server))),
            proxy: watch::Sender::new(settings),
            stream: watch::Sender::new(streaming),
        };
        let (mut threads, mut counters, mut streams) = (Vec::new(), Vec::new(), Vec::new());
        let order = Drain::default();
        for (number, doors) in doors.into_iter().enumerate() {
            let (counted, of_streams) = (Arc::<Counters>::default(), Arc::<stream::Counters>::default());
            counters.push(counted.clone());
            streams.push(of_streams.clone());
            let worker = Worker {
                number,
                doors,
                streaming: dial.stream.subscribe(),
                limits: dial.listener.subscribe(),
                settings: dial.proxy.subscribe(),
                current: current.clone(),
                counters: counted,
                of_streams,
                order: order.clone(),
            };
            let thread = thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || worker.run()).map_err(system("a worker thread"))?);
        }
        Ok(Self { threads, tally: Tally { connections: counters, streams, refusals }, order, dial })
    }

    /// What they count.
    pub(super) fn tally(&self) -> Tally {
        self.tally.clone()
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
    doors: Doors,
    streaming: watch::Receiver<stream::Settings>,
    limits: watch::Receiver<listener::Settings>,
    settings: watch::Receiver<proxy::Settings>,
    current: Arc<ArcSwap<Snapshot>>,
    counters: Arc<Counters>,
    of_streams: Arc<stream::Counters>,
    order: Drain,
}

impl Worker {
    fn run(self) -> io::Result<Drained> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        plugin::enter_worker(u32::try_from(self.number).unwrap_or(u32::MAX));
        runtime.block_on(async move {
            let upstream = self.settings.borrow().upstream;
            let client = || upstream::Client::new(upstream);
            let streams = Rc::new(Streams::new(self.current.clone(), client(), self.streaming, self.of_streams));
            let streaming = stream::serve(self.doors.stream, streams, self.order.clone());
            let proxy = Rc::new(Proxy::new(self.current, client(), self.settings));
            let serving = listener::serve(self.doors.proxy, proxy.clone(), self.limits, self.counters, self.order);
            let (streamed, served) = tokio::join!(streaming, serving);
            if tokio::time::timeout(BACKGROUND_GRACE, proxy.logged()).await.is_err() {
                tracing::warn!(worker = self.number, "logs of the last requests were cut");
            }
            plugin::leave_worker();
            let (streamed, served) = (streamed?, served?);
            Ok(Drained { finished: streamed.finished + served.finished, cut: streamed.cut + served.cut })
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
        http2_window_timeout: client.window_timeout,
        connections: client.connections.div_ceil(config.workers.get()),
        http2_control_frames: client.control_frames,
        grace: config.drain_grace_period,
        ..listener::Settings::default()
    }
}

fn stream_settings(config: &Config, tls: ServerTls, access_log: Option<AccessLog>) -> stream::Settings {
    let (client, workers) = (&config.client_limits, config.workers.get());
    stream::Settings {
        tls,
        handshake_timeout: client.handshake_timeout,
        connections: client.connections.div_ceil(workers),
        udp_sessions: config.streams.udp_sessions.div_ceil(workers),
        trusted: config.real_ip.trusted.clone(),
        introductions: config.streams.introductions.clone(),
        manner: manner(config),
        ports: config.port_maps.clone(),
        access_log,
        grace: config.drain_grace_period,
    }
}

/// That of requests and that of streams. Streams have theirs if there are any; a file that both write has one writer.
fn open_access_logs(config: &Config) -> Result<(Option<AccessLog>, Option<AccessLog>), GatewayError> {
    let open = |log: &config::AccessLog| match log {
        config::AccessLog::Off => Ok(None),
        config::AccessLog::File(path) => AccessLog::open(path).map(Some),
    };
    let log = open(&config.access_log)?;
    let of_streams = if config.stream_listen.is_empty() {
        None
    } else if config.stream_access_log == config.access_log {
        log.clone()
    } else {
        open(&config.stream_access_log)?
    };
    Ok((log, of_streams))
}

fn proxy_settings(
    config: &Config,
    access_log: Option<AccessLog>,
    refusals: Arc<Refusals>,
    errors: Arc<ErrorWords>,
) -> proxy::Settings {
    proxy::Settings {
        uri_bytes: config.request_limits.uri.as_usize(),
        body_bytes: match config.request_limits.body.as_usize() {
            0 => u64::MAX,
            limit => limit as u64,
        },
        trusted: config.real_ip.trusted.clone(),
        naming: config.real_ip.naming.clone(),
        real_ip_recursive: config.real_ip.recursive,
        headers: config.answers.headers,
        tells_upstream: config.answers.tells_upstream,
        debugging: config.answers.debugging.clone(),
        errors,
        ports: config.port_maps.clone(),
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
