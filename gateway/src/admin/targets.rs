//! Targets of an upstream, and how they fare on this node: by its checks, and whether their names resolve.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    answer::Answer,
    call::Call,
    context::AddressFitness,
    entities::{page, page_object, present},
    failure::Failure,
    query,
    read::{Reader, children_of, id_of},
    resource::Nested,
};
use crate::model::{Healthchecks, Object, schema::Host};

type Result<T> = std::result::Result<T, Failure>;

/// How often a name is looked at that is being asked for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long that may take before it counts as failed.
const RESOLVE_LIMIT: Duration = Duration::from_secs(2);
/// The same for all names of an answer.
const RESOLVE_ALL_LIMIT: Duration = Duration::from_secs(8);

/// `GET /upstreams/{upstream}/targets`: newest first; offsets are numbers.
pub(super) async fn newest_first(call: &Call, nested: &Nested) -> Result<Answer> {
    let (size, begin) = (query::size(call)?, numeric_offset(call)?);
    let mut targets = of_upstream(call, nested).await?;
    targets.reverse();
    let total = targets.len();
    let data: Vec<Value> =
        targets.into_iter().skip(begin).take(size).map(|target| present(call, &nested.child, target)).collect();
    let end = begin.saturating_add(data.len());
    Ok(page(call, data, (end < total).then(|| json!([end])), &[]))
}

/// `GET /upstreams/{upstream}/targets/all`: as stored.
pub(super) async fn all(call: &Call, nested: &Nested) -> Result<Answer> {
    let data: Vec<Value> =
        of_upstream(call, nested).await?.into_iter().map(|target| present(call, &nested.child, target)).collect();
    Ok(page(call, data, None, &[]))
}

/// `GET /upstreams/{upstream}/health`: of the targets of a page, or of the balancer as a whole.
pub(super) async fn health(call: &Call, key: &str) -> Result<Answer> {
    let (size, begin) = (query::size(call)?, numeric_offset(call)?);
    let mut reader = Reader::Store(&*call.context.store);
    let upstreams = super::write::core_collection(&call.registry, "upstreams")?;
    let children = super::write::core_collection(&call.registry, "targets")?;
    let upstream = reader.find(&upstreams, key).await?.ok_or(Failure::NotFound)?;
    let reference = children.references.first().ok_or(Failure::NotFound)?;
    let mut targets = reader.all(&children, &children_of(reference, id_of(&upstream))).await?;
    sort_by_age(&mut targets);
    let node = &call.context.node.id;
    let fitness = Fitness::of(call, &upstream);
    if call.argument("balancer_health").is_some() {
        let data = balancer(&upstream, &resolve_all(&targets, &fitness).await, &fitness);
        return Ok(Answer::ok(json!({ "data": data, "next": null, "node_id": node })));
    }
    targets.reverse();
    let total = targets.len();
    let targets: Vec<Object> = targets.into_iter().skip(begin).take(size).collect();
    let end = begin.saturating_add(targets.len());
    let resolved = resolve_all(&targets, &fitness).await;
    let data: Vec<Value> =
        targets.into_iter().zip(&resolved).map(|(target, resolved)| fares(target, resolved)).collect();
    let mut body = page_object(call, data, (end < total).then(|| json!([end])), &[]);
    body.insert("node_id".into(), node.as_str().into());
    Ok(Answer::ok(body))
}

fn fares(mut target: Object, resolved: &Resolved) -> Value {
    target.insert("health".into(), resolved.health().into());
    let health = |is_up: bool| match (resolved.has_checks, is_up) {
        (false, _) => "HEALTHCHECKS_OFF".into(),
        (true, true) => "HEALTHY".into(),
        (true, false) => "UNHEALTHY".into(),
    };
    target.insert("data".into(), resolved.describe("health", health));
    Value::Object(target)
}

/// Looks every name up; when that takes too long together, the rest counts as not answered.
async fn resolve_all(targets: &[Object], fitness: &Fitness<'_>) -> Vec<Resolved> {
    let end = Instant::now() + RESOLVE_ALL_LIMIT;
    let mut resolved = Vec::with_capacity(targets.len());
    for target in targets {
        resolved.push(Resolved::of(target, fitness, end.min(Instant::now() + RESOLVE_LIMIT)).await);
    }
    resolved
}

fn numeric_offset(call: &Call) -> Result<usize> {
    let place = query::offset(call)?;
    let number = place.and_then(|place| place.get(0)?.as_u64());
    Ok(number.and_then(|number| usize::try_from(number).ok()).unwrap_or_default())
}

/// Oldest first.
async fn of_upstream(call: &Call, nested: &Nested) -> Result<Vec<Object>> {
    let mut reader = Reader::Store(&*call.context.store);
    let parent = reader.parent(nested).await?;
    let mut targets = reader.all(&nested.child, &children_of(&nested.reference, id_of(&parent))).await?;
    sort_by_age(&mut targets);
    Ok(targets)
}

fn sort_by_age(targets: &mut [Object]) {
    let created = |target: &Object| target.get("created_at").and_then(Value::as_f64).unwrap_or_default();
    targets.sort_by(|one, other| created(one).total_cmp(&created(other)).then_with(|| id_of(one).cmp(id_of(other))));
}

/// How the targets of an upstream fare, as its workers see them.
struct Fitness<'c> {
    call: &'c Call,
    upstream: &'c str,
    /// Without them nobody knows.
    has_checks: bool,
    threshold: f64,
}

