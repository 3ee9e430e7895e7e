use std::{collections::BTreeSet, time::SystemTime};

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    model::{Collection, ConfigError, PluginInfo, core_registry, declarative::yaml},
    store::{MemoryStore, SqliteStore, Store},
};

/// Knows every plugin, and agrees to everything.
struct Anything;

#[async_trait]
impl Plugins for Anything {
    fn schema(&self, name: &str) -> Option<Arc<PluginInfo>> {
        let schema = json!({"type": "object", "properties": {
            "limit": {"type": "integer", "default": 5}, "list": {"type": "array", "items": {"type": "string"}},
        }});
        let manifest = json!({"name": name, "version": "1.0.0", "priority": 1, "config_schema": schema.to_string()});
        PluginInfo::from_manifest(&manifest).ok().map(Arc::new)
    }

    fn names(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    async fn validate(&self, _name: &str, _config: &Value) -> Result<(), Vec<ConfigError>> {
        Ok(())
    }
}

fn registry() -> Arc<Registry> {
    let mut registry = core_registry();
    let schema = |field: &str| json!({"type": "object", "properties": {field: {"type": "string"}}}).to_string();
    let declarations = [
        json!({"name": "keyauth_credentials", "path": "key-auths", "nested_path": "key-auth", "parent": "consumers",
               "schema": schema("key"), "unique_fields": ["key"], "generated_fields": ["key"], "ttl": true}),
        json!({"name": "acls", "path": "acls", "nested_path": "acls", "parent": "consumers",
               "schema": schema("group"), "unique_in_parent": ["group"]}),
    ];
    declarations.iter().for_each(|each| registry.add(Collection::declared("p", each).unwrap()));
    Arc::new(registry)
}

#[tokio::test]
async fn what_is_passed_on_is_what_was_posted_and_nothing_is_loaded_meanwhile() {
    let declarative = || Declarative::new(Arc::new(MemoryStore::default()));
    let (before, after, anything) = (declarative(), declarative(), || Arc::new(Anything));
    let text = |host: &str| Given::Content(json!({"_format_version": "3.0", "services": [{"host": host}]}));
    let posted = Source::Operator { unless_same: false };
    before.load(text("a"), registry(), anything(), Source::Settings).await.unwrap();
    assert!(!before.pass_on(&registry(), &Anything).await.unwrap().0.is_posted());
    before.load(text("b"), registry(), anything(), posted).await.unwrap();
    let (passed_on, held) = before.pass_on(&registry(), &Anything).await.unwrap();
    let refused = before.load(text("c"), registry(), anything(), posted).await;
    assert!(matches!(refused, Err(LoadError::Busy)), "{refused:?}");
    let passed_on = serde_json::from_slice(&serde_json::to_vec(&passed_on).unwrap()).unwrap();
    assert!(after.go_on(passed_on, registry(), anything()).await.unwrap());
    assert_eq!(after.hash(), before.hash());
    let exported = async |one: &Declarative| export(&*one.store, &registry(), &Anything).await.unwrap();
    assert_eq!(exported(&before).await, exported(&after).await);
    assert!(after.store.contents_version() > before.store.contents_version());
    drop(held);
    before.load(text("c"), registry(), anything(), posted).await.unwrap();
}

async fn take_in(store: &SqliteStore, text: String, syntax: Syntax) -> Plan {
    bring(store, text, syntax, &Others::Keep).await
}

async fn bring(store: &SqliteStore, text: String, syntax: Syntax, others: &Others) -> Plan {
    let loaded = resolve(move || parse(&text, syntax), registry(), Arc::new(Anything), Reading::Deck).await;
    let loaded = loaded.unwrap_or_else(|invalid| panic!("{invalid}"));
    let mut write = store.begin().await.unwrap();
    let plan = import(&mut *write, &registry(), loaded, others).await.unwrap();
    write.commit().await.unwrap();
    plan
}

async fn written_out(store: &SqliteStore) -> String {
    export(store, &registry(), &Anything).await.unwrap()
}

/// Text that YAML would like to read as something else.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[-?:,{}#&*!|>'\"%@`~=<. 0-9a-fxyn_+]{1,10}",
        "\\PC{1,8}",
        prop_oneof![Just("on"), Just("null"), Just("1_0"), Just("0o7"), Just("12:30"), Just("a\nb\n"), Just("<<")]
            .prop_map(str::to_owned),
    ]
}

/// A field that may stand in the file.
type Said = Option<(String, Value)>;

