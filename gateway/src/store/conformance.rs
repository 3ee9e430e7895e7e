//! What every [`Store`] must do. A database runs all of it with [`conformance!`] and a [`Harness`].

mod history;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::model::{OnDelete, Reference};

/// A database of a test's own, empty at first.
pub(super) trait Harness: Sized {
    /// The store under test.
    type Store: Store;
    /// Makes the database.
    async fn new() -> Self;
    /// Opens it, again too, keeping so many rows of changes.
    async fn open_with_history(&self, rows: u32) -> Self::Store;

    /// Opens it with the usual history.
    async fn open(&self) -> Self::Store {
        self.open_with_history(100_000).await
    }
}

/// Makes a test of each behaviour for a harness.
macro_rules! conformance {
    ($harness:ty: $($behaviour:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $behaviour() {
            $crate::store::conformance::$behaviour::<$harness>().await;
        })*
    };
    ($harness:ty) => {
        $crate::store::conformance::conformance! { $harness:
            an_entity_comes_back_as_it_was
            an_entity_is_found_by_every_key
            a_page_goes_on_where_the_last_one_ended
            a_page_holds_what_its_filter_lets_through
            equal_values_in_a_unique_group_are_refused
            an_updated_entity_frees_its_values
            a_reference_to_nothing_is_refused
            a_taken_id_is_refused
            updating_what_does_not_exist_fails
            a_delete_is_refused_while_others_refer_to_it
            a_delete_takes_along_what_cascades
            an_expired_entity_is_gone
            a_sweep_removes_what_expired
            a_write_dropped_without_commit_leaves_nothing
            a_write_sees_itself_and_others_do_not
            a_write_that_changes_nothing_makes_no_version
            versions_have_no_gaps_under_many_writers
            changes_since_a_version_are_each_entity_once
            a_pruned_history_answers_with_everything
            a_delta_needs_no_registry
            a_reopened_database_has_everything
            code_and_once_values_are_kept
            code_goes_when_no_version_that_is_kept_needs_it
            the_state_of_any_version_can_be_told
            two_versions_are_compared_as_they_were
            a_version_knows_who_made_it
            refused_writes_make_no_version
            the_last_report_of_each_node_counts
            marks_are_read_in_their_order_and_make_no_version
        }
    };
}
pub(super) use conformance;
pub(super) use history::*;

fn collection(name: &str, unique: &[&[&str]], references: Vec<Reference>) -> Collection {
    Collection {
        name: name.into(),
        path: name.into(),
        endpoint_key: None,
        unique: unique.iter().map(|group| group.iter().map(|field| Arc::from(*field)).collect()).collect(),
        references,
        names: None,
        listed_in: Vec::new(),
        ttl: name == "badges",
        declared_by: None,
        schema: crate::model::schema::Schema::default(),
    }
}

fn to(field: &str, to: &str, on_delete: OnDelete) -> Reference {
    Reference { field: field.into(), to: to.into(), on_delete, nested_path: None }
}

/// The gateway's own collections, and four as plugins declare them: `badges` that expire, `groups`, `notes` on badges, and
/// `odd` with a plain field that is called like a parent.
fn registry() -> Registry {
    use OnDelete::{Cascade, Refuse};
    let mut registry = Registry::default();
    let scope = ["route", "service", "consumer"].map(|field| to(field, &format!("{field}s"), Cascade)).to_vec();
    for collection in [
        collection("services", &[&["name"]], vec![]),
        collection("routes", &[&["name"]], vec![to("service", "services", Refuse)]),
        collection("consumers", &[&["username"], &["custom_id"]], vec![]),
        collection("plugins", &[&["name", "route", "service", "consumer"], &["instance_name"]], scope),
        collection("upstreams", &[&["name"]], vec![]),
        collection("targets", &[&["upstream", "target"]], vec![to("upstream", "upstreams", Cascade)]),
        collection("modules", &[&["name"]], vec![]),
        collection("badges", &[&["key"]], vec![to("consumer", "consumers", Cascade)]),
        collection("groups", &[&["consumer", "group"]], vec![to("consumer", "consumers", Cascade)]),
        collection("notes", &[], vec![to("key", "badges", Cascade)]),
        collection("odd", &[&["service"]], vec![]),
    ] {
        registry.add(collection);
    }
    registry
}

