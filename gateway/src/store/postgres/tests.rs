use serde_json::json;
use sqlx::{AssertSqlSafe, Row};

use super::*;
use crate::{
    model::Collection,
    store::{
        Key, Store, Version,
        conformance::{Harness, conformance},
    },
};

#[expect(dead_code, unreachable_pub, reason = "shared with the end-to-end tests")]
#[path = "../../../../tests/harness/postgres.rs"]
mod server;

#[expect(unreachable_pub, reason = "shared with the end-to-end tests")]
#[path = "../../../../tests/harness/port.rs"]
mod port;

use port::Port;
use server::TestPostgres;

struct Shared(String);

fn options(url: &str) -> PostgresOptions {
    PostgresOptions {
        connect: url.parse().unwrap(),
        connections: 4,
        connect_timeout: Duration::from_secs(30),
        acquire_timeout: Duration::from_secs(30),
        statement_timeout: Duration::from_secs(10),
        lock_timeout: Duration::from_secs(30),
    }
}

impl Harness for Shared {
    type Store = PostgresStore;

    async fn new() -> Self {
        Self(tokio::task::spawn_blocking(|| TestPostgres::shared().database()).await.unwrap())
    }

    async fn open_with_history(&self, rows: u32) -> PostgresStore {
        let store = PostgresStore::new(options(&self.0)).with_history(rows);
        Store::prepare(&store).await.unwrap();
        store
    }
}

conformance!(Shared);

fn services() -> Collection {
    Collection {
        name: "services".into(),
        path: "services".into(),
        endpoint_key: None,
        unique: vec![vec!["name".into()]],
        references: vec![],
        names: None,
        listed_in: Vec::new(),
        ttl: false,
        declared_by: None,
        schema: crate::model::schema::Schema::default(),
    }
}

async fn insert(store: &PostgresStore, id: &str) -> Version {
    let mut write = store.begin().await.unwrap();
    write.insert(&services(), json!({"id": id, "name": id}).as_object().unwrap()).await.unwrap();
    write.commit().await.unwrap()
}

#[tokio::test]
async fn lookups_walk_an_index() {
    let store = Shared::new().await.open().await;
    let cases = [
        "SELECT data FROM services WHERE TRUE AND name = 'x' LIMIT 1",
        "SELECT id, data FROM routes WHERE TRUE AND service_id = 'x' AND id > 'a' ORDER BY id LIMIT 9",
        "SELECT id FROM plugins WHERE TRUE AND name = 'x' AND route_id IS NULL AND service_id = 'x' AND consumer_id IS NULL",
        "SELECT id, data FROM entities WHERE collection = 'x' AND (expires_at IS NULL OR expires_at > 1) \
         AND consumer_id = 'x' AND id > 'a' ORDER BY id LIMIT 9",
        "SELECT id FROM entities WHERE collection = 'x' AND expires_at <= 1",
        "SELECT id FROM tags WHERE collection = 'x' AND tag IN ('a', 'b') GROUP BY id",
        "SELECT DISTINCT id FROM changes WHERE version > 1 AND collection = 'x'",
    ];
    let mut connection = store.reader().await.unwrap();
    // Of empty tables the planner would rather read everything.
    sqlx::query("SET enable_seqscan = off").execute(&mut *connection).await.unwrap();
    for case in cases {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN {case}"))).fetch_all(&mut *connection).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        assert!(plan.iter().any(|line| line.contains("Index Cond")), "{case}: {plan:?}");
    }
}

