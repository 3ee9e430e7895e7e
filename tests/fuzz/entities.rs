//! Entities as clients send them, and whole files of them.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use sandgate::{
    model::{
        Object, PluginInfo, Registry, core_registry, core_registry_of,
        declarative::{self, Dialect, Syntax, World},
        json,
    },
    router::Flavor,
};
use serde_json::{Value, json};

use crate::harness::{Numbers, Target, made};

const ID: &str = "0c61e164-6171-4837-8836-8f5298726d53";

/// One or more valid entities of each collection, by its name.
static VALID: LazyLock<Vec<(&'static str, Value)>> = LazyLock::new(|| {
    vec![
        (
            "services",
            json!({"name": "s", "url": "https://h.test:81/p", "retries": 3, "tags": ["a", "b"], "tls_verify": true}),
        ),
        (
            "services",
            json!({"id": ID, "host": "h", "port": 80, "protocol": "https", "ca_certificates": [ID], "enabled": false}),
        ),
        (
            "routes",
            json!({"name": "r", "paths": ["/a", "~/b/(?<c>x)$"], "hosts": ["*.a.test:80", "b.*"], "methods": ["GET"],
            "headers": {"x-a": ["1", "~*b"]}, "snis": ["a.test"], "protocols": ["https"], "service": {"id": ID}}),
        ),
        (
            "routes",
            json!({"protocols": ["tcp", "tls"], "sources": [{"ip": "10.0.0.0/8", "port": 1}], "destinations": [{"port": 2}]}),
        ),
        (
            "routes",
            json!({"protocols": ["grpc"], "hosts": ["g"], "regex_priority": 7, "path_handling": "v1", "preserve_host": true}),
        ),
        ("routes", json!({"expression": "http.path ^= \"/a\" && net.port == 80", "priority": 5})),
        ("consumers", json!({"username": "bob", "custom_id": "ä", "tags": []})),
        (
            "plugins",
            json!({"name": "p", "config": {"a": {"b": [1, 2.5, "x"]}}, "route": {"id": ID}, "enabled": false,
            "protocols": ["http"], "instance_name": "one"}),
        ),
        (
            "upstreams",
            json!({"name": "u", "algorithm": "consistent-hashing", "hash_on": "header", "hash_on_header": "x",
            "hash_fallback": "ip", "slots": 100, "healthchecks": {"active": {"type": "https", "healthy": {"interval": 1.5,
            "http_statuses": [200]}, "headers": {"x": ["y"]}}, "threshold": 50}}),
        ),
        ("targets", json!({"target": "10.0.0.1:80", "weight": 10, "upstream": {"id": ID}})),
        ("targets", json!({"target": "[::1]", "upstream": {"id": ID}})),
        ("vaults", json!({"name": "env", "prefix": "my-env", "description": "d", "config": {"prefix": "P_"}})),
        ("key_sets", json!({"name": "ks"})),
        (
            "keys",
            json!({"name": "k", "kid": "1", "jwk": "{\"kid\":\"1\",\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", "set": {"id": ID}}),
        ),
        ("snis", json!({"name": "*.a.test", "certificate": {"id": ID}})),
        ("certificates", json!({"cert": "{vault://env/cert}", "key": "{vault://env/key}", "snis": ["a.test"]})),
        (
            "modules",
            json!({"name": "m", "version": "1.0.0", "digest": "00", "source": "upload", "size": 1, "manifest": {}}),
        ),
    ]
});

/// What may come in the place of anything.
fn any_value(numbers: &mut Numbers) -> Value {
    match numbers.below(12) {
        0 => Value::Null,
        1 => json!(numbers.one_in(2)),
        2 => json!(*numbers.of_list(&[0_i64, -1, 1, 65_536, i64::MAX, i64::MIN, 200])),
        3 => json!(*numbers.of_list(&[0.5, -0.0, 1e308, 2.0, 9_007_199_254_740_993.0])),
        4 => json!([]),
        5 => json!({}),
        6 => json!([any_text(numbers), any_text(numbers)]),
        7 => json!({ any_text(numbers): any_text(numbers) }),
        8 => json!({ "id": any_text(numbers) }),
        9 => json!([{ "ip": any_text(numbers), "port": numbers.below(70_000) }]),
        _ => json!(any_text(numbers)),
    }
}