fn maybe<T: Into<Value> + std::fmt::Debug + Clone>(
    name: &'static str,
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<(String, Value)>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some((name.to_owned(), Value::Null))),
        3 => value.prop_map(move |value| Some((name.to_owned(), value.into()))),
    ]
}

fn entity(base: Value, fields: Vec<Option<(String, Value)>>) -> Value {
    let mut object = base.as_object().unwrap().clone();
    object.extend(fields.into_iter().flatten());
    Value::Object(object)
}

fn service(number: usize) -> impl Strategy<Value = Value> {
    let route = (
        maybe("tags", proptest::collection::vec("[a-z é]{1,5}", 0..3)),
        maybe("hosts", proptest::collection::vec("[a-z]{1,5}\\.test", 1..3)),
        maybe("strip_path", any::<bool>()),
        maybe("regex_priority", -5..5),
    );
    let fields = (
        maybe("retries", 0..100),
        maybe("connect_timeout", 1..100_000),
        maybe("path", "/[a-z]{0,5}"),
        maybe("enabled", any::<bool>().prop_filter("required", |_| true)),
        proptest::collection::vec(route, 0..3),
        maybe("limit", 0..9),
    );
    fields.prop_map(move |(retries, timeout, path, _, routes, limit)| {
        let route = |(at, (tags, hosts, strip, priority)): (usize, (_, _, Option<(String, Value)>, _))| {
            let strip = strip.filter(|(_, value)| !value.is_null());
            entity(
                json!({"name": format!("r{number}-{at}"), "paths": [format!("/{number}/{at}"), "~/x\\d+"]}),
                vec![tags, hosts, strip, priority],
            )
        };
        let routes: Vec<Value> = routes.into_iter().enumerate().map(route).collect();
        let plugin = json!({"name": "p", "config": limit.into_iter().collect::<Object>()});
        entity(
            json!({"name": format!("s{number}"), "host": "h", "routes": routes, "plugins": [plugin]}),
            vec![retries, timeout, path],
        )
    })
}

fn file() -> impl Strategy<Value = Value> {
    // None, or longer than the test.
    let life = prop_oneof![Just(0_u32), 1000..2000_u32];
    let consumer = (hostile(), maybe("custom_id", hostile()), proptest::collection::btree_set(hostile(), 0..3), life);
    let services = (0..4_usize).prop_flat_map(|count| (0..count).map(service).collect::<Vec<_>>());
    let upstream = (
        maybe("slots", 10..65_536),
        proptest::collection::btree_set(1..60_000_u32, 0..3),
        prop_oneof![Just("round-robin"), Just("least-connections"), Just("consistent-hashing")],
    );
    (services, proptest::collection::vec(consumer, 0..4), proptest::collection::vec(upstream, 0..3)).prop_map(
        |(services, consumers, upstreams)| {
            let consumer = |(at, (name, custom, groups, life)): (usize, (String, Said, BTreeSet<String>, u32))| {
                let groups: Vec<Value> = groups.iter().map(|group| json!({ "group": group })).collect();
                let custom = custom.map(|(key, value)| (key, value.as_str().map_or(Value::Null, |text| format!("{at}{text}").into())));
                entity(json!({"username": format!("{name}{at}"), "acls": groups, "keyauth_credentials": [{"key": format!("{name} {at}"), "ttl": life}]}), vec![custom])
            };
            let upstream = |(at, (slots, ports, algorithm)): (usize, (Said, BTreeSet<u32>, &str))| {
                let targets: Vec<Value> = ports.iter().map(|port| json!({"target": format!("10.0.0.{at}:{port}")})).collect();
                entity(json!({"name": format!("u{at}"), "algorithm": algorithm, "targets": targets}), vec![slots])
            };
            json!({
                "_format_version": "3.0", "services": services,
                "consumers": consumers.into_iter().enumerate().map(consumer).collect::<Vec<_>>(),
                "upstreams": upstreams.into_iter().enumerate().map(upstream).collect::<Vec<_>>(),
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_export_is_imported_and_exported_to_the_same_bytes(file in file()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let one = SqliteStore::open(&folder.path().join("one.db")).await.unwrap();
            let two = SqliteStore::open(&folder.path().join("two.db")).await.unwrap();
            take_in(&one, yaml::to_text(&file), Syntax::Yaml).await;
            let first = written_out(&one).await;
            take_in(&two, first.clone(), Syntax::Yaml).await;
            assert_eq!(written_out(&two).await, first, "from {file}");
            let again = take_in(&one, first, Syntax::Yaml).await;
            assert!(again.changes.is_empty(), "{:?}", again.changes);
        });
    }
}

#[tokio::test]
async fn a_null_that_overrides_a_default_outlives_an_export() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("one.db")).await.unwrap();
    let text = json!({"_format_version": "3.0", "services": [{"name": "s", "host": "h", "retries": null}]}).to_string();
    take_in(&store, text, Syntax::Json).await;
    let text = written_out(&store).await;
    assert!(text.contains("retries: null\n") && !text.contains("path: null"), "{text}");
}

