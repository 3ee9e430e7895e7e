//! Gateways on a PostgreSQL that they share.

mod applied;
mod both;
mod handover;
mod marks;
mod nodes;
mod outage;
mod start;

use crate::harness::{Gateway, TestGateway, TestPostgres};

/// A database of the test's own on the server that all tests share.
async fn database() -> String {
    tokio::task::spawn_blocking(|| TestPostgres::shared().database()).await.unwrap()
}

/// What `psql` answers.
async fn sql(url: &str, statements: &str) -> String {
    let (url, statements) = (url.to_owned(), statements.to_owned());
    tokio::task::spawn_blocking(move || TestPostgres::shared().sql(&url, &statements)).await.unwrap()
}

/// Three gateways on one database, each started on its own after the other.
async fn three(url: &str) -> [Gateway; 3] {
    let start = || TestGateway::new().on_postgres(url).start();
    [start().await, start().await, start().await]
}
