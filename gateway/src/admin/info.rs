//! Who this node is and how it fares: `/`, `/status`, `/endpoints`, and the Status API.

use std::{collections::BTreeSet, sync::Arc, time::UNIX_EPOCH};

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    answer::Answer,
    call::Call,
    context::{Quarantined, Status},
    failure::{Failure, message},
    read::Reader,
    write::core_collection,
};
use crate::{
    model::{Collection, Object, Registry},
    store::Filter,
};

type Result<T> = std::result::Result<T, Failure>;

/// The version of Kong whose interfaces these are; clients parse it.
const COMPATIBLE_WITH: &str = "3.9.1";

/// `GET /`
pub(super) async fn root(call: &Call) -> Result<Answer> {
    let context = &call.context;
    let (node, mut available, mut loaded) = (&context.node, Object::new(), Object::new());
    for name in sorted(context.plugins.names()) {
        if let Some(info) = context.plugins.schema(&name) {
            let shown = json!({ "version": &*info.version, "priority": info.priority });
            available.insert(name.to_string(), shown);
            loaded.insert(name.to_string(), true.into());
        }
    }
    let mut configuration = node.configuration.clone();
    configuration.insert("loaded_plugins".into(), Value::Object(loaded));
    Ok(Answer::ok(json!({
        "tagline": "Welcome to sandgate",
        "version": COMPATIBLE_WITH,
        "edition": "community",
        "hostname": node.hostname,
        "node_id": node.id,
        "pids": { "master": std::process::id(), "workers": [std::process::id()] },
        "timers": { "running": 0, "pending": 0 },
        "sandgate": own(&node.version, &(context.status)()),
        "plugins": { "available_on_server": available, "enabled_in_cluster": enabled(call).await? },
        "configuration": configuration,
    })))
}

/// What Kong has no words for: the configuration that this node serves, and what of it it cannot.
fn own(version: &str, status: &Status) -> Value {
    let entity = |quarantined: &Quarantined| {
        json!({
            "collection": quarantined.collection,
            "id": &*quarantined.id,
            "reason": quarantined.reason,
        })
    };
    let quarantined: Vec<Value> = status.quarantined.iter().map(entity).collect();
    json!({ "version": version, "config_version": status.config_version, "quarantined": quarantined })
}

/// Names of plugins that have a configuration.
async fn enabled(call: &Call) -> Result<BTreeSet<String>> {
    let plugins = core_collection(&call.registry, "plugins")?;
    let all = Reader::Store(&*call.context.store).all(&plugins, &Filter::default()).await?;
    Ok(all.iter().filter_map(|plugin| plugin.get("name")?.as_str().map(str::to_owned)).collect())
}

/// `GET /plugins/enabled`
pub(super) fn enabled_plugins(call: &Call) -> Answer {
    Answer::ok(json!({ "enabled_plugins": sorted(call.context.plugins.names()) }))
}

/// `GET /status`
pub(super) async fn status(call: &Call) -> Result<Answer> {
    let size = Size::of(call)?;
    let reachable = call.context.store.version().await.is_ok();
    let away = call.context.store.unreachable_since();
    let since = away.and_then(|since| Some(since.duration_since(UNIX_EPOCH).ok()?.as_secs()));
    let now = (call.context.status)();
    let mut shown = json!({
        "server": {
            "connections_accepted": now.connections_accepted,
            "connections_active": now.connections_active,
            "connections_handled": now.connections_accepted,
            "connections_reading": 0,
            "connections_writing": now.connections_active.saturating_sub(now.connections_waiting),
            "connections_waiting": now.connections_waiting,
            "total_requests": now.total_requests,
        },
        "memory": { "resident": size.show(now.resident_bytes) },
    });
    match &call.context.declarative {
        Some(declarative) => shown["configuration_hash"] = (*declarative.hash()).into(),
        None => {
            shown["database"] = json!({ "reachable": reachable && away.is_none() });
            // Nothing of ours is beside Kong's members as long as there is nothing to tell.
            if let Some(since) = since {
                shown["sandgate"] = json!({ "database": { "unreachable_since": since } });
            }
        }
    }
    Ok(Answer::ok(shown))
}

/// How sizes are shown: the arguments `unit` and `scale` of `/status`.
enum Size {
    Bytes,
    Unit(&'static str, f64, usize),
}

impl Size {
    fn of(call: &Call) -> Result<Self> {
        let scale = match call.argument("scale").map(str::parse::<i64>) {
            Some(Ok(scale)) => usize::try_from(scale)
                .map_err(|_| Failure::Bad("scale must be equal or greater than 0".to_owned()))?
                .min(MOST_DIGITS),
            _ => 2,
        };
        Ok(match call.argument("unit").unwrap_or("m") {
            "b" | "B" => Self::Bytes,
            "k" | "K" => Self::Unit("KiB", 1024.0, scale),
            "m" | "M" => Self::Unit("MiB", 1_048_576.0, scale),
            "g" | "G" => Self::Unit("GiB", 1_073_741_824.0, scale),
            other => return Err(Failure::Bad(format!("invalid unit '{other}' (expected 'k/K', 'm/M', or 'g/G')"))),
        })
    }

