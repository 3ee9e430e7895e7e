//! Which failures of the database mean that it is away, and which that waiting cannot help.

use super::PROBE;
use crate::store::StoreError;

/// Whether an error says that the database cannot be used at all for now.
pub(super) fn is_outage(error: &StoreError) -> bool {
    match error {
        StoreError::Unreachable(_) | StoreError::Busy(_) => true,
        StoreError::Database(error) | StoreError::Migrate(sqlx::migrate::MigrateError::Execute(error)) => {
            matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) || sqlite_code(error).is_some()
        }
        _ => false,
    }
}

/// Whether waiting cannot help: the file is damaged.
pub(super) fn is_broken(error: &StoreError) -> bool {
    match error {
        StoreError::Database(error) | StoreError::Migrate(sqlx::migrate::MigrateError::Execute(error)) => {
            matches!(sqlite_code(error), Some(11 | 26))
        }
        _ => false,
    }
}

/// Code of SQLite for a file that is locked (5, 6), fails (10), is damaged (11, 26) or cannot be opened (14).
fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let sqlx::Error::Database(said) = error else { return None };
    // States of PostgreSQL have five characters.
    let code = said.code().filter(|code| code.len() < 5)?.parse::<i32>().ok()? & 0xff;
    matches!(code, 5 | 6 | 10 | 11 | 14 | 26).then_some(code)
}

pub(super) fn silent() -> StoreError {
    StoreError::silent("an answer", PROBE)
}

pub(super) fn reason(error: &StoreError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}
