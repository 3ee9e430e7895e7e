//! Where the configuration is kept.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::Problem;

/// Where the configuration is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// The file of an embedded SQLite database.
    Sqlite(PathBuf),
    /// A PostgreSQL database, which other nodes may share.
    Postgres(PostgresUrl),
}

/// How a node uses a database that it does not hold itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseUse {
    /// Connections, beside one that listens.
    pub pool_size: u32,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long a write waits for the writes before it.
    pub lock_timeout: Duration,
    /// How often the node asks for changes of which it had no word.
    pub poll_interval: Duration,
}

/// `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=…`. Never shown, as it may hold a
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
}

/// What may stand behind the question mark.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

impl PostgresUrl {
    /// Reads the text of a setting.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let (_, query) = text.split_once('?').unwrap_or_default();
        for (name, _) in form_urlencoded::parse(query.as_bytes()) {
            if !PARAMETERS.contains(&&*name) && name != "statement-cache-capacity" {
                return Err(Problem::DatabaseParameter(name.into_owned()));
            }
        }
        match PgConnectOptions::from_str(text) {
            Ok(_) => Ok(Self { text: text.to_owned() }),
            Err(_) => Err(Problem::DatabaseUrl),
        }
    }

    /// For a client: what is missing comes from `PGHOST` and its like, and the password also from `~/.pgpass`.
    pub fn options(&self) -> PgConnectOptions {
        let options = PgConnectOptions::from_str(&self.text).unwrap_or_default();
        match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("sandgate"),
        }
    }

    /// Whether the connection must be encrypted.
    pub fn requires_tls(&self) -> bool {
        use PgSslMode::{Require, VerifyCa, VerifyFull};
        matches!(self.options().get_ssl_mode(), Require | VerifyCa | VerifyFull)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PostgresUrl(…)")
    }
}
