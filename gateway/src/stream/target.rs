//! Which target gets a stream, and the way to it: another one is asked while nothing of the stream has been sent.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use super::{Failure, Streams, address_bytes};
use crate::{
    balancer::{InFlight, Report, stable_hash},
    config::ProxyVersion,
    listener::proxy_protocol::Version,
    snapshot::{Balanced, Chosen, HashInput, NoChoice, Security, ServiceEntry, Tried, UpstreamEntry},
    upstream::{PoolKey, Protocol, SendError, Timeouts, TlsIdentity, Tunnel},
};

/// A connection to a target.
pub(super) struct Reached {
    pub(super) tunnel: Tunnel,
    pub(super) address: SocketAddr,
    /// The target counts as busy until this is dropped.
    pub(super) _in_flight: Option<InFlight>,
}

/// Whom to ask.
pub(super) struct Picked {
    pub(super) address: SocketAddr,
    /// Its name, for TLS.
    host: Arc<str>,
    balanced: Option<(Arc<UpstreamEntry>, Balanced)>,
}

/// Connects to a target of a service, and to another one if the first cannot be reached. `first` is said to it before
/// anything else.
pub(super) async fn reach(
    streams: &Streams,
    service: &ServiceEntry,
    client: SocketAddr,
    first: &[u8],
) -> Result<Reached, Failure> {
    let mut tried = Tried::new();
    let mut left = service.retries;
    loop {
        let error = match attempt(streams, service, (client, &mut tried), first).await {
            Err(Failure::Target(error)) => error,
            ended => return ended,
        };
        if left == 0 {
            return Err(error.into());
        }
        left -= 1;
        tracing::debug!(%client, error = &error as &dyn std::error::Error, "trying again");
    }
}

async fn attempt(
    streams: &Streams,
    service: &ServiceEntry,
    (client, tried): (SocketAddr, &mut Tried),
    first: &[u8],
) -> Result<Reached, Failure> {
    let picked = pick(streams, service, client, tried).await?;
    let key = PoolKey { address: picked.address, tls: identity(service, &picked)?, protocol: Protocol::Any };
    let timeouts =
        Timeouts { connect: service.connect_timeout, write: service.write_timeout, read: service.read_timeout };
    let since = Instant::now();
    let opened = streams.upstream.open(&key, &timeouts, first).await;
    picked.report(streams, opened.as_ref().err().map_or(Report::Success, report_of), since);
    let Picked { address, balanced, .. } = picked;
    Ok(Reached { tunnel: opened?, address, _in_flight: balanced.map(|(_, balanced)| balanced.in_flight) })
}

/// Chooses a target that was not tried yet, and finds its address.
pub(super) async fn pick(
    streams: &Streams,
    service: &ServiceEntry,
    client: SocketAddr,
    tried: &mut Tried,
) -> Result<Picked, Failure> {
    let settings = streams.settings();
    let manner = &settings.manner;
    let hash = service.upstream.as_deref().and_then(|upstream| hash(upstream, client));
    let chosen = match service.choose(tried, hash, manner) {
        Err(NoChoice::Pending) => service.choose_late(tried, hash, manner).await,
        chosen => chosen,
    };
    let Chosen { address, balanced, .. } = chosen?;
    let Some((upstream, balanced)) = service.upstream.as_ref().zip(balanced) else {
        return Ok(Picked { address, host: service.service.host.clone(), balanced: None });
    };
    let own = || upstream.targets[balanced.target].host.clone();
    let host = upstream.upstream.host_header.clone().unwrap_or_else(own);
    Ok(Picked { address, host, balanced: Some((upstream.clone(), balanced)) })
}

impl Picked {
    /// Tells the balancer and the passive checks how the attempt went.
    pub(super) fn report(&self, streams: &Streams, report: Report, since: Instant) {
        let Some((upstream, balanced)) = &self.balanced else { return };
        let is_well = report == Report::Success;
        match is_well {
            true => balanced.in_flight.answered(since.elapsed()),
            false => balanced.in_flight.failed(),
        }
        // Outliers are known by their statuses; a stream that was taken is as good as any.
        upstream.report(balanced, Some(report), is_well.then_some(200), &streams.settings().manner);
    }
}

fn report_of(error: &SendError) -> Report {
    match error {
        SendError::ConnectTimeout(..) | SendError::WriteTimeout(..) | SendError::ReadTimeout(..) => Report::Timeout,
        SendError::Connect(..)
        | SendError::Broken { .. }
        | SendError::Invalid(..)
        | SendError::Ambiguous(..)
        | SendError::Upload(_) => Report::TcpFailure,
    }
}

/// Of what a request has, a stream has the client's address alone.
fn hash(upstream: &UpstreamEntry, client: SocketAddr) -> Option<u64> {
    let hashing = upstream.hashing.as_ref()?;
    let goes_by_address = [&hashing.on, &hashing.fallback].contains(&&HashInput::Ip);
    goes_by_address.then(|| stable_hash(&address_bytes(client.ip())))
}

fn identity(service: &ServiceEntry, picked: &Picked) -> Result<Option<TlsIdentity>, Failure> {
    match &service.tls {
        Security::Clear => Ok(None),
        Security::Unfit(reason) => Err(Failure::NoTls(reason.clone())),
        Security::Tls(settings) => Ok(Some(TlsIdentity::of(without_port(&picked.host), picked.address, settings))),
    }
}

/// The host of `host:port`.
fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => text,
    }
}

pub(super) fn version(version: ProxyVersion) -> Version {
    match version {
        ProxyVersion::V1 => Version::V1,
        ProxyVersion::V2 => Version::V2,
    }
}