/// A registry with the collection of a name.
struct Bench {
    registry: Registry,
}

impl Bench {
    fn new() -> Self {
        Self { registry: registry() }
    }

    fn get(&self, name: &str) -> &Collection {
        self.registry.get(name).expect("the registry of the tests has it")
    }

    /// Writes entities in one transaction.
    async fn insert(&self, store: &impl Store, entities: &[(&str, Value)]) -> Result<Version> {
        let mut write = store.begin().await?;
        for (collection, entity) in entities {
            write.insert(self.get(collection), &object(entity)).await?;
        }
        write.commit().await
    }

    async fn update(&self, store: &impl Store, collection: &str, entity: Value) -> Result<Version> {
        let mut write = store.begin().await?;
        write.update(self.get(collection), &object(&entity)).await?;
        write.commit().await
    }

    async fn delete(&self, store: &impl Store, collection: &str, id: &str) -> Result<bool> {
        let mut write = store.begin().await?;
        let found = write.delete(&self.registry, self.get(collection), id).await?;
        write.commit().await?;
        Ok(found)
    }

    async fn has(&self, store: &impl Store, collection: &str, id: &str) -> bool {
        store.get(self.get(collection), Key::Id(id)).await.unwrap().is_some()
    }

    /// Changes since a version as `collection/id`, with `-` before what is gone.
    async fn changes(&self, store: &impl Store, since: Version) -> (Version, bool, BTreeSet<String>) {
        let delta = store.changes_since(&self.registry, since).await.unwrap();
        let count = delta.changes.len();
        let sign = |change: &Change| if change.entity.is_none() { "-" } else { "" };
        let show = |change: &Change| format!("{}{}/{}", sign(change), change.collection, change.id);
        let changes: BTreeSet<_> = delta.changes.iter().map(show).collect();
        assert_eq!(changes.len(), count, "each entity once");
        (delta.version, delta.full, changes)
    }
}

fn object(value: &Value) -> Object {
    value.as_object().unwrap().clone()
}

fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}

fn named(id: &str, name: &str) -> Value {
    json!({"id": id, "name": name})
}

/// A service `s`, its route `r`, a consumer `c` with a key `k`, a group `g` and a note `n` on the key, and a plugin for
/// each of service, route and consumer.
fn family() -> [(&'static str, Value); 9] {
    let plugin = |id: &str, field: &str, parent: &str| json!({"id": id, "name": "p", field: {"id": parent}});
    [
        ("services", named("s", "orders")),
        ("routes", json!({"id": "r", "name": null, "service": {"id": "s"}})),
        ("consumers", json!({"id": "c", "username": "bob", "custom_id": null})),
        ("badges", json!({"id": "k", "key": "secret", "consumer": {"id": "c"}})),
        ("groups", json!({"id": "g", "group": "admin", "consumer": {"id": "c"}})),
        ("notes", json!({"id": "n", "key": {"id": "k"}})),
        ("plugins", plugin("ps", "service", "s")),
        ("plugins", plugin("pr", "route", "r")),
        ("plugins", plugin("pc", "consumer", "c")),
    ]
}

pub(super) async fn an_entity_comes_back_as_it_was<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    let entity = json!({
        "z": 1, "id": "1", "name": "naïve \"ünï\" \u{1f980}", "created_at": 1_700_000_000.5, "none": null,
        "list": [], "empty": {}, "big": u64::MAX, "nested": {"b": [1.5, true, {"a": null}]}, "tags": ["t"],
    });
    for collection in ["services", "odd"] {
        bench.insert(&store, &[(collection, entity.clone())]).await.unwrap();
        let found = store.get(bench.get(collection), Key::Id("1")).await.unwrap().unwrap();
        assert_eq!(Value::Object(found.clone()).to_string(), entity.to_string(), "{collection}: order of fields too");
    }
}