impl<'c> Fitness<'c> {
    fn of(call: &'c Call, upstream: &'c Object) -> Self {
        let name = upstream.get("name").and_then(Value::as_str).unwrap_or_default();
        let checks = checks(upstream);
        Self { call, upstream: name, has_checks: checks.is_on(), threshold: checks.threshold }
    }

    /// The addresses of a target as its workers have them.
    fn now(&self, target: &str) -> Option<Vec<AddressFitness>> {
        self.call.context.fitness.of_target(self.upstream, target).map(|known| known.addresses)
    }

    /// The same of a name, which may only just be asked for.
    async fn settled(&self, target: &str, end: Instant) -> std::result::Result<Vec<AddressFitness>, String> {
        loop {
            let known = self.call.context.fitness.of_target(self.upstream, target).unwrap_or_default();
            if !known.addresses.is_empty() {
                return Ok(known.addresses);
            }
            if let Some(failure) = known.failure {
                return Err(failure);
            }
            if Instant::now() >= end {
                return Err("dns client error: timeout".to_owned());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Whether anything is found out about the targets of an upstream.
pub(super) fn has_checks(upstream: &Object) -> bool {
    checks(upstream).is_on()
}

fn checks(upstream: &Object) -> Healthchecks {
    let checks = upstream.get("healthchecks").cloned();
    checks.and_then(|checks| serde_json::from_value(checks).ok()).unwrap_or_default()
}

fn balancer(upstream: &Object, resolved: &[Resolved], fitness: &Fitness<'_>) -> Value {
    let total: u64 = resolved.iter().map(Resolved::total).sum();
    let available: u64 = resolved.iter().map(Resolved::available).sum();
    let healthy = available > 0 && available as f64 / total as f64 * 100.0 >= fitness.threshold;
    let state = if healthy { "HEALTHY" } else { "UNHEALTHY" };
    let hosts: Vec<Value> = resolved.iter().map(|target| target.describe("healthy", Value::Bool)).collect();
    json!({
        "id": id_of(upstream),
        "health": if fitness.has_checks { state } else { "HEALTHCHECKS_OFF" },
        "balancer_health": state,
        "details": {
            "healthy": healthy,
            "weight": { "total": total, "available": available, "unavailable": total - available },
            "hosts": hosts,
        },
    })
}

/// A target with its addresses.
struct Resolved {
    host: String,
    port: u16,
    weight: u64,
    addresses: std::result::Result<Vec<AddressFitness>, String>,
    has_checks: bool,
}

impl Resolved {
    async fn of(target: &Object, fitness: &Fitness<'_>, end: Instant) -> Self {
        let text = target.get("target").and_then(Value::as_str).unwrap_or_default();
        let weight = target.get("weight").and_then(Value::as_u64).unwrap_or_default();
        let has_checks = fitness.has_checks;
        let Some(host) = Host::parse(text) else {
            return Self {
                host: text.to_owned(),
                port: 0,
                weight,
                addresses: Err("invalid name".to_owned()),
                has_checks,
            };
        };
        let port = host.port.unwrap_or_default();
        let addresses = match host.address {
            // New ones are healthy, and served soon.
            Some(ip) => Ok(fitness.now(text).filter(|known| !known.is_empty()).unwrap_or_else(|| {
                let weight = u32::try_from(weight).unwrap_or(u32::MAX);
                vec![AddressFitness { address: SocketAddr::new(ip, port), weight, is_healthy: true, kind: "A" }]
            })),
            None => fitness.settled(text, end).await,
        };
        Self { host: host.name.to_owned(), port, weight, addresses, has_checks }
    }

    /// As Kong says it: one healthy address is enough.
    fn health(&self) -> &'static str {
        match &self.addresses {
            Err(_) => "DNS_ERROR",
            Ok(_) if !self.has_checks => "HEALTHCHECKS_OFF",
            Ok(addresses) if addresses.iter().any(|address| address.is_healthy) => "HEALTHY",
            Ok(_) => "UNHEALTHY",
        }
    }

    fn is_up(&self, address: &AddressFitness) -> bool {
        !self.has_checks || address.is_healthy
    }

    fn available(&self) -> u64 {
        self.weights(|address| self.is_up(address))
    }

    fn total(&self) -> u64 {
        self.weights(|_| true)
    }

    fn weights(&self, is_counted: impl Fn(&AddressFitness) -> bool) -> u64 {
        let counted = self.addresses.iter().flatten().filter(|address| is_counted(address));
        counted.map(|address| u64::from(address.weight)).sum()
    }

    fn describe(&self, mark: &str, shown: impl Fn(bool) -> Value) -> Value {
        let row = |address: &AddressFitness| {
            let (ip, port) = (address.address.ip().to_string(), address.address.port());
            let mut row = json!({ "ip": ip, "port": port, "weight": address.weight });
            row[mark] = shown(self.is_up(address));
            row
        };
        let (dns, addresses) = match &self.addresses {
            Ok(addresses) => {
                let kind = addresses.first().map_or("A", |address| address.kind);
                (kind, addresses.iter().map(row).collect::<Value>())
            }
            // An empty table of Kong's: an object, not an array.
            Err(reason) => (&**reason, json!({})),
        };
        let (total, available) = (self.total(), self.available());
        json!({
            "host": self.host, "port": self.port, "dns": dns, "nodeWeight": self.weight, "addresses": addresses,
            "weight": { "total": total, "available": available, "unavailable": total - available },
        })
    }
}
