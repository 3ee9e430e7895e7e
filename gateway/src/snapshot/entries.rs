//! Services and upstreams, ready to serve.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::HeaderValue;

use super::{
    Checks, Hashing, Quarantined, Security, ServiceEntry, TargetEntry, UpstreamEntry, Upstreams, state::Shown,
};
use crate::{
    balancer::{Address, Algorithm, Balancer, Health},
    model,
};

/// Kong's defaults for what a service leaves open.
const TIMEOUT: u64 = 60_000;
const RETRIES: u32 = 5;

/// An upstream with its targets; the balancer goes on where the one before it was, and so do the checks.
pub(super) fn upstream(
    upstream: &model::Upstream,
    own: &[&model::Target],
    known: Option<&UpstreamEntry>,
) -> UpstreamEntry {
    let checks = Checks::of(&upstream.healthchecks);
    // Without checks nobody would ever say that an unhealthy target is well again.
    let goes_on = known.filter(|known| known.checks.is_on && checks.is_on);
    let health = |host: &str, port| match goes_on.and_then(|known| known.health_of(host, port)) {
        Some(health) => health.clone(),
        None if known.is_some_and(|known| known.is_lacking(host, port)) => Arc::new(Health::joining()),
        None => Arc::default(),
    };
    let targets: Vec<TargetEntry> = own.iter().filter_map(|target| target_entry(target, health)).collect();
    let address = |target: &TargetEntry| Address {
        key: format!("{}:{}", target.host, target.port).into(),
        weight: target.weight,
    };
    let addresses: Vec<Address> = targets.iter().map(address).collect();
    let algorithm = match &*upstream.algorithm {
        "consistent-hashing" => Algorithm::ConsistentHashing { slots: upstream.slots },
        "least-connections" => Algorithm::LeastConnections,
        "latency" => Algorithm::Latency,
        _ => Algorithm::RoundRobin,
    };
    let balancer = match known {
        Some(known) => known.balancer.rebuild(algorithm, &addresses),
        None => Balancer::build(algorithm, &addresses),
    };
    let hashing = matches!(algorithm, Algorithm::ConsistentHashing { .. }).then(|| Hashing::of(&upstream.hashing));
    UpstreamEntry { upstream: upstream.clone(), targets, balancer, hashing, checks }
}

fn target_entry(target: &model::Target, health: impl Fn(&str, u16) -> Arc<Health>) -> Option<TargetEntry> {
    let (host, port) = target.target.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse().ok().map(|ip| SocketAddr::new(ip, port));
    let host_header = HeaderValue::from_str(&target.target).ok()?;
    let health = health(host, port);
    Some(TargetEntry { host: host.into(), port, weight: target.weight, address, host_header, health })
}

/// A service, with the upstream that its host names.
pub(super) fn service(
    shown: &Shown<model::Service>,
    upstreams: &Upstreams,
    secure: impl FnOnce(&model::Service, Option<&model::Upstream>) -> Security,
) -> Result<ServiceEntry, Quarantined> {
    let service = shown.entity.clone();
    let quarantine =
        |reason: &str| Quarantined { collection: "services", id: service.id.clone(), reason: reason.into() };
    let tls = matches!(&*service.protocol, "https" | "grpcs");
    if !tls && !matches!(&*service.protocol, "http" | "grpc") {
        return Err(quarantine("its protocol is served by stream routes only"));
    }
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
    Ok(ServiceEntry {
        http2: matches!(&*service.protocol, "grpc" | "grpcs"),
        tls: if tls { secure(&service, of_upstream) } else { Security::Clear },
        retries: service.retries.unwrap_or(RETRIES),
        connect_timeout: time(service.connect_timeout),
        write_timeout: time(service.write_timeout),
        read_timeout: time(service.read_timeout),
        upstream,
        host_header,
        address: host.parse().ok().map(|ip| SocketAddr::new(ip, service.port)),
        json: shown.json.clone(),
        service,
    })
}