pub(super) async fn an_entity_is_found_by_every_key<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &family()).await.unwrap();
    let cases = [
        ("services", Key::Id("s"), true),
        ("services", Key::Id("orders"), false),
        ("services", Key::Unique("name", "orders"), true),
        ("services", Key::Unique("name", "Orders"), false),
        ("consumers", Key::Unique("username", "bob"), true),
        ("badges", Key::Id("k"), true),
        ("groups", Key::Id("k"), false),
        ("badges", Key::Unique("key", "secret"), true),
        ("badges", Key::Unique("key", "s\"ecret'"), false),
        ("groups", Key::Unique("group", "admin"), true),
    ];
    for (collection, key, found) in cases {
        let entity = store.get(bench.get(collection), key).await.unwrap();
        assert_eq!(entity.is_some(), found, "{collection} {key:?}");
    }
}

pub(super) async fn a_page_goes_on_where_the_last_one_ended<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    for collection in ["services", "odd"] {
        let entity = |i: usize| (collection, json!({"id": format!("{:05}", (i * 7) % 1000), "name": format!("n{i}")}));
        bench.insert(&store, &(0..1000).map(entity).collect::<Vec<_>>()).await.unwrap();
        let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
        loop {
            let page = Page { after: after.take(), size: 100 };
            let rows = store.page(bench.get(collection), &Filter::default(), &page).await.unwrap();
            seen.extend(rows.rows.iter().map(|entity| entity["id"].as_str().unwrap().to_owned()));
            pages += 1;
            let Some(next) = rows.next else { break };
            after = Some(next);
        }
        assert_eq!((pages, seen.len()), (10, 1000), "{collection}: the last page knows that it is");
        assert!(seen.is_sorted(), "{collection}: in the order of ids");
    }
}

pub(super) async fn a_page_holds_what_its_filter_lets_through<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &family()).await.unwrap();
    let many = [
        ("services", json!({"id": "s1", "name": "a", "retries": 5, "enabled": true, "tags": ["x", "y"]})),
        ("services", json!({"id": "s2", "name": "b", "retries": 55, "enabled": false, "tags": ["y", "z"]})),
        ("consumers", json!({"id": "d", "username": "ann", "tags": ["x"]})),
        ("badges", json!({"id": "k2", "key": "other", "consumer": {"id": "d"}, "tags": ["x"]})),
    ];
    bench.insert(&store, &many).await.unwrap();
    let parent = |field: &str, id: &str| Filter { parent: Some((field.into(), id.into())), ..Filter::default() };
    let equals = |field: &str, text: &str| Filter { equals: Some((field.into(), text.into())), ..Filter::default() };
    let all = |tags: &[&str]| Some(Tags::All(tags.iter().map(|tag| (*tag).to_owned()).collect()));
    let any = |tags: &[&str]| Some(Tags::Any(tags.iter().map(|tag| (*tag).to_owned()).collect()));
    let cases: [(&str, Filter, &[&str]); 16] = [
        ("routes", parent("service", "s"), &["r"]),
        ("routes", parent("service", "s1"), &[]),
        ("badges", parent("consumer", "c"), &["k"]),
        ("notes", parent("key", "k"), &["n"]),
        ("notes", parent("key", "k2"), &[]),
        ("services", equals("name", "a"), &["s1"]),
        ("services", equals("retries", "5"), &["s1"]),
        ("services", equals("enabled", "false"), &["s2"]),
        ("services", equals("absent", "x"), &[]),
        ("badges", equals("key", "other"), &["k2"]),
        ("services", Filter { tags: all(&["x", "y", "x"]), ..Filter::default() }, &["s1"]),
        ("services", Filter { tags: all(&["y"]), ..Filter::default() }, &["s1", "s2"]),
        ("services", Filter { tags: any(&["x", "z"]), ..Filter::default() }, &["s1", "s2"]),
        ("services", Filter { tags: any(&["q"]), ..Filter::default() }, &[]),
        ("badges", Filter { tags: any(&["x"]), ..parent("consumer", "d") }, &["k2"]),
        ("badges", Filter { tags: any(&["x"]), ..parent("consumer", "c") }, &[]),
    ];
    for (collection, filter, ids) in cases {
        let rows = store.page(bench.get(collection), &filter, &Page { after: None, size: 9 }).await.unwrap();
        let found: Vec<_> = rows.rows.iter().map(|entity| entity["id"].as_str().unwrap()).collect();
        assert_eq!(found, ids, "{collection} {filter:?}");
    }
}

