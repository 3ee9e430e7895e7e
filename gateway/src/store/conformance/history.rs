//! Versions, the audit log and the reports of nodes.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use super::*;

/// A step of a random write; the number chooses among a few entities.
#[derive(Debug, Clone)]
enum Step {
    Service(u8, u8),
    Route(u8, u8),
    Key(u8, u8),
    Consumer(u8),
    Delete(u8, u8),
}

fn writes() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = prop_oneof![
        (0..4_u8, 0..4_u8).prop_map(|(id, name)| Step::Service(id, name)),
        (0..4_u8, 0..4_u8).prop_map(|(id, service)| Step::Route(id, service)),
        (0..4_u8, 0..3_u8).prop_map(|(id, consumer)| Step::Key(id, consumer)),
        (0..3_u8).prop_map(Step::Consumer),
        (0..4_u8, 0..4_u8).prop_map(|(kind, id)| Step::Delete(kind, id)),
    ];
    prop::collection::vec(prop::collection::vec(step, 1..4), 1..14)
}

/// The entities of a configuration as texts, by collection and id.
type Dump = BTreeMap<(String, String), String>;

impl Bench {
    async fn dump(&self, store: &impl Store) -> Dump {
        let all = store.changes_since(&self.registry, u64::MAX).await.unwrap();
        assert!(all.full);
        let show = |change: Change| {
            let entity = Value::Object(change.entity.unwrap()).to_string();
            ((change.collection.to_string(), change.id.to_string()), entity)
        };
        all.changes.into_iter().map(show).collect()
    }

    /// Does the steps as one write. What the store refuses is left out.
    async fn write(&self, store: &impl Store, steps: &[Step], number: usize) -> Version {
        let mut write = store.begin().await.unwrap();
        for step in steps {
            let (collection, entity) = match step {
                Step::Service(id, name) => ("services", json!({"id": format!("s{id}"), "name": name, "n": number})),
                Step::Route(id, service) => {
                    ("routes", json!({"id": format!("r{id}"), "name": null, "service": {"id": format!("s{service}")}}))
                }
                Step::Key(id, consumer) => (
                    "badges",
                    json!({"id": format!("k{id}"), "key": number, "consumer": {"id": format!("c{consumer}")}}),
                ),
                Step::Consumer(id) => ("consumers", json!({"id": format!("c{id}"), "username": format!("u{id}")})),
                Step::Delete(kind, id) => {
                    let kind = ["services", "routes", "consumers", "badges"][usize::from(*kind)];
                    let id = format!("{}{id}", &kind[..1]);
                    _ = write.delete(&self.registry, self.get(kind), &id).await;
                    continue;
                }
            };
            let (collection, entity) = (self.get(collection), object(&entity));
            let known = write.get(collection, Key::Id(entity["id"].as_str().unwrap())).await.unwrap().is_some();
            _ = if known { write.update(collection, &entity).await } else { write.insert(collection, &entity).await };
        }
        write.commit().await.unwrap()
    }

    /// The state of `version`, made of the present one and the history.
    async fn state(&self, store: &impl Store, version: Version, size: usize) -> Dump {
        let (mut dump, mut after) = (self.dump(store).await, None);
        let newest = store.version().await.unwrap();
        loop {
            let found = store.diff(version, newest, &DiffPage { after: after.take(), size }).await.unwrap();
            for change in found.entities {
                let key = (change.collection.to_string(), change.id.to_string());
                match change.before {
                    Some(before) => drop(dump.insert(key, Value::Object(before).to_string())),
                    None => assert!(dump.remove(&key).is_some(), "{key:?} is new and therefore there"),
                }
            }
            match found.next {
                Some(next) => after = Some(next),
                None => return dump,
            }
        }
    }
}

