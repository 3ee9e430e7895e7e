//! Statements on a connection to SQLite.

use async_trait::async_trait;
use sqlx::{Sqlite, SqliteConnection};

use crate::store::{
    Result, Version,
    backend::Session,
    query::{Query, Shape},
};

#[async_trait]
impl Session for SqliteConnection {
    const CLOCK: &str = "unixepoch('subsec')";

    async fn execute(&mut self, query: Query) -> Result<()> {
        let (text, arguments) = query.split::<Sqlite>()?;
        sqlx::query_with(text, arguments).execute(self).await?;
        Ok(())
    }

    async fn rows<T: Shape>(&mut self, query: Query) -> Result<Vec<T>> {
        let (text, arguments) = query.split::<Sqlite>()?;
        Ok(sqlx::query_as_with(text, arguments).fetch_all(self).await?)
    }

    fn push_json(query: &mut Query, names: &[String]) {
        let path = names.iter().fold("$".to_owned(), |path, name| format!("{path}.\"{name}\""));
        // SQLite has 0 and 1 for the truth values of JSON.
        query.push("CASE json_type(data, ").bind(path.clone());
        query.push(") WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(json_extract(data, ");
        query.bind(path).push(") AS TEXT) END");
    }

    fn announcement(_version: Version) -> Option<Query> {
        None
    }
}
