//! What would become of a request, decided by the code that decides it for real ones, and said for operators.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, Method, Uri, Version};
use serde_json::{Map, Value, json};

use super::{Failure, begin, routing};
use crate::{
    plugin::{Plugin, Reach, Slot},
    router::{NormalPath, Parts, Query, Transport},
    snapshot::{RouteEntry, Snapshot},
};

/// Losers that are shown.
const MOST_LOSERS: usize = 50;
/// Configurations of one plugin for consumers that are shown.
const MOST_CONSUMERS: usize = 20;

/// A request that nobody sent.
#[derive(Debug, Clone)]
pub struct Supposed {
    /// Its method.
    pub method: Method,
    /// Path and what follows `?`.
    pub target: Uri,
    /// `Host` among them.
    pub headers: HeaderMap,
    /// The version of HTTP; `None`: one that the route takes.
    pub version: Option<Version>,
    /// Over TLS, the server name of the handshake.
    pub tls: Option<Option<String>>,
    /// The client.
    pub client: SocketAddr,
    /// The address it connects to.
    pub local: SocketAddr,
    /// Id or username of the consumer that plugins are supposed to find.
    pub consumer: Option<String>,
}

/// Says which route the request takes, why no other, what the gateway would refuse and which plugins would run.
pub fn explain(snapshot: &Snapshot, supposed: &Supposed) -> Value {
    let mut said = Map::new();
    said.insert("config_version".into(), snapshot.version.into());
    match decide(snapshot, supposed, &mut said) {
        Ok(()) => said.insert("refused".into(), Value::Null),
        Err(failure) => {
            let (status, message) = (failure.status().as_u16(), failure.message());
            let refused = json!({ "status": status, "code": failure.code(), "message": message });
            said.insert("refused".into(), refused)
        }
    };
    for field in ["route", "service", "matched", "upstream_path"] {
        said.entry(field).or_insert(Value::Null);
    }
    for field in ["losers", "plugins", "quarantined"] {
        said.entry(field).or_insert_with(|| json!([]));
    }
    Value::Object(said)
}

fn decide(snapshot: &Snapshot, supposed: &Supposed, said: &mut Map<String, Value>) -> Result<(), Failure> {
    let host = begin::host_in(&supposed.headers, supposed.version.unwrap_or(Version::HTTP_11))?;
    let path = NormalPath::parse(supposed.target.path())?;
    let path = path.as_str();
    said.insert("path".into(), path.into());
    let tls = supposed.tls.as_ref();
    let query = Query {
        method: &supposed.method,
        host: Some(host).filter(|host| !host.is_empty()),
        port: supposed.local.port(),
        path,
        headers: &supposed.headers,
        transport: tls.map_or(Transport::Plain, |sni| Transport::Tls { sni: sni.as_deref() }),
        arguments: supposed.target.query(),
        source: Some(supposed.client),
        destination: Some(supposed.local),
    };
    let found = snapshot.router.find(&query);
    let winner = found.as_ref().map(|found| found.value);
    say_losers(snapshot, winner, &query, said);
    let (Some(found), Some(entry)) = (found, winner) else {
        say_plugins(snapshot, snapshot.global.slots(), supposed, said);
        return Err(Failure::NoRoute);
    };
    said.insert("route".into(), named(&entry.facts.route_id, &entry.facts.route_name));
    if entry.service.is_some() {
        said.insert("service".into(), named(&entry.facts.service_id, &entry.facts.service_name));
    }
    let captures = found.named_captures().into_iter().map(|(name, text)| (name, text.into())).collect();
    said.insert("matched".into(), matched(&snapshot.router.parts(&entry.route.id, &query), entry, captures));
    let strips = found.prefix.filter(|_| entry.route.strip_path).map(str::len);
    said.insert("upstream_path".into(), routing::upstream(entry, path, strips).into());
    say_quarantined(snapshot, entry, said);
    let came = routing::Came {
        content_type: supposed.headers.get(http::header::CONTENT_TYPE),
        version: supposed.version.unwrap_or_else(|| version_for(entry)),
        is_tls: tls.is_some(),
        host,
        target: supposed.target.path_and_query().map_or("/", |target| target.as_str()),
    };
    // Where the way is refused, only the plugins of all requests see the answer.
    let admitted = routing::enforce(entry, &came);
    let chain = if admitted.is_ok() { &entry.chain } else { &snapshot.global };
    say_plugins(snapshot, chain.slots(), supposed, said);
    admitted
}

/// The version that clients of a route speak.
fn version_for(entry: &RouteEntry) -> Version {
    let is_grpc = entry.route.protocols.iter().any(|spoken| matches!(&**spoken, "grpc" | "grpcs"));
    if is_grpc { Version::HTTP_2 } else { Version::HTTP_11 }
}

