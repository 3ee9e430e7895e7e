use serde_json::json;

use super::*;
use crate::{model::core_registry, store::Key};

/// A store on a SQLite file in a folder.
async fn open(folder: &tempfile::TempDir) -> Result<Arc<Resilient>> {
    let database = Database::Sqlite(folder.path().join("sandgate.db"));
    let folder = folder.path().join("snapshot");
    Resilient::open(database, OutageOptions { folder, start_wait: Duration::ZERO, upkeep: Upkeep::Migrate }).await
}

async fn add(store: &Resilient, id: &str) -> Result<Version> {
    let (registry, consumer) = (core_registry(), json!({ "id": id, "username": id, "tags": null }));
    let mut write = store.begin().await?;
    write.insert(registry.get("consumers").unwrap(), consumer.as_object().unwrap()).await?;
    write.commit().await
}

async fn read(store: &Resilient, since: Version) -> Delta {
    store.changes_since(&core_registry(), since).await.unwrap()
}

#[tokio::test]
async fn a_lost_database_is_read_from_memory_and_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await.unwrap();
    let version = add(&store, "a").await.unwrap();
    assert!(read(&store, 0).await.version == version && store.unreachable_since().is_none());
    // A closed pool fails as a lost connection does.
    store.live.get().unwrap().close().await;
    let registry = core_registry();
    let consumers = registry.get("consumers").unwrap();
    assert!(store.get(consumers, Key::Unique("username", "a")).await.unwrap().is_some());
    assert!(store.unreachable_since().is_some());
    assert!(matches!(add(&store, "b").await, Err(StoreError::ReadOnly { .. })));
    let nothing = read(&store, version).await;
    assert!(nothing.version == version && nothing.changes.is_empty() && !nothing.full);
    assert!(read(&store, 0).await.full);
}

#[tokio::test]
async fn after_an_outage_only_what_differs_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await.unwrap();
    add(&store, "a").await.unwrap();
    let version = add(&store, "b").await.unwrap();
    read(&store, 0).await;
    store.lost(&silent());
    assert!(matches!(add(&store, "c").await, Err(StoreError::ReadOnly { .. })));
    store.found();
    let added = add(&store, "c").await.unwrap();
    let delta = read(&store, version).await;
    assert_eq!((delta.version, delta.full, delta.changes.len()), (added, false, 1));
    assert_eq!(&*delta.changes[0].id, "c");
}

#[tokio::test]
async fn a_damaged_file_is_an_outage_with_a_snapshot_and_an_error_without() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await.unwrap();
    let version = add(&store, "a").await.unwrap();
    read(&store, 0).await;
    let served = watch::Sender::new(version);
    let ending = crate::shutdown::Shutdown::new();
    ending.trigger();
    keep(store.clone(), served.subscribe(), Duration::from_millis(1), ending).await;
    store.close().await;
    std::fs::write(folder.path().join("sandgate.db"), [b'x'; 4096]).unwrap();
    for name in ["sandgate.db-wal", "sandgate.db-shm"] {
        _ = std::fs::remove_file(folder.path().join(name));
    }
    let store = open(&folder).await.unwrap();
    assert!(read(&store, 0).await.version == version && store.unreachable_since().is_some());
    std::fs::remove_dir_all(folder.path().join("snapshot")).unwrap();
    assert!(open(&folder).await.is_err());
}