pub(super) async fn equal_values_in_a_unique_group_are_refused<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &family()).await.unwrap();
    bench.insert(&store, &[("plugins", named("pg", "p")), ("odd", json!({"id": "o", "service": "x"}))]).await.unwrap();
    let service = json!({"id": "s"});
    let refused = [
        ("services", named("1", "orders"), json!({"name": "orders"})),
        ("badges", json!({"id": "1", "key": "secret"}), json!({"key": "secret"})),
        (
            "groups",
            json!({"id": "1", "group": "admin", "consumer": {"id": "c"}}),
            json!({"consumer": {"id": "c"}, "group": "admin"}),
        ),
        (
            "plugins",
            json!({"id": "1", "name": "p", "service": service}),
            json!({"consumer": null, "name": "p", "route": null, "service": service}),
        ),
        ("plugins", named("1", "p"), json!({"consumer": null, "name": "p", "route": null, "service": null})),
        ("odd", json!({"id": "1", "service": "x"}), json!({"service": "x"})),
    ];
    for (collection, entity, expected) in refused {
        match bench.insert(&store, &[(collection, entity.clone())]).await.unwrap_err() {
            StoreError::Unique { collection: named, fields } => {
                assert_eq!((&*named, Value::Object(fields).to_string()), (collection, expected.to_string()));
            }
            other => panic!("{entity}: {other:?}"),
        }
    }
    let accepted = [
        ("services", named("1", "Orders")),
        ("services", json!({"id": "2", "name": null})),
        ("services", json!({"id": "3", "name": null})),
        ("groups", json!({"id": "1", "group": "admin", "consumer": null})),
        ("groups", json!({"id": "2", "group": null, "consumer": null})),
        ("groups", json!({"id": "3", "group": null, "consumer": null})),
        ("plugins", json!({"id": "1", "name": "p", "service": {"id": "s"}, "consumer": {"id": "c"}})),
        ("odd", json!({"id": "1", "service": null})),
    ];
    bench.insert(&store, &accepted).await.unwrap();
}

pub(super) async fn an_updated_entity_frees_its_values<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &family()).await.unwrap();
    bench.update(&store, "services", named("s", "bills")).await.unwrap();
    bench.update(&store, "badges", json!({"id": "k", "key": "fresh", "consumer": {"id": "c"}})).await.unwrap();
    bench.update(&store, "badges", json!({"id": "k", "key": "fresh", "tags": ["t"]})).await.unwrap();
    let again = [("services", named("1", "orders")), ("badges", json!({"id": "1", "key": "secret"}))];
    bench.insert(&store, &again).await.unwrap();
    for (collection, entity) in [("services", named("s", "orders")), ("badges", json!({"id": "k", "key": "secret"}))] {
        let error = bench.update(&store, collection, entity).await.unwrap_err();
        assert!(matches!(error, StoreError::Unique { .. }), "{collection}: {error:?}");
    }
    let old = store.get(bench.get("badges"), Key::Unique("key", "fresh")).await.unwrap().unwrap();
    assert_eq!(old["tags"], json!(["t"]), "a refused update leaves the entity as it was");
}

