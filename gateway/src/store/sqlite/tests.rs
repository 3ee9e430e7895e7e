use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use sqlx::Row;

use super::*;
use crate::{
    model::Collection,
    store::{
        Key, Store, Version,
        conformance::{Harness, conformance},
    },
};

struct File(tempfile::TempDir);

impl File {
    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("sandgate.db")
    }
}

impl Harness for File {
    type Store = SqliteStore;

    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open_with_history(&self, rows: u32) -> SqliteStore {
        SqliteStore::open(&self.path()).await.unwrap().with_history(rows)
    }
}

conformance!(File);

fn services() -> Collection {
    Collection {
        name: "services".into(),
        path: "services".into(),
        endpoint_key: None,
        unique: vec![vec!["name".into()]],
        references: vec![],
        ttl: false,
        declared_by: None,
        schema: crate::model::schema::Schema::default(),
    }
}

async fn insert(store: &SqliteStore, id: &str) -> Version {
    let mut write = store.begin().await.unwrap();
    write.insert(&services(), json!({"id": id, "name": id}).as_object().unwrap()).await.unwrap();
    write.commit().await.unwrap()
}

#[tokio::test]
async fn an_acknowledged_write_is_in_the_files_at_once() {
    let (file, copy) = (File::new().await, File::new().await);
    let store = file.open().await;
    insert(&store, "a").await;
    let unfinished = store.begin().await.unwrap();
    for name in ["sandgate.db", "sandgate.db-wal"] {
        // What kill -9 leaves behind: the files as they are, without a checkpoint.
        std::fs::copy(file.0.path().join(name), copy.0.path().join(name)).unwrap();
    }
    drop(unfinished);
    let copied = copy.open().await;
    assert_eq!(copied.version().await.unwrap(), 1);
    assert!(copied.get(&services(), Key::Unique("name", "a")).await.unwrap().is_some());
}

#[tokio::test]
async fn the_database_is_private_and_durable() {
    let file = File::new().await;
    let store = file.open().await;
    insert(&store, "a").await;
    for name in ["sandgate.db", "sandgate.db-wal"] {
        let mode = std::fs::metadata(file.0.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let pragma = sqlx::query("SELECT * FROM pragma_journal_mode, pragma_synchronous, pragma_foreign_keys");
    let row = pragma.fetch_one(&store.writer).await.unwrap();
    assert_eq!((row.get::<String, _>(0), row.get::<i64, _>(1), row.get::<i64, _>(2)), ("wal".to_owned(), 2, 1));
}

#[tokio::test]
async fn lookups_walk_an_index() {
    let store = File::new().await.open().await;
    let cases = [
        "SELECT data FROM services WHERE TRUE AND name = 'x' LIMIT 1",
        "SELECT id, data FROM routes WHERE TRUE AND service_id = 'x' AND id > 'a' ORDER BY id LIMIT 9",
        "SELECT 1 FROM plugins WHERE TRUE AND name = 'x' AND route_id IS NULL AND service_id = 'x' AND consumer_id IS NULL",
        "SELECT id, data FROM entities WHERE collection = 'x' AND (expires_at IS NULL OR expires_at > 1) \
         AND consumer_id = 'x' AND id > 'a' ORDER BY id LIMIT 9",
        "SELECT id FROM entities WHERE collection = 'x' AND expires_at <= 1",
        "SELECT id FROM tags WHERE collection = 'x' AND tag IN ('a', 'b') GROUP BY id",
        "SELECT DISTINCT id FROM changes WHERE version > 1 AND collection = 'x'",
    ];
    for case in cases {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {case}")));
        let plan: Vec<String> =
            plan.fetch_all(&store.writer).await.unwrap().iter().map(|row| row.get("detail")).collect();
        assert!(plan[0].starts_with("SEARCH"), "{case}: {plan:?}");
    }
}

#[tokio::test]
async fn a_write_that_its_caller_gave_up_frees_the_writer() {
    let store = File::new().await.open().await;
    let mut write = store.begin().await.unwrap();
    let entity = json!({"id": "gone"});
    let services = services();
    let insert_late = write.insert(&services, entity.as_object().unwrap());
    // Polled once and dropped in the middle.
    let _ = tokio::time::timeout(Duration::ZERO, insert_late).await;
    drop(write);
    assert_eq!(insert(&store, "next").await, 1);
    assert!(store.get(&services, Key::Id("gone")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_row_that_is_no_json_is_named() {
    let store = File::new().await.open().await;
    sqlx::query("INSERT INTO services (id, data) VALUES ('x', '{')").execute(&store.writer).await.unwrap();
    let error = store.get(&services(), Key::Id("x")).await.unwrap_err();
    assert_eq!(error.to_string(), "a row of services cannot be read");
}