    fn show(&self, bytes: u64) -> Value {
        match self {
            Self::Bytes => bytes.into(),
            Self::Unit(name, factor, scale) => format!("{:.scale$} {name}", bytes as f64 / factor).into(),
        }
    }
}

/// Digits behind the point.
const MOST_DIGITS: usize = 20;

/// `GET /status/ready`
pub(super) fn ready(call: &Call) -> Answer {
    match (call.context.status)().unready {
        None => message(StatusCode::OK, "ready"),
        Some(reason) => message(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

/// `GET /metrics`
pub(super) fn metrics(call: &Call) -> Answer {
    Answer::bytes("text/plain; charset=UTF-8", (call.context.metrics)().into_bytes())
}

/// `GET /endpoints`
pub(super) fn endpoints(call: &Call) -> Answer {
    Answer::ok(json!({ "data": paths(&call.registry) }))
}

/// Every path there is, with names in braces for what varies.
pub(super) fn paths(registry: &Registry) -> BTreeSet<String> {
    let mut paths: BTreeSet<String> = FIXED.iter().map(|path| (*path).to_owned()).collect();
    for collection in registry.iter().filter(|collection| &*collection.name != "modules") {
        let one = one(collection);
        paths.extend([format!("/{}", collection.path), one.clone()]);
        paths.extend(collection.references.iter().map(|reference| format!("{one}/{}", reference.field)));
        for (child, reference) in registry.children(&collection.name) {
            if let Some(nested) = &reference.nested_path {
                paths.extend([format!("{one}/{nested}"), format!("{one}/{nested}/{{{}}}", child.name)]);
            }
        }
    }
    paths
}

fn one(collection: &Arc<Collection>) -> String {
    format!("/{}/{{{}}}", collection.path, collection.name)
}

fn sorted(mut names: Vec<Arc<str>>) -> Vec<Arc<str>> {
    names.sort();
    names
}

const FIXED: &[&str] = &[
    "/",
    "/admin-access",
    "/admin-certificates",
    "/admin-certificates/{admin_certificates}",
    "/admin-roles",
    "/admin-roles/{admin_roles}",
    "/admin-tokens",
    "/admin-tokens/{admin_tokens}",
    "/audit",
    "/cache",
    "/cache/{key}",
    "/cluster",
    "/clustering/data-planes",
    "/clustering/status",
    "/config",
    "/config/versions",
    "/config/versions/{version}",
    "/config/versions/{version}/diff/{to}",
    "/config/versions/{version}/rollback",
    "/debug/cluster/log-level/{log_level}",
    "/debug/node/log-level",
    "/debug/node/log-level/{log_level}",
    "/endpoints",
    "/filter-chains",
    "/filter-chains/{filter_chains}",
    "/filter-chains/{filter_chains}/route",
    "/filter-chains/{filter_chains}/service",
    "/metrics",
    "/modules",
    "/modules/{modules}",
    "/modules/{modules}/code",
    "/openapi.json",
    "/plugins/enabled",
    "/plugins/schema/{name}",
    "/routes/explain",
    "/routes/{routes}/filter-chains",
    "/routes/{routes}/filter-chains/{filter_chains}",
    "/routes/{routes}/filters/all",
    "/routes/{routes}/filters/disabled",
    "/routes/{routes}/filters/enabled",
    "/schemas/filters/{name}",
    "/schemas/plugins/validate",
    "/schemas/plugins/{name}",
    "/schemas/vaults/validate",
    "/schemas/vaults/{name}",
    "/schemas/{db_entity_name}/validate",
    "/schemas/{name}",
    "/services/{services}/filter-chains",
    "/services/{services}/filter-chains/{filter_chains}",
    "/status",
    "/status/dns",
    "/tags",
    "/tags/{tags}",
    "/timers",
    "/transactions",
    "/upstreams/{upstreams}/health",
    "/upstreams/{upstreams}/targets/all",
    "/upstreams/{upstreams}/targets/{targets}/healthy",
    "/upstreams/{upstreams}/targets/{targets}/unhealthy",
    "/upstreams/{upstreams}/targets/{targets}/{address}/healthy",
    "/upstreams/{upstreams}/targets/{targets}/{address}/unhealthy",
];