fn any_text(numbers: &mut Numbers) -> String {
    let corpus: &[&[u8]] = &[
        b"",
        b"a",
        b"/a/b",
        b"~/a(b)?$",
        b"*.a.test",
        b"10.0.0.0/8",
        b"::1",
        b"http",
        b"tcp",
        ID.as_bytes(),
        b"GET",
        b"https://h:80/p?q",
        b"{vault://env/a}",
        "\u{e4}\u{1F600}".as_bytes(),
        b"x-a",
        b"null",
        b"http.path == \"/\"",
        b"0C61E164-6171-4837-8836-8F5298726D53",
        b"a b\t",
        b"%41%2f",
    ];
    let bytes = if numbers.one_in(2) { numbers.of_list(corpus).to_vec() } else { made(numbers, corpus, 60) };
    // No reader lets a NUL in.
    String::from_utf8_lossy(&bytes).replace('\0', "")
}

/// Changes some part of a value, at any depth.
fn change(numbers: &mut Numbers, value: &mut Value) {
    match value {
        Value::Object(object) if !object.is_empty() && !numbers.one_in(6) => {
            let name = object.keys().nth(numbers.below(object.len())).cloned().unwrap_or_default();
            match numbers.below(8) {
                0 => drop(object.shift_remove(&name)),
                1 => drop(object.insert(any_text(numbers), any_value(numbers))),
                _ => change(numbers, &mut object[&name]),
            }
        }
        Value::Array(elements) if !elements.is_empty() && !numbers.one_in(6) => {
            let at = numbers.below(elements.len());
            match numbers.below(6) {
                0 => drop(elements.remove(at)),
                1 => elements.push(elements[at].clone()),
                _ => change(numbers, &mut elements[at]),
            }
        }
        other => *other = any_value(numbers),
    }
}

/// An entity that is somewhat other than a valid one, or has a field of one.
fn entity(numbers: &mut Numbers) -> (&'static str, Object) {
    let (collection, valid) = numbers.of_list(&VALID).clone();
    let mut value = valid;
    for _ in 0..numbers.below(3) {
        change(numbers, &mut value);
    }
    if numbers.one_in(3) {
        let (_, other) = numbers.of_list(&VALID);
        if let (Value::Object(object), Some((name, field))) =
            (&mut value, other.as_object().and_then(|it| it.iter().next_back()))
        {
            object.insert(name.clone(), field.clone());
        }
    }
    match value {
        Value::Object(object) => (collection, object),
        _ => (collection, Object::new()),
    }
}

#[test]
fn what_was_accepted_and_shown_is_accepted_again_and_is_the_same() {
    let registries = [core_registry(), core_registry_of(Flavor::Expressions)];
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    for (name, valid) in VALID.iter() {
        let create = |registry: &Registry| {
            let schema = &registry.get(name).expect("the collection is there").schema;
            let object = valid.as_object().expect("it is an object").clone();
            schema.create(object, now).map_err(|violations| violations.list())
        };
        let refusals: Vec<_> = registries.iter().filter_map(|registry| create(registry).err()).collect();
        assert!(refusals.len() < registries.len(), "as it is, it is accepted: {valid}: {refusals:?}");
    }
    let target = Target { name: "what_was_accepted_and_shown_is_accepted_again_and_is_the_same", runs: 6_000 };
    target.run(entity, |(name, sent)| {
        for registry in &registries {
            let schema = &registry.get(name).expect("the collection is there").schema;
            let Ok(created) = schema.create(sent.clone(), now) else { continue };
            schema.validate(&created).expect("what was accepted is valid");
            let mut shown = created.clone();
            schema.present(&mut shown);
            let text = Value::Object(shown).to_string();
            let Ok(Value::Object(again)) = json::parse(text.as_bytes()) else { panic!("{text} is no object") };
            // Whoever says that nothing is hashed asks for round-robin with that, by Kong's shorthand.
            let is_turned =
                created.get("hash_on").is_some_and(|by| by == "none") && created["algorithm"] == "consistent-hashing";
            match schema.create(again, now) {
                _ if is_turned => {}
                Ok(again) => assert_eq!(again, created, "of {text}"),
                Err(violations) => panic!("{:?} of {text}", violations.list()),
            }
            let patched = schema.patch(&created, Object::new(), now).expect("to change nothing is allowed");
            assert_eq!(patched, created);
        }
    });
}