#[tokio::test]
async fn many_nodes_migrate_one_database_at_once() {
    let database = Shared::new().await;
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let store = PostgresStore::new(options(&database.0));
        nodes.spawn(async move { Store::prepare(&store).await });
    }
    nodes.join_all().await.into_iter().collect::<Result<Vec<_>>>().unwrap();
    assert_eq!(insert(&database.open().await, "a").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn word_of_a_write_reaches_the_others() {
    let database = Shared::new().await;
    let (here, there) = (database.open().await, database.open().await);
    let changed = Arc::new(Notify::new());
    let watching = changed.clone();
    let write_when_heard = async {
        changed.notified().await;
        insert(&there, "a").await;
        timeout(Duration::from_secs(30), changed.notified()).await.expect("word");
    };
    // The watch never ends by itself.
    tokio::select! {
        () = Store::watch(&here, watching) => {}
        () = write_when_heard => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_database_is_an_error_at_once_and_found_again() {
    let server = tokio::task::spawn_blocking(TestPostgres::start).await.unwrap();
    let store = Arc::new(Shared(server.database()).open().await);
    assert_eq!(insert(&store, "a").await, 1);
    let changed = Arc::new(Notify::new());
    let lose_and_find = async {
        changed.notified().await;
        server.kill9();
        let began = std::time::Instant::now();
        let read = store.get(&services(), Key::Id("a")).await.unwrap_err();
        let write = store.begin().await.err().unwrap();
        assert!(matches!((&read, &write), (StoreError::Unreachable(_), StoreError::Unreachable(_))), "{read:?}");
        assert!(began.elapsed() < Duration::from_secs(15), "after {:?}", began.elapsed());
        server.start_again();
        timeout(Duration::from_secs(60), changed.notified()).await.expect("word that it is there again");
        assert!(store.get(&services(), Key::Id("a")).await.unwrap().is_some());
        assert_eq!(insert(&store, "b").await, 2);
    };
    // The watch never ends by itself.
    tokio::select! {
        () = Store::watch(&*store, changed.clone()) => {}
        () = lose_and_find => {}
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_so_at_once() {
    let began = std::time::Instant::now();
    let store = PostgresStore::new(options("postgres://nobody@127.0.0.1:1/nothing"));
    let error = Store::prepare(&store).await.unwrap_err();
    assert_eq!(error.to_string(), "the configuration database cannot be reached");
    assert!(began.elapsed() < Duration::from_secs(15), "after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_write_waits_for_others_only_so_long() {
    let database = Shared::new().await;
    let first = database.open().await;
    let short = PostgresOptions { lock_timeout: Duration::from_secs(2), ..options(&database.0) };
    let second = PostgresStore::new(short);
    let held = first.begin().await.unwrap();
    let error = second.begin().await.err().unwrap();
    assert!(matches!(error, StoreError::Slow(_)), "{error:?}");
    drop(held);
    assert_eq!(insert(&second, "a").await, 1);
}

#[tokio::test]
async fn a_write_that_its_caller_gave_up_frees_the_others() {
    let database = Shared::new().await;
    let (store, other) = (database.open().await, database.open().await);
    let mut write = store.begin().await.unwrap();
    let (services, gone) = (services(), json!({"id": "gone"}));
    // Polled once and dropped in the middle.
    _ = timeout(Duration::ZERO, write.insert(&services, gone.as_object().unwrap())).await;
    drop(write);
    assert_eq!(insert(&other, "next").await, 1);
    assert!(store.get(&services, Key::Id("gone")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_text_may_hold_nul_and_what_looks_like_it() {
    let store = Shared::new().await.open().await;
    let services = services();
    for (number, name) in ["a\0b", "\0", r"\u0000", "\\\0", r"\\u0000x"].into_iter().enumerate() {
        let entity = json!({"id": number.to_string(), "name": name, "path": name});
        let mut write = store.begin().await.unwrap();
        write.insert(&services, entity.as_object().unwrap()).await.unwrap();
        write.commit().await.unwrap();
        for field in ["name", "path"] {
            let found = store.get(&services, Key::Unique(field, name)).await.unwrap();
            assert_eq!(found.map(serde_json::Value::Object), Some(entity.clone()), "{field} {name:?}");
        }
    }
}

#[tokio::test]
async fn a_unique_value_that_no_index_can_hold_is_refused_by_name() {
    let store = Shared::new().await.open().await;
    // Random, as the index would compress anything else.
    let name: String = (0..300).map(|_| uuid::Uuid::new_v4().to_string()).collect();
    let mut write = store.begin().await.unwrap();
    let error = write.insert(&services(), json!({"id": "a", "name": name}).as_object().unwrap()).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLong(_)), "{error:?}");
    drop(write);
    assert_eq!(insert(&store, "a").await, 1);
}
