//! Every listening socket of the node, bound before anything else is built: mistakes show at the start, and a process that
//! takes over has the sockets of the one before.

use std::{fs, os::fd::OwnedFd, path::PathBuf};

use super::{GatewayError, system};
use crate::{
    config::{Address, Config, Listen},
    listener::{self, Bound, Entry, Inherited, Place, Probes},
};

/// The sockets.
pub(super) struct Sockets {
    /// Of each worker.
    pub(super) proxy: Vec<Vec<Bound>>,
    /// Of each worker.
    pub(super) stream: Vec<Vec<Bound>>,
    pub(super) admin: Vec<Bound>,
    pub(super) status: Vec<Bound>,
    pub(super) estate: Estate,
}

/// What the next process gets: every socket once more, under its name.
#[derive(Debug)]
pub(super) struct Estate {
    pub(super) heirlooms: Vec<(String, OwnedFd)>,
    files: Vec<PathBuf>,
}

impl Estate {
    /// Nobody takes over: sockets close with their owners, and leave nothing in the file system.
    pub(super) fn dissolve(self) {
        for file in self.files {
            if let Err(error) = fs::remove_file(&file) {
                tracing::debug!(%error, file = %file.display(), "a socket could not be removed");
            }
        }
    }
}

/// Binds what the settings say, or takes it from whoever held it before.
pub(super) fn bind(config: &Config, mut inherited: Inherited) -> Result<Sockets, GatewayError> {
    let mut of = |room: &str, listens: &[Listen], workers: usize| {
        let asked = |listen: &Listen| listen.client_certificate.unwrap_or(config.tls.client_certificate);
        let entries = listens.iter().map(|listen| Entry { client_certificate: asked(listen), ..entry(listen) });
        let entries: Vec<Entry> = entries.collect();
        listener::bind(room, &entries, workers, &mut inherited)
    };
    let proxy = of("proxy", &config.proxy_listen, config.workers.get())?;
    let stream = of("stream", &config.stream_listen, config.workers.get())?;
    let admin = of("admin", &config.admin_listen, 1)?.swap_remove(0);
    let status = of("status", &config.status_listen, 1)?.swap_remove(0);
    for place in inherited.rest() {
        tracing::warn!(place, "a socket was handed over, and no setting listens there: it is closed");
    }
    let all = || proxy.iter().chain(&stream).flatten().chain(&admin).chain(&status);
    let heirlooms = all().map(Bound::heirloom).collect::<Result<_, _>>().map_err(system("copies of the sockets"))?;
    let mut files: Vec<PathBuf> = all().filter_map(file).collect();
    files.dedup();
    Ok(Sockets { estate: Estate { heirlooms, files }, proxy, stream, admin, status })
}

fn entry(listen: &Listen) -> Entry {
    let place = match &listen.address {
        Address::Tcp(address) => Place::Tcp(*address),
        Address::Unix(path) => Place::Unix(path.clone()),
    };
    let probes =
        listen.probes.map(|probes| Probes { idle: probes.idle, interval: probes.interval, count: probes.count });
    Entry {
        tls: listen.tls,
        http2: listen.http2,
        shared: listen.reuseport,
        dual: listen.dual,
        probes,
        backlog: listen.backlog,
        proxied: listen.proxy_protocol,
        datagrams: listen.udp,
        ..Entry::new(place)
    }
}

fn file(bound: &Bound) -> Option<PathBuf> {
    match bound.place() {
        Place::Unix(path) => Some(path.clone()),
        Place::Tcp(_) => None,
    }
}
