//! Listens for versions that other nodes made, and finds out when the database is lost and there again.

use std::{convert::Infallible, sync::Arc, time::Duration};

use sqlx::{Connection, Executor, postgres::PgListener};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{CHANNEL, PostgresStore, limited};
use crate::store::{Result, StoreError};

/// Between two attempts to reach a database that is lost.
const RETRY: Duration = Duration::from_millis(200);

/// A connection that heard nothing for so long is asked whether it is alive.
const PULSE: Duration = Duration::from_secs(2);

/// Never ends. What was missed while nobody listened is covered by the word that is given after each new connection.
pub(super) async fn watch(store: &PostgresStore, changed: &Arc<Notify>) {
    loop {
        let Err(error) = listen(store, changed).await;
        store.health.broke();
        tracing::debug!(error = &error as &dyn std::error::Error, "not listening to the configuration database");
        if let Err(StoreError::Unreachable(reason)) = reach(store).await {
            tracing::debug!(error = &*reason as &dyn std::error::Error, "the configuration database is lost");
            store.health.lost(reason);
            sleep(RETRY).await;
        }
    }
}

/// Whether a new connection can be made. The pool would try on for as long as it may wait.
async fn reach(store: &PostgresStore) -> Result<()> {
    let connection = store.connect(&limited(&store.options)).await?;
    _ = timeout(store.options.connect_timeout, connection.close()).await;
    Ok(())
}

/// Listens until the connection is lost.
async fn listen(store: &PostgresStore, changed: &Notify) -> Result<Infallible> {
    reach(store).await?;
    let mut listener = PgListener::connect_with(&store.listening).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    if store.health.found() {
        tracing::info!("the configuration database is there again");
    }
    changed.notify_one();
    loop {
        match timeout(PULSE, listener.try_recv()).await {
            Ok(Ok(Some(_version))) => changed.notify_one(),
            Ok(Ok(None)) => return Err(StoreError::silent("word of changes", Duration::ZERO)),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let limit = store.options.connect_timeout;
                let alive = timeout(limit, listener.execute("SELECT 1")).await;
                alive.map_err(|_| StoreError::silent("an answer", limit))??;
            }
        }
    }
}