#[tokio::test]
async fn an_import_takes_over_what_the_database_calls_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("one.db")).await.unwrap();
    let registry = registry();
    let services = registry.get("services").unwrap();
    let mut write = store.begin().await.unwrap();
    let known = json!({"id": "11111111-1111-1111-1111-111111111111", "name": "s", "host": "old", "created_at": 5});
    let known = services.schema.create(known.as_object().unwrap().clone(), SystemTime::now()).unwrap();
    write.insert(services, &known).await.unwrap();
    write.commit().await.unwrap();
    let text = json!({"_format_version": "3.0", "services": [{"name": "s", "host": "new", "routes": [{"name": "r", "paths": ["/a"]}]}]});
    let plan = take_in(&store, text.to_string(), Syntax::Json).await;
    assert_eq!(plan.changes.len(), 2);
    let key = crate::store::Key::Unique("name", "s");
    let service = store.get(services, key).await.unwrap().unwrap();
    assert_eq!((&service["id"], &service["created_at"], &service["host"]), (&known["id"], &json!(5), &json!("new")));
    let route =
        store.get(registry.get("routes").unwrap(), crate::store::Key::Unique("name", "r")).await.unwrap().unwrap();
    assert_eq!(route["service"]["id"], known["id"]);
}

/// A few consumers with keys, of few names, so that much passes from one to another.
fn few() -> impl Strategy<Value = Value> {
    let shuffled = || Just([0, 1, 2, 3]).prop_shuffle();
    let masks = (1..=4_usize, any::<[bool; 4]>(), any::<[bool; 4]>(), any::<[bool; 4]>());
    (shuffled(), shuffled(), shuffled(), shuffled(), masks).prop_map(|(ids, names, customs, keys, masks)| {
        let (count, with_id, with_custom, with_key_id) = masks;
        let one = |at: usize| {
            let mut consumer = json!({ "username": format!("n{}", names[at]) });
            let mut key = json!({ "key": format!("k{}", keys[at]) });
            if with_custom[at] {
                consumer["custom_id"] = format!("c{}", customs[at]).into();
            }
            if with_id[at] {
                consumer["id"] = format!("00000000-0000-4000-8000-00000000000{}", ids[at]).into();
            }
            if with_key_id[at] {
                key["id"] = format!("00000000-0000-4000-8000-00000000001{}", ids[at]).into();
            }
            consumer["keyauth_credentials"] = json!([key]);
            consumer["acls"] = json!([{ "group": format!("g{}", keys[at] % 2) }]);
            consumer
        };
        json!({ "_format_version": "3.0", "consumers": (0..count).map(one).collect::<Vec<_>>() })
    })
}

/// What a file says and a database has, whatever their ids.
fn names(file: &Value) -> BTreeSet<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let shown = |consumer: &Value| {
        let (key, group) = (&consumer["keyauth_credentials"][0]["key"], &consumer["acls"][0]["group"]);
        [&consumer["username"], &consumer["custom_id"], key, group].map(text).join(" ")
    };
    file["consumers"].as_array().into_iter().flatten().map(shown).collect()
}

async fn kept(store: &SqliteStore) -> BTreeSet<String> {
    let mut dump = yaml::parse(&written_out(store).await).unwrap();
    let children = ["keyauth_credentials", "acls"].map(|kind| dump[kind].take());
    for consumer in dump["consumers"].as_array_mut().into_iter().flatten() {
        for (kind, all) in ["keyauth_credentials", "acls"].into_iter().zip(&children) {
            let own = all.as_array().into_iter().flatten().filter(|child| child["consumer"] == consumer["id"]);
            consumer[kind] = own.cloned().collect();
        }
    }
    names(&dump)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_pruning_import_leads_from_every_state_to_every_other(files in proptest::collection::vec(few(), 2..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(&folder.path().join("test.db")).await.unwrap();
            let all = Others::Delete(Vec::new());
            for file in files {
                bring(&store, file.to_string(), Syntax::Json, &all).await;
                prop_assert_eq!(kept(&store).await, names(&file));
                let again = bring(&store, file.to_string(), Syntax::Json, &all).await;
                prop_assert!(again.is_empty(), "{:?}", again);
            }
            Ok(())
        })?;
    }
}