pub(super) async fn a_reference_to_nothing_is_refused<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &family()).await.unwrap();
    let cases = [
        ("routes", "service", "services", json!({"id": "x"})),
        ("plugins", "consumer", "consumers", json!({"id": "s"})),
        ("badges", "consumer", "consumers", json!({"id": "x"})),
        ("notes", "key", "badges", json!({"id": "x"})),
        ("routes", "service", "services", json!({})),
    ];
    for (collection, name, parent, id) in cases {
        let entity = json!({"id": "1", "name": "q", name: id});
        match bench.insert(&store, &[(collection, entity)]).await.unwrap_err() {
            StoreError::ForeignKey { field, to, value } => {
                assert_eq!((&*field, &*to, value), (name, parent, id), "{collection}");
            }
            other => panic!("{collection}: {other:?}"),
        }
    }
    let error = bench.update(&store, "routes", json!({"id": "r", "service": {"id": "x"}})).await.unwrap_err();
    assert!(matches!(error, StoreError::ForeignKey { .. }), "{error:?}");
}

pub(super) async fn a_taken_id_is_refused<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &family()).await.unwrap();
    for (taken, with) in [("services", "s"), ("badges", "k")] {
        match bench.insert(&store, &[(taken, json!({"id": with}))]).await.unwrap_err() {
            StoreError::PrimaryKey { collection, id } => assert_eq!((&*collection, &*id), (taken, with)),
            other => panic!("{taken}: {other:?}"),
        }
    }
    bench.insert(&store, &[("odd", json!({"id": "k"}))]).await.expect("ids are taken within a collection only");
}

pub(super) async fn updating_what_does_not_exist_fails<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    for collection in ["services", "badges"] {
        assert!(bench.update(&store, collection, json!({"id": "x"})).await.is_err(), "{collection}");
        assert!(!bench.has(&store, collection, "x").await);
    }
    assert_eq!(store.version().await.unwrap(), 0);
}

pub(super) async fn a_delete_is_refused_while_others_refer_to_it<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &family()).await.unwrap();
    match bench.delete(&store, "services", "s").await.unwrap_err() {
        StoreError::Referenced { collection, by } => assert_eq!((&*collection, &*by), ("services", "routes")),
        other => panic!("{other:?}"),
    }
    assert!(bench.has(&store, "plugins", "ps").await, "nothing went before the refusal");
    assert!(bench.delete(&store, "routes", "r").await.unwrap());
    assert!(bench.delete(&store, "services", "s").await.unwrap());
    assert!(!bench.delete(&store, "services", "s").await.unwrap(), "it is gone");
}

pub(super) async fn a_delete_takes_along_what_cascades<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &family()).await.unwrap();
    let both = json!({"id": "prc", "name": "p", "route": {"id": "r"}, "consumer": {"id": "c"}});
    let before = bench.insert(&store, &[("plugins", both)]).await.unwrap();
    assert!(bench.delete(&store, "consumers", "c").await.unwrap());
    let gone = texts(["-consumers/c", "-groups/g", "-badges/k", "-notes/n", "-plugins/pc", "-plugins/prc"]);
    assert_eq!(bench.changes(&store, before).await, (before + 1, false, gone));
    assert!(store.get(bench.get("badges"), Key::Unique("key", "secret")).await.unwrap().is_none());
    assert!(bench.has(&store, "plugins", "pr").await);
    let again =
        [("consumers", json!({"id": "c2", "username": "bob"})), ("badges", json!({"id": "k2", "key": "secret"}))];
    bench.insert(&store, &again).await.expect("the values are free again");
}

fn expired(id: &str) -> Value {
    json!({"id": id, "key": "spent", "created_at": 1_000, "ttl": 60, "tags": ["t"], "consumer": {"id": "c"}})
}

/// Seconds far in the future, as a creation date that no time to live has passed.
const FUTURE: u64 = 32_000_000_000;

