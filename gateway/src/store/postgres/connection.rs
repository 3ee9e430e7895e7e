//! Statements on a connection to PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{PgConnection, Postgres};
use tokio::time::timeout;

use super::CHANNEL;
use crate::store::{
    Result, StoreError, Version,
    backend::Session,
    query::{Bound, Query, Shape},
};

/// A server that says nothing for so long is gone: longer than any statement timeout that can be set.
const SILENCE: Duration = Duration::from_secs(90);

/// PostgreSQL has no NUL in texts. Columns, which only repeat what `data` holds as JSON, have this noncharacter instead.
const NUL: &str = "\u{10ffff}";

/// The same in JSON: `\u0000` after an even number of backslashes becomes the noncharacter.
const JSON: &str = r"(CASE WHEN data LIKE '%u0000%' THEN regexp_replace(data, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\udbff\\udfff', 'g') ELSE data END)::json";

#[async_trait]
impl Session for PgConnection {
    const CLOCK: &str = "(extract(epoch FROM clock_timestamp())::float8)";

    async fn execute(&mut self, query: Query) -> Result<()> {
        let (text, arguments) = without_nul(query).split::<Postgres>()?;
        answered(sqlx::query_with(text, arguments).execute(self)).await?;
        Ok(())
    }

    async fn rows<T: Shape>(&mut self, query: Query) -> Result<Vec<T>> {
        let (text, arguments) = without_nul(query).split::<Postgres>()?;
        answered(sqlx::query_as_with(text, arguments).fetch_all(self)).await
    }

    fn push_json(query: &mut Query, names: &[String]) {
        query.push(JSON);
        for (number, name) in names.iter().enumerate() {
            query.push(if number + 1 == names.len() { " ->> " } else { " -> " }).bind(name.as_str());
        }
    }

    fn announcement(version: Version) -> Option<Query> {
        Some(Query::with("SELECT pg_notify($1, $2)", [CHANNEL.into(), version.to_string().into()]))
    }
}

async fn answered<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T> {
    Ok(timeout(SILENCE, work).await.map_err(|_| StoreError::silent("an answer", SILENCE))??)
}

fn without_nul(mut query: Query) -> Query {
    for value in &mut query.values {
        if let Bound::Text(Some(text)) = value
            && text.contains('\0')
        {
            *text = text.replace('\0', NUL);
        }
    }
    query
}