fn named(id: &Option<Arc<str>>, name: &Option<Arc<str>>) -> Value {
    json!({ "id": id.as_deref(), "name": name.as_deref() })
}

fn matched(parts: &Parts, entry: &RouteEntry, captures: Map<String, Value>) -> Value {
    json!({
        "method": parts.method,
        "host": parts.host,
        "path": parts.path,
        "headers": parts.headers,
        "sni": parts.sni,
        "expression": parts.expression.as_deref(),
        "priority": parts.expression.as_ref().map(|_| entry.route.priority.unwrap_or(0)),
        "captures": captures,
    })
}

fn say_losers(snapshot: &Snapshot, winner: Option<&Arc<RouteEntry>>, query: &Query<'_>, said: &mut Map<String, Value>) {
    let winner = winner.map(|entry| &*entry.route.id);
    let (losers, total) = snapshot.router.losers(winner, query, MOST_LOSERS);
    let loser = |loser: &crate::router::Loser<'_, Arc<RouteEntry>>| {
        let facts = &loser.value.facts;
        json!({ "route": named(&facts.route_id, &facts.route_name), "reason": loser.reason.to_string() })
    };
    said.insert("losers".into(), losers.iter().map(loser).collect());
    said.insert("losers_total".into(), total.into());
}

/// Why parts of what the winner needs are not served.
fn say_quarantined(snapshot: &Snapshot, entry: &RouteEntry, said: &mut Map<String, Value>) {
    let own = [("routes", &entry.facts.route_id), ("services", &entry.facts.service_id)];
    let concerns = |one: &&crate::snapshot::Quarantined| {
        own.iter().any(|(collection, id)| one.collection == *collection && Some(&one.id) == id.as_ref())
    };
    let shown = |one: &crate::snapshot::Quarantined| json!({ "collection": one.collection, "id": &*one.id, "reason": one.reason });
    said.insert("quarantined".into(), snapshot.quarantined.iter().filter(concerns).map(shown).collect());
}

fn say_plugins(snapshot: &Snapshot, slots: &[Slot], supposed: &Supposed, said: &mut Map<String, Value>) {
    let consumer = supposed.consumer.as_ref().and_then(|name| snapshot.directory.consumer_named(name));
    let consumer = consumer.map(|entry| &*entry.consumer.id);
    // Each configuration is chosen when its turn comes, so plugins before the first that authenticates know no consumer.
    let mut known = None;
    let mut shown = Vec::with_capacity(slots.len());
    for slot in slots {
        shown.extend(plugin(slot, consumer, known));
        if slot.pick(known).is_some_and(|plugin| plugin.finds_consumers()) {
            known = consumer;
        }
    }
    said.insert("plugins".into(), shown.into());
}

/// One plugin of the chain: its configurations, the stronger first, and which of them this request gets. `known` is the
/// consumer at that moment.
fn plugin(slot: &Slot, consumer: Option<&str>, known: Option<&str>) -> Option<Value> {
    let reach = match slot.reach {
        Reach::Everywhere => "global",
        Reach::Service => "service",
        Reach::Route => "route",
    };
    let mut all: Vec<(&Arc<Plugin>, &str, Option<&str>)> = Vec::new();
    let of_consumer = |id: &str| consumer.is_none_or(|consumer| consumer == id);
    let narrow = slot.consumer_and_route.iter().filter(|(id, _)| of_consumer(id)).take(MOST_CONSUMERS);
    all.extend(narrow.map(|(id, plugin)| (plugin, "consumer and route or service", Some(&**id))));
    all.extend(slot.route_and_service.iter().map(|plugin| (plugin, "route and service", None)));
    let of_consumers = slot.consumer.iter().flat_map(|list| list.iter());
    let of_consumers = of_consumers.filter(|(id, _)| of_consumer(id)).take(MOST_CONSUMERS);
    all.extend(of_consumers.map(|(id, plugin)| (plugin, "consumer", Some(&**id))));
    all.extend(slot.broad.iter().map(|plugin| (plugin, reach, None)));
    let (name, chosen) = (&all.first()?.0.name, slot.pick(known));
    let configuration = |(plugin, from, consumer): &(&Arc<Plugin>, &str, Option<&str>)| {
        json!({
            "id": &*plugin.id,
            "from": from,
            "consumer": consumer,
            "runs": chosen.is_some_and(|chosen| chosen.id == plugin.id),
            "quarantined": plugin.quarantine().map(|reason| &**reason),
        })
    };
    Some(json!({ "name": &**name, "configurations": all.iter().map(configuration).collect::<Vec<_>>() }))
}