pub(super) async fn an_expired_entity_is_gone<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    let living = json!({"id": "living", "key": "good", "created_at": FUTURE, "ttl": 60});
    let forever = json!({"id": "forever", "key": "best", "created_at": 1_000, "ttl": null});
    let family = [("consumers", json!({"id": "c"})), ("badges", expired("x")), ("badges", living), ("badges", forever)];
    bench.insert(&store, &family).await.unwrap();
    let badges = bench.get("badges");
    assert!(!bench.has(&store, "badges", "x").await);
    assert!(store.get(badges, Key::Unique("key", "spent")).await.unwrap().is_none());
    assert!(bench.has(&store, "badges", "living").await && bench.has(&store, "badges", "forever").await);
    let rows = store.page(badges, &Filter::default(), &Page { after: None, size: 9 }).await.unwrap();
    assert_eq!(rows.rows.len(), 2);
    // One that was never seen is no change.
    let all = texts(["consumers/c", "badges/forever", "badges/living"]);
    assert_eq!(bench.changes(&store, 0).await, (1, false, all));
    assert!(!bench.delete(&store, "badges", "x").await.unwrap());
    bench.insert(&store, &[("badges", json!({"id": "y", "key": "spent"}))]).await.expect("its key is free");
}

pub(super) async fn a_sweep_removes_what_expired<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &[("consumers", json!({"id": "c"})), ("badges", expired("x"))]).await.unwrap();
    assert_eq!(store.sweep(&bench.registry).await.unwrap(), 1);
    assert_eq!(bench.changes(&store, 1).await, (2, false, texts(["-badges/x"])), "the removal is a change");
    assert_eq!(store.sweep(&bench.registry).await.unwrap(), 0);
    assert_eq!(store.version().await.unwrap(), 2, "a sweep of nothing is none");
}

pub(super) async fn a_write_dropped_without_commit_leaves_nothing<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    let mut write = store.begin().await.unwrap();
    write.insert(bench.get("services"), &object(&named("s", "orders"))).await.unwrap();
    write.put_code("digest", b"code").await.unwrap();
    drop(write);
    assert!(!bench.has(&store, "services", "s").await);
    assert_eq!(bench.changes(&store, 0).await, (0, false, texts([])));
    assert!(store.code("digest").await.unwrap().is_none());
    let version = bench.insert(&store, &[("services", named("s", "orders"))]).await.unwrap();
    assert_eq!(version, 1, "the next write is the first");
}

pub(super) async fn a_write_sees_itself_and_others_do_not<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    let services = bench.get("services");
    let mut write = store.begin().await.unwrap();
    write.insert(services, &object(&named("s", "orders"))).await.unwrap();
    assert!(write.get(services, Key::Unique("name", "orders")).await.unwrap().is_some());
    let page = Page { after: None, size: 1 };
    assert_eq!(write.page(services, &Filter::default(), &page).await.unwrap().rows.len(), 1);
    assert!(!bench.has(&store, "services", "s").await);
    assert_eq!(store.version().await.unwrap(), 0);
    assert_eq!(write.commit().await.unwrap(), 1);
    assert!(bench.has(&store, "services", "s").await);
}

pub(super) async fn a_write_that_changes_nothing_makes_no_version<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    assert_eq!(bench.insert(&store, &family()).await.unwrap(), 1);
    assert_eq!(bench.insert(&store, &[]).await.unwrap(), 1);
    assert_eq!(bench.update(&store, "services", named("s", "orders")).await.unwrap(), 1);
    assert!(!bench.delete(&store, "services", "x").await.unwrap());
    assert_eq!(bench.changes(&store, 1).await, (1, false, texts([])));
}

pub(super) async fn versions_have_no_gaps_under_many_writers<H: Harness>() {
    let harness = H::new().await;
    let store = Arc::new(harness.open().await);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..50 {
        let store = store.clone();
        writers.spawn(async move {
            let (bench, mut made) = (Bench::new(), Vec::new());
            for n in 0..4 {
                let id = format!("{writer}-{n}");
                // Every third write is refused, and must leave no gap.
                let name = if n == 2 { "0-0".to_owned() } else { id.clone() };
                made.extend(bench.insert(&*store, &[("services", named(&id, &name))]).await.ok());
            }
            made
        });
    }
    let collected = tokio::time::timeout(Duration::from_secs(180), writers.join_all()).await.expect("no deadlock");
    let mut versions = collected.concat();
    versions.sort_unstable();
    assert!(versions.len() >= 150, "{}", versions.len());
    assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>());
}

