//! Who this node is and how it fares, for the Admin and Status APIs.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use serde_json::{Value, json};

use super::{
    Rooms, apis, database, explainer, fitness,
    workers::{Addresses, Tally, shown, total},
};
use crate::{
    admin::{Context, Node, Quarantined, Status},
    config::{Config, Database, Listen},
    listener::{Counters, HandshakeFailure, Handshakes, Refusal},
    model::Object,
    snapshot::{self, Snapshot},
    stream::{self, End},
    telemetry::{Definition, Metrics, StreamTraffic, Traffic, metric},
};

/// The doors of the Admin API.
pub(super) fn context(
    config: &Config,
    rooms: &Rooms,
    addresses: &Addresses,
    tally: Tally,
    metrics: &Arc<Metrics>,
) -> Context {
    let notify = rooms.published.changed.clone();
    let metrics = metrics.clone();
    let (published, deployments, node_id) = (rooms.published.clone(), rooms.deployments.clone(), rooms.node_id.clone());
    let (counted, counters, served) = (tally.clone(), tally.connections, rooms.published.clone());
    let store = rooms.store.clone();
    let text = move || {
        let snapshot = published.current.load();
        let gauge = |definition: &Definition, labels: &[(&str, &str)], value| {
            if let Ok(gauge) = metrics.gauge(definition, labels) {
                gauge.set(value);
            }
        };
        gauge(&metric::SNAPSHOT_VERSION, &[], snapshot.version as f64);
        gauge(&metric::DATASTORE_REACHABLE, &[], f64::from(u8::from(store.unreachable_since().is_none())));
        gauge(&metric::QUARANTINED, &[], snapshot.quarantined.len() as f64);
        for deployment in deployments.all() {
            let open = deployment.health.report().open_for.is_some();
            gauge(&metric::PLUGIN_CIRCUIT_OPEN, &[("plugin", &deployment.name)], f64::from(u8::from(open)));
        }
        let mut text = metrics.render(&node_id, traffic(&counted));
        fitness::render(&mut text, &snapshot);
        text
    };
    Context {
        store: rooms.store.clone(),
        registry: rooms.registry.clone(),
        plugins: rooms.desk.clone(),
        modules: rooms.desk.clone(),
        explain: {
            let published = rooms.published.clone();
            Arc::new(move |asked| explainer::explain(&published, asked))
        },
        declarative: rooms.declarative.clone(),
        access: rooms.access.clone(),
        limits: apis::limits(config),
        node: Arc::new(node(config, rooms, addresses)),
        status: Arc::new(move || status(&counters, &served.current.load())),
        metrics: Arc::new(text),
        notify: Arc::new(move |_version| notify.notify_one()),
        served: rooms.published.served.subscribe(),
        live: rooms.reporter.live(),
        fitness: rooms.marks.fitness.clone(),
        marks: rooms.marks.announcer.clone(),
        refusals: rooms.refusals.clone(),
        tasks: rooms.controls.tasks(),
        controls: rooms.controls.clone(),
    }
}

fn node(config: &Config, rooms: &Rooms, addresses: &Addresses) -> Node {
    let of = |tls| config.proxy_listen.iter().filter(move |listen| listen.tls == tls);
    let [plain, tls] = [(&addresses.plain, of(false)), (&addresses.tls, of(true))]
        .map(|(addresses, listens)| addresses.iter().zip(listens).map(|(address, listen)| shown(address, listen)));
    let proxy: Vec<Value> = plain.chain(tls).collect();
    let listed = |listen: &[Listen]| listen.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut configuration = json!({
        "database": if config.database == Database::Off { "off" } else { "postgres" },
        "role": "traditional",
        "router_flavor": config.router_flavor.as_str(),
        "admin_listen": listed(&config.admin_listen),
        "status_listen": listed(&config.status_listen),
        "proxy_listen": listed(&config.proxy_listen),
        "stream_listen": listed(&config.stream_listen),
        "proxy_listeners": proxy,
        "admin_listeners": config.admin_listen.iter().map(|listen| shown(&listen.address.to_string(), listen)).collect::<Vec<_>>(),
    });
    if let Some(configuration) = configuration.as_object_mut() {
        configuration.extend(database::shown(&config.database));
    }
    Node {
        id: rooms.node_id.clone(),
        hostname: hostname(),
        headers: config.answers.headers,
        version: env!("CARGO_PKG_VERSION").into(),
        configuration: match configuration {
            Value::Object(configuration) => configuration,
            _ => Object::new(),
        },
    }
}

