//! What a change costs, among few routes and among many.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::*;

/// A configuration of so many routes, each with a service of its own; a plugin each and an upstream for every tenth.
fn many(size: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut put = |collection: &'static str, value: Value| {
        let Value::Object(object) = value else { return };
        let id = object["id"].as_str().unwrap().to_owned();
        changes.push(change(&(collection, id), Some(&object)));
    };
    for at in 0..size {
        put(
            "services",
            json!({ "id": format!("s{at}"), "name": format!("s{at}"), "protocol": "http",
            "host": format!("up-{at}"), "port": 80, "enabled": true }),
        );
        put("routes", route_of(at, "/v"));
        if at.is_multiple_of(10) {
            let upstream = format!("u{at}");
            put(
                "upstreams",
                json!({ "id": upstream, "name": format!("up-{at}"), "algorithm": "round-robin", "slots": 10 }),
            );
            put(
                "targets",
                json!({ "id": format!("t{at}"), "target": "127.0.0.1:1", "weight": 1, "upstream": { "id": upstream } }),
            );
            put("consumers", json!({ "id": format!("c{at}"), "username": format!("c{at}") }));
        }
        if at < 10 {
            put(
                "plugins",
                json!({ "id": format!("p{at}"), "name": "p", "config": {}, "enabled": true, "protocols": ["http"],
                "route": { "id": format!("r{at}") } }),
            );
        }
    }
    changes
}

fn route_of(at: usize, path: &str) -> Value {
    json!({
        "id": format!("r{at}"), "name": format!("r{at}"), "protocols": ["http"], "paths": [format!("{path}{at}")],
        "hosts": [format!("h{}.test", at % 100)], "strip_path": true, "preserve_host": false,
        "https_redirect_status_code": 426, "request_buffering": true, "response_buffering": true, "created_at": 1,
        "service": { "id": format!("s{at}") },
    })
}

/// Processor time of this thread: what else the machine does is not in it.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// The least time that a change of each kind takes, and the least that dropping the snapshot before it takes.
fn costs(size: usize) -> BTreeMap<&'static str, (Duration, Duration)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (registry, mut known) = (registry(), Known::default());
    let whole = Delta { version: 1, full: true, changes: many(size) };
    let mut last = runtime.block_on(take_over(&mut known, whole, &registry));
    let mut costs = BTreeMap::new();
    for round in 0..20_usize {
        let at = (round * 7) % size;
        let turn = round % 2;
        let object = |value: Value| value.as_object().unwrap().clone();
        let kinds = [
            ("routes", format!("r{at}"), object(route_of(at, ["/v", "/w"][turn]))),
            (
                "services",
                format!("s{at}"),
                object(json!({ "id": format!("s{at}"), "name": format!("s{at}"),
                "protocol": "http", "host": format!("up-{at}"), "port": 80 + turn, "enabled": true })),
            ),
            (
                "targets",
                "t0".to_owned(),
                object(json!({ "id": "t0", "target": "127.0.0.1:1", "weight": 1 + turn,
                "upstream": { "id": "u0" } })),
            ),
            ("consumers", "c0".to_owned(), object(json!({ "id": "c0", "username": format!("c0-{turn}") }))),
            (
                "plugins",
                "p0".to_owned(),
                object(json!({ "id": "p0", "name": "p", "config": { "turn": turn }, "enabled": true,
                "protocols": ["http"], "route": { "id": "r0" } })),
            ),
        ];
        for (collection, id, entity) in kinds {
            let delta = Delta { version: 2, full: false, changes: vec![change(&(collection, id), Some(&entity))] };
            let began = spent();
            let next = runtime.block_on(take_over(&mut known, delta, &registry));
            let took = spent() - began;
            let began = spent();
            drop(std::mem::replace(&mut last, next));
            let dropped = spent() - began;
            let least = costs.entry(collection).or_insert((took, dropped));
            *least = (least.0.min(took), least.1.min(dropped));
        }
    }
    costs
}

#[test]
fn a_change_costs_about_as_much_among_many_routes_as_among_few() {
    let (few, many) = (costs(100), costs(10_000));
    for (kind, (took, dropped)) in &many {
        let (few_took, few_dropped) = few[kind];
        println!("{kind}: {few_took:?} and {few_dropped:?} among 100, {took:?} and {dropped:?} among 10,000");
        // Trees are higher and caches colder; to look through everything would be a hundred times.
        assert!(*took < few_took * 15, "{kind}: {few_took:?} among 100, {took:?} among 10,000");
        assert!(*dropped < few_dropped * 15 + Duration::from_micros(50), "{kind}: {few_dropped:?}, {dropped:?}");
    }
}