pub(super) async fn changes_since_a_version_are_each_entity_once<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &family()).await.unwrap();
    bench.update(&store, "services", named("s", "bills")).await.unwrap();
    bench.update(&store, "services", named("s", "carts")).await.unwrap();
    bench.insert(&store, &[("odd", json!({"id": "o"}))]).await.unwrap();
    bench.delete(&store, "plugins", "pr").await.unwrap();
    assert_eq!(bench.changes(&store, 1).await, (5, false, texts(["-plugins/pr", "odd/o", "services/s"])));
    assert_eq!(bench.changes(&store, 3).await, (5, false, texts(["-plugins/pr", "odd/o"])));
    assert_eq!(bench.changes(&store, 5).await, (5, false, texts([])));
    let delta = store.changes_since(&bench.registry, 1).await.unwrap();
    let service = delta.changes.iter().find(|change| &*change.id == "s").unwrap();
    assert_eq!(service.entity.as_ref().unwrap()["name"], "carts", "in its latest state");
    let (version, full, _) = bench.changes(&store, 99).await;
    assert_eq!((version, full), (5, true), "a version of another database");
}

pub(super) async fn a_pruned_history_answers_with_everything<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open_with_history(3).await;
    for id in ["a", "b", "c", "d", "e"] {
        bench.insert(&store, &[("services", named(id, id))]).await.unwrap();
    }
    let all = texts(["services/a", "services/b", "services/c", "services/d", "services/e"]);
    assert_eq!(bench.changes(&store, 0).await, (5, true, all.clone()));
    assert_eq!(bench.changes(&store, 1).await, (5, true, all));
    let last = texts(["services/c", "services/d", "services/e"]);
    assert_eq!(bench.changes(&store, 2).await, (5, false, last));
    bench
        .insert(&store, &[("odd", json!({"id": "1"})), ("odd", json!({"id": "2"})), ("odd", json!({"id": "3"}))])
        .await
        .unwrap();
    bench.insert(&store, &[("odd", json!({"id": "4"}))]).await.unwrap();
    assert!(bench.changes(&store, 5).await.1, "a version of which a row is gone is gone whole");
    assert_eq!(bench.changes(&store, 6).await, (7, false, texts(["odd/4"])));
}

pub(super) async fn a_delta_needs_no_registry<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open_with_history(1).await;
    bench.insert(&store, &family()).await.unwrap();
    let nothing = Registry::default();
    let full = store.changes_since(&nothing, 0).await.unwrap();
    assert_eq!((full.full, full.changes.len()), (true, family().len()));
    bench.insert(&store, &[("odd", json!({"id": "o"}))]).await.unwrap();
    let delta = store.changes_since(&nothing, 1).await.unwrap();
    assert_eq!((delta.full, delta.changes.len(), &*delta.changes[0].collection), (false, 1, "odd"));
}

pub(super) async fn a_reopened_database_has_everything<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &family()).await.unwrap();
    let once = store.once("cluster", "first".to_owned()).await.unwrap();
    let before = bench.changes(&store, 0).await;
    drop(store);
    let store = harness.open().await;
    assert_eq!(bench.changes(&store, 0).await, before);
    assert_eq!(store.once("cluster", "second".to_owned()).await.unwrap(), once);
    assert_eq!(bench.update(&store, "services", named("s", "bills")).await.unwrap(), 2);
}

pub(super) async fn code_and_once_values_are_kept<H: Harness>() {
    let harness = H::new().await;
    let store = harness.open().await;
    let code: Vec<u8> = (0..200_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    for _ in 0..2 {
        let mut write = store.begin().await.unwrap();
        write.put_code("digest", &code).await.unwrap();
        assert_eq!(write.commit().await.unwrap(), 0, "code alone is no change of the configuration");
    }
    assert_eq!(store.code("digest").await.unwrap(), Some(code));
    assert_eq!(store.code("other").await.unwrap(), None);
    assert_eq!(store.once("a", "1".to_owned()).await.unwrap(), "1");
    assert_eq!(store.once("a", "2".to_owned()).await.unwrap(), "1");
    assert_eq!(store.once("b", "2".to_owned()).await.unwrap(), "2");
}
