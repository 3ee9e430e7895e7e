//! Which migrations a database has, without changing it.

use std::collections::BTreeSet;

use sqlx::{Connection, PgConnection, SqliteConnection, migrate::Migrator, sqlite::SqliteConnectOptions};

use super::{Database, Result, StoreError};

/// One step of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// Its number; steps are made in their order.
    pub number: i64,
    /// What it does.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// What becomes of a schema that is not the one of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// An older one is migrated.
    Migrate,
    /// It is refused: who only looks changes nothing.
    Refuse,
}

/// Every migration that this program knows, and whether the database has it. A SQLite file that is not there has none.
///
/// # Errors
/// When the database cannot be asked.
pub async fn migrations(database: &Database) -> Result<Vec<Migration>> {
    let (known, applied) = compared(database).await?;
    Ok(listed(&known, &applied))
}

/// Refuses a database whose schema is older or newer than the one of this program.
pub(super) async fn refuse_others(database: &Database) -> Result<()> {
    let (known, applied) = compared(database).await?;
    let last = known.iter().map(|migration| migration.version).max().unwrap_or_default();
    if let Some(&found) = applied.last().filter(|found| **found > last) {
        return Err(StoreError::NewerSchema { found, last });
    }
    match listed(&known, &applied).iter().filter(|migration| !migration.applied).count() {
        0 => Ok(()),
        missing => Err(StoreError::OlderSchema { missing }),
    }
}

/// The migrations that this program knows, and the numbers of those that the database has.
async fn compared(database: &Database) -> Result<(Migrator, BTreeSet<i64>)> {
    let (known, applied) = match database {
        Database::Sqlite(file) if !file.exists() => (sqlx::migrate!("../migrations/sqlite"), Vec::new()),
        Database::Sqlite(file) => {
            let options = SqliteConnectOptions::new().filename(file).read_only(true);
            let mut db = SqliteConnection::connect_with(&options).await?;
            let tables = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
            let is_there: i64 = sqlx::query_scalar(tables).fetch_one(&mut db).await?;
            let applied = if is_there > 0 { sqlx::query_scalar(APPLIED).fetch_all(&mut db).await? } else { Vec::new() };
            db.close().await?;
            (sqlx::migrate!("../migrations/sqlite"), applied)
        }
        Database::Postgres(options) => {
            let connecting = PgConnection::connect_with(&options.connect);
            let limit = options.connect_timeout;
            let connected = tokio::time::timeout(limit, connecting).await;
            let connected = connected.map_err(|_| StoreError::silent("connection", limit))?;
            let mut db = connected.map_err(StoreError::unreachable)?;
            let tables = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
            let is_there: bool = sqlx::query_scalar(tables).fetch_one(&mut db).await?;
            let applied = if is_there { sqlx::query_scalar(APPLIED).fetch_all(&mut db).await? } else { Vec::new() };
            db.close().await?;
            (sqlx::migrate!("../migrations/postgres"), applied)
        }
    };
    Ok((known, applied.into_iter().collect()))
}

const APPLIED: &str = "SELECT version FROM _sqlx_migrations WHERE success";

fn listed(known: &Migrator, applied: &BTreeSet<i64>) -> Vec<Migration> {
    let listed = |migration: &sqlx::migrate::Migration| Migration {
        number: migration.version,
        name: migration.description.to_string(),
        applied: applied.contains(&migration.version),
    };
    known.iter().map(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_file_has_none_and_an_opened_one_has_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = Database::Sqlite(folder.path().join("a.db"));
        let before = migrations(&place).await.unwrap();
        assert!(before.len() >= 4 && before.iter().all(|migration| !migration.applied));
        super::super::open(&place).await.unwrap().close().await;
        assert!(migrations(&place).await.unwrap().iter().all(|migration| migration.applied));
    }

    #[tokio::test]
    async fn an_older_and_a_newer_schema_are_refused_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let place = Database::Sqlite(file.clone());
        assert!(matches!(refuse_others(&place).await, Err(StoreError::OlderSchema { .. })));
        assert!(!file.exists());
        super::super::open(&place).await.unwrap().close().await;
        refuse_others(&place).await.unwrap();
        let last = migrations(&place).await.unwrap().len() as i64;
        for (change, expected) in [
            (
                "UPDATE _sqlx_migrations SET version = 9000 WHERE version = 1",
                StoreError::NewerSchema { found: 9000, last },
            ),
            ("DELETE FROM _sqlx_migrations WHERE version = 9000", StoreError::OlderSchema { missing: 1 }),
        ] {
            let mut db = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file)).await.unwrap();
            sqlx::query(change).execute(&mut db).await.unwrap();
            db.close().await.unwrap();
            assert_eq!(refuse_others(&place).await.unwrap_err().to_string(), expected.to_string());
        }
    }
}