/// The core collections, and two as plugins declare them.
fn with_credentials() -> Registry {
    let mut registry = core_registry();
    let manifest = json!({
        "name": "p",
        "collections": [
            {"name": "keyauth_credentials", "path": "key-auths", "nested_path": "key-auth", "parent": "consumers",
             "schema": r#"{"type":"object","properties":{"key":{"type":"string"}}}"#, "unique_fields": ["key"],
             "generated_fields": ["key"], "ttl": true},
            {"name": "acls", "path": "acls", "nested_path": "acls", "parent": "consumers",
             "schema": r#"{"type":"object","properties":{"group":{"type":"string"}}}"#, "unique_in_parent": ["group"]},
        ],
    });
    sandgate::model::declared_collections(&manifest).unwrap().into_iter().for_each(|added| registry.add(added));
    registry
}

fn info(name: &str) -> Option<Arc<PluginInfo>> {
    let schema = r#"{"type":"object","properties":{"limit":{"type":"integer","default":5},"list":{"type":"array","items":{"type":"string"}}}}"#;
    let manifest = json!({"name": name, "version": "1.0.0", "priority": 1, "config_schema": schema});
    (name == "p").then(|| Arc::new(PluginInfo::from_manifest(&manifest).unwrap()))
}

fn files() -> Vec<Value> {
    vec![
        json!({
            "_format_version": "3.0", "_transform": false,
            "services": [{"name": "s", "url": "http://h:81/p", "routes": [{"name": "r", "paths": ["/a"],
                "plugins": [{"name": "p", "consumer": "bob", "config": {"list": ["x"]}}]}], "plugins": [{"name": "p"}]}],
            "consumers": [{"username": "bob", "acls": [{"group": "gold"}], "keyauth_credentials": [{"key": "k", "ttl": 60}]}],
        }),
        json!({
            "_format_version": "1.1", "_comment": "c", "_ignore": [1],
            "upstreams": [{"name": "u", "targets": [{"target": "h:1"}, {"target": "h:2", "weight": 0}]}],
            "routes": [{"name": "r", "paths": ["/a/(b)"], "service": "s"}], "services": [{"name": "s", "host": "u"}],
            "vaults": [{"name": "env", "prefix": "my-env"}], "key_sets": [{"name": "ks"}],
        }),
        json!({
            "_format_version": "3.0", "_info": {"select_tags": ["a"]}, "_plugin_configs": {"shared": {"limit": 7}},
            "plugins": [{"name": "p", "_config": "shared", "service": {"name": "s"}}], "services": [{"name": "s", "host": "h"}],
            "consumers": [{"username": "bob", "id": ID}], "acls": [{"group": "g", "consumer": ID}],
        }),
    ]
}

#[test]
fn files_are_resolved_or_refused_and_written_alike() {
    let (registry, valid) = (with_credentials(), files());
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for file in &valid {
        let world = World { registry: &registry, plugin: &info, now, dialect: Dialect::Deck };
        declarative::resolve(file.clone(), &world)
            .unwrap_or_else(|invalid| panic!("as it is, it is good: {invalid} in {file}"));
    }
    let make = |numbers: &mut Numbers| {
        let mut file = numbers.of_list(&valid).clone();
        for _ in 0..numbers.below(3) {
            change(numbers, &mut file);
        }
        (file, *numbers.of_list(&[Dialect::Gateway, Dialect::Deck]))
    };
    let target = Target { name: "files_are_resolved_or_refused_and_written_alike", runs: 3_000 };
    target.run(make, |(file, dialect)| {
        let world = World { registry: &registry, plugin: &info, now, dialect: *dialect };
        let text = declarative::yaml::to_text(file);
        let read = declarative::parse(&text, Syntax::Yaml).expect("what was written can be read");
        let Ok(loaded) = declarative::resolve(read, &world) else { return };
        let world = World { dialect: Dialect::Gateway, ..world };
        let written = |loaded: &declarative::Loaded| {
            let of = |name: &Arc<str>| -> Vec<Object> {
                let own = loaded.entities.iter().filter(|entity| entity.collection.name == *name);
                own.map(|entity| entity.object.clone()).collect()
            };
            declarative::document(registry.iter().map(|collection| (collection.clone(), of(&collection.name))), &world)
        };
        let document = written(&loaded);
        let again = declarative::resolve(document.clone(), &world);
        let again = again.unwrap_or_else(|invalid| panic!("{invalid} in {document}"));
        assert_eq!(written(&again), document);
    });
}
