//! Services and upstreams, ready to serve.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::HeaderValue;

use super::{
    Checks, Hashing, Quarantined, Ring, Security, ServiceEntry, TargetEntry, UpstreamEntry, Upstreams,
    ring::{Place, Recipe, Spot},
    state::Shown,
};
use crate::{balancer::Algorithm, dns::Dns, model};

/// Kong's defaults for what a service leaves open.
const TIMEOUT: u64 = 60_000;
const RETRIES: u32 = 5;

/// An upstream with its targets; the balancer goes on where the one before it was, and so do the checks.
pub(super) fn upstream(
    upstream: &model::Upstream,
    own: &[&model::Target],
    known: Option<&UpstreamEntry>,
    (dns, checked_over): (&Dns, Security),
) -> UpstreamEntry {
    let checks = Checks::of(&upstream.healthchecks);
    let targets: Vec<TargetEntry> = own.iter().filter_map(|target| target_entry(target)).collect();
    let algorithm = match &*upstream.algorithm {
        "consistent-hashing" => Algorithm::ConsistentHashing { slots: upstream.slots },
        "least-connections" => Algorithm::LeastConnections,
        "latency" => Algorithm::Latency,
        _ => Algorithm::RoundRobin,
    };
    let spot = |target: &TargetEntry| spot(&target.host, target.port, target.weight, dns);
    let recipe = Recipe { algorithm, spots: targets.iter().map(spot).collect(), uses_srv_name: upstream.use_srv_name };
    // Without checks nobody would ever say that an unhealthy target is well again.
    let fares = known.is_some_and(|known| known.checks.is_on && checks.is_on);
    let peers = known.map(|known| known.ring.peers());
    let ring = Ring::build(recipe, peers.as_deref(), fares);
    let hashing = matches!(algorithm, Algorithm::ConsistentHashing { .. }).then(|| Hashing::of(&upstream.hashing));
    UpstreamEntry { upstream: upstream.clone(), targets, ring, hashing, checks, checked_over }
}

fn spot(host: &str, port: u16, weight: u32, dns: &Dns) -> Spot {
    let place = match host.parse() {
        Ok(ip) => Place::At(SocketAddr::new(ip, port)),
        Err(_) => Place::Named(dns.name(host)),
    };
    Spot { place, port, weight }
}

/// The addresses of a host that is no upstream: each in turn.
fn plain_ring(host: &str, port: u16, dns: &Dns) -> Arc<Ring> {
    let spots = vec![spot(host, port, 100, dns)];
    Ring::build(Recipe { algorithm: Algorithm::RoundRobin, spots, uses_srv_name: false }, None, false)
}

fn target_entry(target: &model::Target) -> Option<TargetEntry> {
    let (host, port) = target.target.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host_header = HeaderValue::from_str(&target.target).ok()?;
    Some(TargetEntry { host: host.into(), port, weight: target.weight, host_header })
}

/// A service, with the upstream that its host names.
pub(super) fn service(
    shown: &Shown<model::Service>,
    (upstreams, dns): (&Upstreams, &Dns),
    secure: impl FnOnce(&model::Service, Option<&model::Upstream>) -> Security,
) -> Result<ServiceEntry, Quarantined> {
    let service = shown.entity.clone();
    let quarantine =
        |reason: &str| Quarantined { collection: "services", id: service.id.clone(), reason: reason.into() };
    let tls = matches!(&*service.protocol, "https" | "grpcs" | "tls");
    let host = service.host.trim_start_matches('[').trim_end_matches(']');
    let own_port = service.port == if tls { 443 } else { 80 };
    // An IPv6 address stands in brackets (RFC 3986 §3.2.2).
    let is_bare = service.host.contains(':') && !service.host.starts_with('[');
    let written = if is_bare { format!("[{host}]") } else { service.host.to_string() };
    let authority = if own_port { written } else { format!("{written}:{}", service.port) };
    let host_header =
        HeaderValue::from_str(&authority).map_err(|_| quarantine("its host cannot be sent as a header"))?;
    let time = |setting: Option<u64>| Duration::from_millis(setting.unwrap_or(TIMEOUT));
    let upstream = upstreams.get(&service.host).cloned();
    let of_upstream = upstream.as_ref().map(|entry| &entry.upstream);
    let address = host.parse().ok().map(|ip| SocketAddr::new(ip, service.port));
    let is_named = upstream.is_none() && address.is_none();
    Ok(ServiceEntry {
        http2: matches!(&*service.protocol, "grpc" | "grpcs"),
        tls: if tls { secure(&service, of_upstream) } else { Security::Clear },
        retries: service.retries.unwrap_or(RETRIES),
        connect_timeout: time(service.connect_timeout),
        write_timeout: time(service.write_timeout),
        read_timeout: time(service.read_timeout),
        upstream,
        host_header,
        ring: is_named.then(|| plain_ring(host, service.port, dns)),
        address,
        json: shown.json.clone(),
        service,
    })
}
