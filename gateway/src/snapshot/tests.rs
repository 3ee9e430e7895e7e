//! Snapshots built change by change against those built at once.

mod cost;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Deployments, Snapshot, builder::Known, secrets::Secrets};
use crate::{
    model::{self, Object, Registry},
    plugin::{Chain, Credential, Plugin, Slot},
    router::{Query, Transport},
    store::{Change, Delta},
    vault::Vaults,
};

const CREDENTIALS: &str = "keys";
const HOSTS: [Option<&str>; 3] = [None, Some("a.test"), Some("b.test")];
const PATHS: [&str; 4] = ["/p0", "/p1", "/p2", "/p3/x"];

/// Entities by collection and id.
type Configuration = BTreeMap<(&'static str, String), Object>;

/// What an entity becomes: its collection, its number, and what it says; `None` where it goes.
type Step = (usize, usize, Option<usize>);

fn registry() -> Arc<Registry> {
    let manifest = json!({
        "name": "key-auth",
        "collections": [{
            "name": CREDENTIALS, "path": CREDENTIALS, "parent": "consumers", "unique_fields": ["key"],
            "schema": { "type": "object", "properties": { "key": { "type": "string" } } },
        }],
    });
    let mut registry = model::core_registry();
    model::declared_collections(&manifest).unwrap().into_iter().for_each(|collection| registry.add(collection));
    assert!(registry.get(CREDENTIALS).unwrap().endpoint_key.is_some());
    Arc::new(registry)
}

fn reference(prefix: char, number: usize, among: usize) -> Value {
    match number % (among + 1) {
        0 => Value::Null,
        number => json!({ "id": format!("{prefix}{}", number - 1) }),
    }
}

/// One of a small world, so that many refer to each other and change places. `turn` tells its forms apart.
fn entity(collection: usize, number: usize, turn: usize) -> (&'static str, String, Value) {
    let (name, prefix) = [
        ("services", 's'),
        ("routes", 'r'),
        ("upstreams", 'u'),
        ("targets", 't'),
        ("consumers", 'c'),
        (CREDENTIALS, 'k'),
        ("plugins", 'p'),
    ][collection];
    let id = format!("{prefix}{number}");
    let value = match name {
        "services" => json!({
            "id": id, "name": id, "protocol": if turn == 7 { "tcp" } else { "http" }, "host": format!("up-{}", turn % 4),
            "port": 80, "enabled": turn != 5,
        }),
        "routes" => json!({
            "id": id, "name": id, "protocols": ["http"], "paths": if turn == 6 { json!(["~/("]) } else { json!([PATHS[turn % 3], "~/p[0-9]/x"]) },
            "hosts": if turn.is_multiple_of(2) { Value::Null } else { json!(["a.test", "*.test"]) },
            "strip_path": true, "preserve_host": false, "https_redirect_status_code": 426, "request_buffering": true,
            "response_buffering": true, "created_at": 1, "service": reference('s', number + turn, 4),
        }),
        "upstreams" => {
            json!({ "id": id, "name": format!("up-{}", (number + turn) % 4), "algorithm": "round-robin", "slots": 10 })
        }
        "targets" => {
            json!({ "id": id, "target": format!("127.0.0.1:{}", 1000 + turn), "weight": turn, "upstream": { "id": format!("u{}", turn % 4) } })
        }
        "consumers" => json!({ "id": id, "username": format!("name-{number}-{turn}") }),
        // The key may be one that another has just given up.
        CREDENTIALS => {
            json!({ "id": id, "key": format!("key-{number}-{turn}"), "consumer": { "id": format!("c{}", turn % 4) }, "created_at": turn % 3 })
        }
        _ => plugin(&id, number, turn),
    };
    (name, id, value)
}

/// Two entities a name, whose scopes are never the same.
fn plugin(id: &str, number: usize, turn: usize) -> Value {
    let (route, service, consumer) = match (number % 2, turn % 4) {
        (0, 0) => (0, 0, 0),
        (0, 1) => (0, 1, 0),
        (0, 2) => (0, 2, 3),
        (0, _) => (3, 1, 0),
        (_, 0) => (2, 0, 0),
        (_, 1) => (0, 0, 2),
        (_, 2) => (1, 0, 1),
        (_, _) => (4, 3, 2),
    };
    json!({
        "id": id, "name": format!("plugin-{}", number / 2), "config": {}, "enabled": turn != 6, "protocols": ["http"],
        "route": reference('r', route, 4), "service": reference('s', service, 4), "consumer": reference('c', consumer, 4),
    })
}

fn change((collection, id): &(&'static str, String), entity: Option<&Object>) -> Change {
    Change { collection: (*collection).into(), id: id.as_str().into(), entity: entity.cloned() }
}

/// Applies steps to the configuration and says what they changed.
fn apply(configuration: &mut Configuration, steps: Vec<Step>) -> Vec<Change> {
    let mut keys = BTreeSet::new();
    for (collection, number, turn) in steps {
        let (name, id, value) = entity(collection, number, turn.unwrap_or_default());
        let upstream_name = value.get("name").filter(|_| name == "upstreams").cloned();
        let taken = |(key, other): (&(&str, String), &Object)| {
            key.0 == name && key.1 != id && other.get("name") == upstream_name.as_ref()
        };
        if upstream_name.is_some() && configuration.iter().any(taken) {
            continue;
        }
        match (turn, value) {
            (Some(_), Value::Object(object)) => drop(configuration.insert((name, id.clone()), object)),
            _ => drop(configuration.remove(&(name, id.clone()))),
        }
        keys.insert((name, id));
    }
    keys.iter().map(|key| change(key, configuration.get(key))).collect()
}

async fn take_over(known: &mut Known, delta: Delta, registry: &Arc<Registry>) -> Snapshot {
    let touched = known.state.apply(delta);
    let mut secrets = Secrets::new(Vaults::new(None, Duration::from_secs(60)));
    let affected = known.plugins.change(&known.state, &touched, &Deployments::default(), &mut secrets).await;
    known.compile(&touched, &affected, registry)
}

fn steps() -> impl Strategy<Value = Vec<(bool, Vec<Step>)>> {
    let step = (0..7_usize, 0..4_usize, prop::option::weighted(0.8, 0..8_usize));
    let first = prop::collection::vec(step.clone(), 20..60).prop_map(|steps| (false, steps));
    let later = (prop::bool::weighted(0.1), prop::collection::vec(step, 1..5));
    (first, prop::collection::vec(later, 1..12)).prop_map(|(first, later)| [vec![first], later].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_snapshot_changed_step_by_step_is_one_built_at_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (registry, mut known, mut configuration) = (registry(), Known::default(), Configuration::new());
        for (version, (full, steps)) in (1..).zip(steps) {
            let changes = apply(&mut configuration, steps);
            let everything: Vec<_> = configuration.iter().map(|(key, entity)| change(key, Some(entity))).collect();
            let changes = if full { everything.clone() } else { changes };
            let changed = runtime.block_on(take_over(&mut known, Delta { version, full, changes }, &registry));
            let whole = Delta { version, full: true, changes: everything };
            let whole = runtime.block_on(take_over(&mut Known::default(), whole, &registry));
            prop_assert_eq!(describe(&changed), describe(&whole));
        }
    }
}

/// All that a request can see of a snapshot.
fn describe(snapshot: &Snapshot) -> String {
    let mut text = format!("version {}\nglobal {}\n", snapshot.version, chain(&snapshot.global));
    for host in HOSTS {
        for path in PATHS {
            let (method, headers, transport) = (Method::GET, HeaderMap::new(), Transport::Plain);
            let query = Query {
                method: &method,
                host,
                port: 80,
                path,
                headers: &headers,
                transport,
                arguments: None,
                source: None,
                destination: None,
            };
            let found = snapshot.router.find(&query).map(|found| route(found.value));
            writeln!(text, "{host:?} {path}: {found:?}").unwrap();
        }
    }
    for number in 0..4 {
        let consumer = snapshot.directory.consumer(&format!("c{number}")).map(|entry| &entry.json);
        let owned: Vec<_> =
            snapshot.directory.owned(CREDENTIALS, &format!("c{number}")).iter().map(|it| key(it)).collect();
        writeln!(text, "c{number}: {consumer:?} has {owned:?}").unwrap();
        for turn in 0..8 {
            let named =
                snapshot.directory.consumer_named(&format!("name-{number}-{turn}")).map(|entry| &entry.consumer.id);
            let credential = snapshot.directory.credential(CREDENTIALS, &format!("key-{number}-{turn}"));
            writeln!(text, "{number} {turn}: {named:?} {:?}", credential.map(|it| key(it))).unwrap();
        }
    }
    let refused: BTreeSet<_> = snapshot.quarantined.iter().map(|it| (it.collection, &it.id, &it.reason)).collect();
    writeln!(text, "{refused:?} of {}", snapshot.quarantined.len()).unwrap();
    text
}

fn key(credential: &Credential) -> String {
    format!("{} of {:?}: {}", credential.id, credential.consumer, Value::Object(credential.data.clone()))
}

fn route(entry: &super::RouteEntry) -> String {
    let service = entry.service.as_ref().map(|entry| {
        let targets = entry.upstream.as_ref().map(|upstream| {
            let targets: Vec<_> = upstream.targets.iter().map(|it| format!("{}={}", it.port, it.weight)).collect();
            format!("{} {targets:?}", upstream.upstream.id)
        });
        format!("{} to {targets:?}, {}", entry.service.id, entry.json)
    });
    format!("{} {:?} {service:?} {}", entry.route.id, entry.facts.route_json, chain(&entry.chain))
}

fn chain(chain: &Chain) -> String {
    chain.slots().iter().map(slot).collect::<Vec<_>>().join(", ")
}

fn slot(slot: &Slot) -> String {
    let id = |plugin: &Arc<Plugin>| plugin.id.clone();
    let own: BTreeMap<_, _> = slot.consumer_and_route.iter().map(|(consumer, plugin)| (consumer, id(plugin))).collect();
    let of_consumer = slot.consumer.iter().flat_map(|plugins| plugins.iter());
    let of_consumer: BTreeMap<_, _> = of_consumer.map(|(consumer, plugin)| (consumer, id(plugin))).collect();
    let (narrow, broad) = (slot.route_and_service.as_ref().map(id), slot.broad.as_ref().map(id));
    format!("({own:?} {narrow:?} {of_consumer:?} {broad:?})")
}