pub(in crate::store) async fn the_state_of_any_version_can_be_told<H: Harness>() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..12 {
        let writes = writes().new_tree(&mut runner).unwrap().current();
        let (bench, harness) = (Bench::new(), H::new().await);
        let store = harness.open().await;
        let mut dumps = vec![bench.dump(&store).await];
        for (number, steps) in writes.iter().enumerate() {
            let version = bench.write(&store, steps, number).await;
            let dump = bench.dump(&store).await;
            if usize::try_from(version).unwrap() == dumps.len() {
                assert_ne!(dumps.last(), Some(&dump), "a version differs from the one before: {steps:?}");
                dumps.push(dump);
            } else {
                assert_eq!(dumps.last(), Some(&dump), "no version, no change: {steps:?}");
            }
        }
        for (version, dump) in dumps.iter().enumerate() {
            let told = bench.state(&store, version.try_into().unwrap(), 2).await;
            assert_eq!(told, *dump, "version {version} of {writes:?}");
        }
    }
}

pub(in crate::store) async fn two_versions_are_compared_as_they_were<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open().await;
    bench.insert(&store, &[("services", named("s", "one")), ("services", named("gone", "gone"))]).await.unwrap();
    bench.update(&store, "services", named("s", "two")).await.unwrap();
    bench.delete(&store, "services", "gone").await.unwrap();
    bench.update(&store, "services", named("s", "three")).await.unwrap();
    bench.insert(&store, &[("services", named("new", "new"))]).await.unwrap();
    let page = DiffPage { after: None, size: 10 };
    let show = |change: &EntityChange| {
        let name = |side: &Option<Object>| side.as_ref().map_or("-".to_owned(), |side| side["name"].to_string());
        format!("{} {} {}", change.id, name(&change.before), name(&change.after))
    };
    let diff = async |from, to| -> Vec<String> {
        store.diff(from, to, &page).await.unwrap().entities.iter().map(show).collect()
    };
    assert_eq!(diff(1, 2).await, ["s \"one\" \"two\""]);
    assert_eq!(diff(1, 3).await, ["gone \"gone\" -", "s \"one\" \"two\""]);
    assert_eq!(diff(2, 5).await, ["gone \"gone\" -", "new - \"new\"", "s \"two\" \"three\""]);
    assert!(diff(5, 5).await.is_empty());
    assert_eq!(store.oldest().await.unwrap(), 0);
}

pub(in crate::store) async fn a_version_knows_who_made_it<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open_with_history(3).await;
    for number in 1..=5 {
        let mut write = store.begin().await.unwrap();
        write.insert(bench.get("services"), &object(&named(&format!("{number}"), "x"))).await.unwrap_err_or_ok();
        write.insert(bench.get("consumers"), &object(&json!({"id": format!("{number}")}))).await.unwrap();
        let done = write.changes(1).unwrap();
        let request = Request {
            actor: format!("actor-{number}").into(),
            address: Some("127.0.0.1".to_owned()),
            method: "POST".to_owned(),
            path: "/consumers".to_owned(),
        };
        write.sign(Note { request, entities: json!([number]) });
        write.commit().await.unwrap();
        assert_eq!(done.entities.len(), 1);
    }
    let all = store.entries(&EntryFilter::default(), &EntryPage { before: None, size: 10 }).await.unwrap();
    let versions: Vec<_> = all.iter().map(|entry| entry.version.unwrap()).collect();
    assert_eq!(versions, [5, 4, 3], "newest first, and as far as the history reaches");
    assert_eq!((&*all[0].request.actor, &all[0].entities), ("actor-5", &json!([5])));
    assert!(all[0].at > 1_600_000_000.0);
    let page = EntryPage { before: Some(all[0].seq), size: 1 };
    let next = store.entries(&EntryFilter::default(), &page).await.unwrap();
    assert_eq!(next.iter().map(|entry| entry.version.unwrap()).collect::<Vec<_>>(), [4]);
    let of = async |filter: EntryFilter| store.entries(&filter, &EntryPage { before: None, size: 10 }).await.unwrap();
    let actor = of(EntryFilter { actor: Some("actor-4".to_owned()), ..EntryFilter::default() }).await;
    assert_eq!(actor.len(), 1);
    let entity = Some(("consumers".to_owned(), "5".to_owned()));
    assert_eq!(of(EntryFilter { entity, ..EntryFilter::default() }).await[0].version, Some(5));
}

trait Either {
    fn unwrap_err_or_ok(self);
}

impl Either for Result<()> {
    /// The first is stored, the others have its name.
    fn unwrap_err_or_ok(self) {
        assert!(matches!(self, Ok(()) | Err(StoreError::Unique { .. })), "{self:?}");
    }
}

