//! Why the store refuses or fails.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::model::Object;

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another entity has the same values in a unique group.
    #[error("unique constraint of {collection} violated")]
    Unique {
        /// Internal name of the collection.
        collection: Arc<str>,
        /// The group with its values.
        fields: Object,
    },
    /// The id exists already.
    #[error("{collection} has the id {id} already")]
    PrimaryKey {
        /// Internal name of the collection.
        collection: Arc<str>,
        /// The id.
        id: Arc<str>,
    },
    /// The configuration comes from a declarative file, which is all that may change it.
    #[error("{collection} cannot be changed without a database")]
    NoDatabase {
        /// Internal name of the collection.
        collection: Arc<str>,
    },
    /// A reference points to nothing.
    #[error("{field} refers to no entity of {to}")]
    ForeignKey {
        /// The field.
        field: Arc<str>,
        /// Collection it refers to.
        to: Arc<str>,
        /// The value of the field.
        value: Value,
    },
    /// The entity cannot be deleted while others refer to it.
    #[error("{collection} is referenced by {by}")]
    Referenced {
        /// Collection of the entity.
        collection: Arc<str>,
        /// Collection of the entities that refer to it.
        by: Arc<str>,
    },
    /// The database cannot be reached or does not answer. A write that was being committed may have been.
    #[error("the configuration database cannot be reached")]
    Unreachable(#[source] Arc<sqlx::Error>),
    /// The database has been away for a while, and nothing can be written.
    #[error("the configuration database cannot be reached, since {}: the configuration is read-only until it is back", httpdate::fmt_http_date(*since))]
    ReadOnly {
        /// When that was noticed.
        since: SystemTime,
    },
    /// The connection broke before the database had answered the commit.
    #[error("the configuration database went away during the commit: the change may or may not have been made")]
    Uncertain(#[source] Arc<sqlx::Error>),
    /// Other writes, or whoever else uses the database, took too long.
    #[error("the configuration database was busy for {0:?}")]
    Busy(Duration),
    /// The database gave up on a statement that took too long.
    #[error("the configuration database took too long")]
    Slow(#[source] sqlx::Error),
    /// A unique value is longer than an index of the database can hold.
    #[error("a value is too long for an index of the configuration database")]
    TooLong(#[source] sqlx::Error),
    /// The database failed.
    #[error("the configuration database failed")]
    Database(#[source] sqlx::Error),
    /// The database lacks migrations, and who asks must not apply them.
    #[error(
        "the configuration database is older than this program: {missing} migrations are pending; `sandgate migrate up` \
         applies them"
    )]
    OlderSchema {
        /// How many it lacks.
        missing: usize,
    },
    /// A later version of the program has migrated the database.
    #[error(
        "the configuration database is newer than this program: it has migration {found:04}, and this program knows none \
         after {last:04}"
    )]
    NewerSchema {
        /// The last one of the database.
        found: i64,
        /// The last one of this program.
        last: i64,
    },
    /// Migrations could not be applied.
    #[error("the configuration database could not be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A stored row cannot be read.
    #[error("a row of {0} cannot be read")]
    Corrupt(Arc<str>, #[source] serde_json::Error),
}

impl StoreError {
    /// A failed attempt to connect.
    pub(super) fn unreachable(error: sqlx::Error) -> Self {
        Self::Unreachable(Arc::new(error))
    }

    /// Waiting for `what` took too long.
    pub(super) fn silent(what: &str, limit: Duration) -> Self {
        let error = io::Error::new(io::ErrorKind::TimedOut, format!("no {what} within {limit:?}"));
        Self::unreachable(error.into())
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};
        match &error {
            Io(_) | Tls(_) | Protocol(_) | PoolTimedOut | PoolClosed | WorkerCrashed => Self::unreachable(error),
            sqlx::Error::Database(said) => match said.code().as_deref().map(Meaning::of) {
                Some(Meaning::Gone) => Self::unreachable(error),
                Some(Meaning::Slow) => Self::Slow(error),
                Some(Meaning::TooLong) => Self::TooLong(error),
                _ => Self::Database(error),
            },
            _ => Self::Database(error),
        }
    }
}

/// What a state of PostgreSQL means for who waits.
enum Meaning {
    Gone,
    Slow,
    TooLong,
    Other,
}

impl Meaning {
    /// Appendix A of PostgreSQL's manual. The codes of SQLite are shorter.
    fn of(code: &str) -> Self {
        match code {
            // Shutting down, crashed, starting, dropped; too many connections; idle in a transaction for too long.
            "57P01" | "57P02" | "57P03" | "57P04" | "53300" | "25P03" => Self::Gone,
            // A statement or lock timeout.
            "57014" | "55P03" => Self::Slow,
            // Of the limits of the server, only that of an index row can be met.
            "54000" => Self::TooLong,
            connection if connection.len() == 5 && connection.starts_with("08") => Self::Gone,
            _ => Self::Other,
        }
    }
}
