//! Which failures of the database mean that it is away, and which that waiting cannot help.

use std::io;

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

/// Whether the database is there and refuses this gateway: by password, certificate or name.
pub(super) fn is_refusal(error: &StoreError) -> bool {
    let StoreError::Unreachable(error) = error else { return false };
    match &**error {
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => true,
        sqlx::Error::Io(error) => is_distrust(error),
        // Appendix A of PostgreSQL's manual: authorization, and a database that does not exist.
        sqlx::Error::Database(said) => said.code().is_some_and(|code| code.starts_with("28") || code == "3D000"),
        _ => false,
    }
}

/// Whether the server showed a certificate that is not trusted, or is another's.
fn is_distrust(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidCertificate(_)))
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