pub(in crate::store) async fn refused_writes_make_no_version<H: Harness>() {
    let harness = H::new().await;
    let store = harness.open().await;
    let request = Request { address: None, ..Request::own("/services") };
    let refused = Refused { at: 7.5, request, status: 403 };
    store.refused(&[refused.clone(), Refused { at: 8.5, ..refused }]).await.unwrap();
    let only = EntryFilter { committed: Some(false), since: Some(8.0), ..EntryFilter::default() };
    let found = store.entries(&only, &EntryPage { before: None, size: 10 }).await.unwrap();
    assert_eq!(
        found.iter().map(|entry| (entry.at, entry.version, entry.status)).collect::<Vec<_>>(),
        [(8.5, None, Some(403))]
    );
    assert_eq!(store.version().await.unwrap(), 0);
}

pub(in crate::store) async fn the_last_report_of_each_node_counts<H: Harness>() {
    let harness = H::new().await;
    let store = harness.open().await;
    let report = |id: &str, version| NodeReport {
        id: id.to_owned(),
        hostname: "host".to_owned(),
        software: "1".to_owned(),
        version,
        quarantined: json!([{"id": "x"}]),
        modules: json!({"key-auth": "abc"}),
    };
    for (id, version) in [("b", 1), ("a", 1), ("b", 2)] {
        store.report(&report(id, version)).await.unwrap();
    }
    let nodes = store.nodes().await.unwrap();
    assert_eq!(nodes.iter().map(|heard| heard.report.clone()).collect::<Vec<_>>(), [report("a", 1), report("b", 2)]);
    assert!(nodes.iter().all(|heard| (-1.0..60.0).contains(&heard.age)), "{nodes:?}");
    store.leave("b").await.unwrap();
    assert_eq!(store.nodes().await.unwrap().len(), 1);
}

pub(in crate::store) async fn code_goes_when_no_version_that_is_kept_needs_it<H: Harness>() {
    let (bench, harness) = (Bench::new(), H::new().await);
    let store = harness.open_with_history(2).await;
    let module = |digest: &str| json!({"id": "m", "name": "m", "digest": digest});
    for (digest, is_new) in [("first", true), ("second", false)] {
        let mut write = store.begin().await.unwrap();
        write.put_code(digest, b"code").await.unwrap();
        let (modules, row) = (bench.get("modules"), object(&module(digest)));
        if is_new { write.insert(modules, &row).await } else { write.update(modules, &row).await }.unwrap();
        write.commit().await.unwrap();
    }
    assert!(store.code("first").await.unwrap().is_some(), "a rollback needs it");
    for name in ["a", "b", "c"] {
        bench.insert(&store, &[("services", named(name, name))]).await.unwrap();
    }
    bench.insert(&store, &[("modules", json!({"id": "o", "name": "o", "digest": null}))]).await.unwrap();
    assert_eq!(store.code("first").await.unwrap(), None, "the history does not reach back to it");
    assert!(store.code("second").await.unwrap().is_some(), "it is in use");
}

pub(in crate::store) async fn marks_are_read_in_their_order_and_make_no_version<H: Harness>() {
    let harness = H::new().await;
    let store = harness.open().await;
    let mark = |process: &str, address: Option<&str>, healthy| TargetMark {
        process: process.into(),
        upstream: "u".to_owned(),
        target: "10.0.0.1:80".to_owned(),
        address: address.map(str::to_owned),
        healthy,
    };
    store.mark(&mark("a", None, false)).await.unwrap();
    let begin = store.marks(None).await.unwrap();
    assert_eq!(begin, MarksSince { last: 1, ..MarksSince::default() }, "those before are for others");
    let marks = [mark("a", Some("10.0.0.1"), true), mark("b", None, false)];
    for mark in &marks {
        store.mark(mark).await.unwrap();
    }
    let found = store.marks(Some(begin.last)).await.unwrap();
    assert_eq!(found, MarksSince { last: 3, marks: marks.to_vec(), more: false });
    assert_eq!(store.marks(Some(3)).await.unwrap(), MarksSince { last: 3, ..MarksSince::default() });
    assert_eq!(store.marks(Some(9)).await.unwrap().last, 3, "another database");
    assert_eq!(store.version().await.unwrap(), 0);
}