fn traffic(tally: &Tally) -> Traffic {
    let (counters, streams) = (&tally.connections, &tally.streams);
    let of_streams = |read: &dyn Fn(&stream::Counters) -> u64| streams.iter().map(|one| read(one)).sum::<u64>();
    let refused = |refusal: Refusal| {
        let read = |counters: &Counters| counters.refused[refusal as usize].load(Relaxed);
        total(counters, read) + of_streams(&|one| read(&one.listener))
    };
    let failed = |failure: HandshakeFailure| total(counters, |counters| counters.handshakes.failed(failure));
    let done = |kind: usize| total(counters, |counters| counters.handshakes.done(kind));
    let kinds = Handshakes::KINDS.iter().enumerate();
    Traffic {
        handshakes: kinds.map(|(kind, (version, resumed))| (*version, *resumed, done(kind))).collect(),
        nameless: total(counters, |counters| counters.handshakes.nameless()),
        handshake_failures: HandshakeFailure::ALL.iter().map(|failure| (failure.code(), failed(*failure))).collect(),
        refused: Refusal::ALL.iter().map(|refusal| (refusal.code(), refused(*refusal))).collect(),
        refused_requests: tally.refusals.counts(),
        accepted: total(counters, |counters| counters.accepted.load(Relaxed)),
        handled: total(counters, |counters| counters.handled.load(Relaxed)),
        active: total(counters, Counters::active),
        requests: total(counters, |counters| counters.requests.load(Relaxed)),
        streams: StreamTraffic {
            accepted: of_streams(&|one| one.listener.accepted.load(Relaxed)),
            handled: of_streams(&|one| one.listener.handled.load(Relaxed)),
            active: of_streams(&|one| one.listener.active()),
            ended: End::ALL.iter().map(|end| (end.code(), of_streams(&|one| one.count(*end)))).collect(),
            to_targets: of_streams(&|one| one.to_targets.load(Relaxed)),
            to_clients: of_streams(&|one| one.to_clients.load(Relaxed)),
        },
    }
}

fn status(counters: &[Arc<Counters>], snapshot: &Snapshot) -> Status {
    let entity = |quarantined: &snapshot::Quarantined| Quarantined {
        collection: quarantined.collection,
        id: quarantined.id.clone(),
        reason: quarantined.reason.clone(),
    };
    Status {
        unready: None,
        config_version: snapshot.version,
        quarantined: snapshot.quarantined.iter().map(entity).collect(),
        connections_accepted: total(counters, |counters| counters.accepted.load(Relaxed)),
        connections_active: total(counters, Counters::active),
        connections_waiting: 0,
        total_requests: total(counters, |counters| counters.requests.load(Relaxed)),
        resident_bytes: resident_bytes(),
    }
}

/// The identity of this node: a UUID that its data directory keeps.
pub(super) fn id(data_dir: &Path) -> io::Result<String> {
    let file = data_dir.join("node_id");
    let known = match fs::read_to_string(&file) {
        Ok(text) => uuid::Uuid::parse_str(text.trim()).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(known) = known {
        return Ok(known.to_string());
    }
    // Written aside and moved, so that a crash leaves no half of it.
    let (id, aside) = (uuid::Uuid::new_v4().to_string(), data_dir.join("node_id.new"));
    let mut options = fs::OpenOptions::new();
    let mut written = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    writeln!(written, "{id}")?;
    written.sync_all()?;
    fs::rename(&aside, &file)?;
    Ok(id)
}

/// Name of the machine.
pub(super) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
