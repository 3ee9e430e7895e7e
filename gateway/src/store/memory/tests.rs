use serde_json::json;

use super::*;
use crate::{
    model::core_registry,
    store::{StoreError, Tags},
};

fn object(value: serde_json::Value) -> Object {
    value.as_object().unwrap().clone()
}

fn services(names: &[(&str, &str)]) -> Vec<(Arc<Collection>, Object)> {
    let services = core_registry().get("services").unwrap().clone();
    let entity = |(id, name): &(&str, &str)| object(json!({"id": id, "name": name, "created_at": 1, "tags": [name]}));
    names.iter().map(|named| (services.clone(), entity(named))).collect()
}

fn changed(delta: &Delta) -> Vec<String> {
    let sign = |change: &crate::store::Change| if change.entity.is_none() { "-" } else { "" };
    delta.changes.iter().map(|change| format!("{}{}", sign(change), change.id)).collect()
}

#[tokio::test]
async fn a_load_replaces_everything_with_one_version() {
    let (store, registry) = (MemoryStore::default(), core_registry());
    assert_eq!(&*store.hash(), EMPTY_HASH);
    assert_eq!(store.replace(&services(&[("a", "x"), ("b", "y")]), "h1"), 1);
    assert_eq!(store.replace(&services(&[("b", "z"), ("c", "x")]), "h2"), 2);
    let delta = store.changes_since(&registry, 1).await.unwrap();
    assert_eq!((delta.version, delta.full, changed(&delta)), (2, false, vec!["b".into(), "c".into(), "-a".into()]));
    assert_eq!(&*store.hash(), "h2");
}

#[tokio::test]
async fn what_is_the_same_stays_and_makes_no_version() {
    let (store, registry) = (MemoryStore::default(), core_registry());
    store.replace(&services(&[("a", "x"), ("b", "y")]), "h1");
    let mut again = services(&[("a", "x"), ("b", "y")]);
    again[0].1.insert("created_at".into(), 99.into());
    assert_eq!(store.replace(&again, "h2"), 1);
    assert!(store.changes_since(&registry, 1).await.unwrap().changes.is_empty());
    let kept = store.get(&again[0].0, Key::Id("a")).await.unwrap().unwrap();
    assert_eq!(kept["created_at"], 1);
}

#[tokio::test]
async fn versions_go_on_from_those_of_another_process() {
    let (store, registry) = (MemoryStore::default(), core_registry());
    store.replace(&services(&[("a", "x")]), "h1");
    store.go_on_from(7);
    assert_eq!(store.replace(&services(&[("a", "x"), ("b", "y")]), "h2"), 8);
    let delta = store.changes_since(&registry, 1).await.unwrap();
    assert_eq!((delta.version, delta.full, delta.changes.len()), (8, true, 2));
    store.go_on_from(3);
    store.set_hash("h3");
    assert_eq!((store.contents_version(), &*store.hash()), (8, "h3"));
}

#[tokio::test]
async fn modules_outlive_a_load() {
    let (store, registry) = (MemoryStore::default(), core_registry());
    let modules = registry.get("modules").unwrap();
    store.install(modules, &object(json!({"id": "m", "name": "p"})), "digest", vec![1, 2]);
    store.replace(&services(&[("a", "x")]), "h");
    assert!(store.get(modules, Key::Unique("name", "p")).await.unwrap().is_some());
    assert_eq!(store.code("digest").await.unwrap(), Some(vec![1, 2]));
}

#[tokio::test]
async fn pages_and_filters_work_as_in_a_database() {
    let store = MemoryStore::default();
    let all = services(&[("a", "x"), ("b", "y"), ("c", "z")]);
    store.replace(&all, "h");
    let page = store.page(&all[0].0, &Filter::default(), &Page { after: None, size: 2 }).await.unwrap();
    assert_eq!((page.rows.len(), page.next.as_deref()), (2, Some("b")));
    let rest = store.page(&all[0].0, &Filter::default(), &Page { after: page.next, size: 2 }).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next), (1, None));
    let tagged = Filter { tags: Some(Tags::Any(vec!["y".into(), "q".into()])), ..Filter::default() };
    let found = store.page(&all[0].0, &tagged, &Page { after: None, size: 9 }).await.unwrap();
    assert_eq!(found.rows[0]["id"], "b");
}

#[tokio::test]
async fn a_single_write_is_refused() {
    let store = MemoryStore::default();
    let all = services(&[("a", "x")]);
    store.replace(&all, "h");
    let mut write = store.begin().await.unwrap();
    let refused = write.insert(&all[0].0, &object(json!({"id": "n"}))).await.unwrap_err();
    assert!(matches!(refused, StoreError::NoDatabase { collection } if &*collection == "services"));
    assert!(write.get(&all[0].0, Key::Id("a")).await.unwrap().is_some());
}

#[tokio::test]
async fn an_expired_entity_is_gone() {
    let (store, registry) = (MemoryStore::default(), core_registry());
    let mut collection = Collection::clone(registry.get("consumers").unwrap());
    collection.ttl = true;
    let collection = Arc::new(collection);
    let entity = |id: &str, ttl: u64| object(json!({"id": id, "created_at": contents::now() - 10.0, "ttl": ttl}));
    store.replace(&[(collection.clone(), entity("old", 5)), (collection.clone(), entity("new", 500))], "h");
    assert!(store.get(&collection, Key::Id("old")).await.unwrap().is_none());
    assert_eq!((store.expired_sweep(), store.expired_sweep()), (1, 0));
    let delta = store.changes_since(&registry, 1).await.unwrap();
    assert_eq!((delta.version, changed(&delta)), (2, vec!["-old".into()]));
}
