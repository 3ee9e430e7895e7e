//! From the settings of the configuration database to the store, and to what the Admin API shows of them.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use super::{builtins::Sharing, marks::Marking};
use crate::{
    config::{self, Config},
    model::Object,
    shutdown::{Shutdown, Tasks},
    snapshot::Published,
    store::{self, PostgresOptions, Store},
};

/// Which database the store opens. `None`: there is none.
pub(super) fn place(config: &Config) -> Option<store::Database> {
    Some(match &config.database {
        config::Database::Sqlite(file) => store::Database::Sqlite(file.clone()),
        config::Database::Postgres(url) => store::Database::Postgres(Box::new(PostgresOptions {
            connect: url.options(),
            connections: config.database_use.pool_size,
            connect_timeout: config.database_use.connect_timeout,
            acquire_timeout: config.database_use.acquire_timeout,
            statement_timeout: config.database_use.statement_timeout,
            lock_timeout: config.database_use.lock_timeout,
        })),
        config::Database::Off => return None,
    })
}

/// Whether other gateways may use the database, too.
pub(super) fn sharing(config: &Config) -> Sharing {
    match &config.database {
        config::Database::Postgres(_) => Sharing::Shared,
        config::Database::Sqlite(_) | config::Database::Off => Sharing::Own,
    }
}

/// What `GET /` shows of it, with Kong's names. Never the password.
pub(super) fn shown(database: &config::Database) -> Object {
    let config::Database::Postgres(url) = database else { return Object::new() };
    let options = url.options();
    let host = options.get_socket().map(|socket| socket.display().to_string());
    let fields = [
        ("pg_host", json!(host.unwrap_or_else(|| options.get_host().to_owned()))),
        ("pg_port", json!(options.get_port())),
        ("pg_user", json!(options.get_username())),
        ("pg_database", json!(options.get_database().unwrap_or_else(|| options.get_username()))),
        ("pg_ssl", json!(url.requires_tls())),
    ];
    fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// Passes on word of changes from now on: to the publisher, and to who follows the marks of targets.
pub(super) fn hear(config: &Config, store: &Arc<dyn Store>, published: &Published, tasks: &Tasks) -> Marking {
    let shared = match sharing(config) {
        Sharing::Shared => Some(store.clone()),
        Sharing::Own => None,
    };
    let marks = Marking::of(published, shared);
    let told = [published.changed.clone(), marks.word.clone()];
    tasks.spawn("watch of the database", watch(store.clone(), told, tasks.shutdown()));
    marks
}

/// Passes on word of changes, to each of these, until the gateway ends.
async fn watch(store: Arc<dyn Store>, told: [Arc<Notify>; 2], ending: Shutdown) {
    let word = Arc::new(Notify::new());
    let pass_on = async {
        loop {
            word.notified().await;
            told.iter().for_each(|changed| changed.notify_one());
        }
    };
    // Any arm may be dropped: word of changes is a hint.
    tokio::select! {
        () = store.watch(word.clone()) => {}
        () = pass_on => {}
        () = ending.triggered() => {}
    }
}
