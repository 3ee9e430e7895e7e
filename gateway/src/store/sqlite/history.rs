//! Versions, the audit log and the reports of nodes.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use serde_json::Value;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection};

use super::{SqliteStore, read::now};
use crate::store::{
    Counts, Diff, DiffPage, EntityChange, Entry, EntryFilter, EntryPage, Heard, History, NodeReport, Note, Refused,
    Request, Result, StoreError, Version, entity,
    history::{NODE_KEPT, REFUSALS},
    table::Table,
};

/// Ids a statement, below SQLite's bound of 32,766 values.
const IDS_A_STATEMENT: usize = 10_000;

/// Adds the row of a version to the audit log.
pub(super) async fn keep(db: &mut SqliteConnection, version: i64, counts: Counts, note: &Note) -> Result<()> {
    let query = "INSERT INTO audit (at, version, actor, address, method, path, created, updated, deleted, entities) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let Request { actor, address, method, path } = &note.request;
    let query = sqlx::query(query).bind(now()).bind(version).bind(&**actor).bind(address).bind(method).bind(path);
    let query = query.bind(counts.created.cast_signed()).bind(counts.updated.cast_signed());
    query.bind(counts.deleted.cast_signed()).bind(note.entities.to_string()).execute(db).await?;
    Ok(())
}

/// A row of the audit log as the table has it.
#[derive(FromRow)]
struct Logged {
    seq: i64,
    at: f64,
    version: Option<i64>,
    actor: String,
    address: Option<String>,
    method: String,
    path: String,
    status: Option<i64>,
    created: i64,
    updated: i64,
    deleted: i64,
    entities: String,
}

/// A report as the table has it.
#[derive(FromRow)]
struct Node {
    id: String,
    hostname: String,
    software: String,
    version: i64,
    quarantined: String,
    modules: String,
    age: f64,
}

/// The first change of an entity after the first version, and its first one after the second.
#[derive(FromRow)]
struct Changed {
    collection: String,
    id: String,
    before: Option<String>,
    /// The entity changed again after the second version, and this is how it was then.
    superseded: bool,
    later: Option<String>,
}

#[async_trait]
impl History for SqliteStore {
    async fn oldest(&self) -> Result<Version> {
        let query = sqlx::query_scalar("SELECT max(history_from, recorded_from) FROM config_version");
        let oldest: i64 = query.fetch_one(&self.readers).await?;
        Ok(oldest.cast_unsigned())
    }

    async fn entries(&self, filter: &EntryFilter, page: &EntryPage) -> Result<Vec<Entry>> {
        let mut query = QueryBuilder::new("SELECT * FROM audit WHERE TRUE");
        narrow(&mut query, filter);
        if let Some(before) = page.before {
            query.push(" AND seq < ").push_bind(before.cast_signed());
        }
        query.push(" ORDER BY seq DESC LIMIT ").push_bind(limit(page.size));
        let rows: Vec<Logged> = query.build_query_as().fetch_all(&self.readers).await?;
        rows.into_iter().map(entry).collect()
    }

    async fn diff(&self, from: Version, to: Version, page: &DiffPage) -> Result<Diff> {
        let mut transaction = self.readers.begin().await?;
        let mut rows = changed(&mut transaction, from, to, page).await?;
        let more = rows.len() > page.size;
        rows.truncate(page.size);
        let next = rows.last().filter(|_| more).map(|row| (row.collection.clone(), row.id.clone()));
        let living = living(&mut transaction, &rows).await?;
        transaction.rollback().await?;
        let entities = rows.into_iter().filter_map(|row| change(row, &living).transpose()).collect::<Result<_>>()?;
        Ok(Diff { entities, next })
    }

    async fn refused(&self, writes: &[Refused]) -> Result<()> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for Refused { at, request, status } in writes {
            let query = "INSERT INTO audit (at, actor, address, method, path, status) VALUES (?, ?, ?, ?, ?, ?)";
            let query = sqlx::query(query).bind(at).bind(&*request.actor).bind(&request.address);
            let query = query.bind(&request.method).bind(&request.path).bind(status);
            query.execute(&mut *transaction).await?;
        }
        let query = "DELETE FROM audit WHERE version IS NULL AND seq <= \
                     (SELECT seq FROM audit WHERE version IS NULL ORDER BY seq DESC LIMIT 1 OFFSET ?)";
        sqlx::query(query).bind(REFUSALS).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    async fn report(&self, node: &NodeReport) -> Result<()> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let query = sqlx::query("DELETE FROM nodes WHERE reported_at < ?").bind(now() - NODE_KEPT);
        query.execute(&mut *transaction).await?;
        let query = "INSERT OR REPLACE INTO nodes (id, hostname, software, version, quarantined, modules, reported_at) \
                     VALUES (?, ?, ?, ?, ?, ?, ?)";
        let NodeReport { id, hostname, software, version, quarantined, modules } = node;
        let query = sqlx::query(query).bind(id).bind(hostname).bind(software).bind(version.cast_signed());
        let query = query.bind(quarantined.to_string()).bind(modules.to_string()).bind(now());
        query.execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    async fn leave(&self, node: &str) -> Result<()> {
        sqlx::query("DELETE FROM nodes WHERE id = ?").bind(node).execute(&self.writer).await?;
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<Heard>> {
        let query = "SELECT id, hostname, software, version, quarantined, modules, ? - reported_at AS age \
                     FROM nodes ORDER BY id";
        let rows: Vec<Node> = sqlx::query_as(query).bind(now()).fetch_all(&self.readers).await?;
        rows.into_iter().map(heard).collect()
    }
}

fn narrow(query: &mut QueryBuilder<Sqlite>, filter: &EntryFilter) {
    match filter.committed {
        Some(true) => drop(query.push(" AND version IS NOT NULL")),
        Some(false) => drop(query.push(" AND version IS NULL")),
        None => {}
    }
    if let Some(actor) = &filter.actor {
        query.push(" AND actor = ").push_bind(actor);
    }
    if let Some(method) = &filter.method {
        query.push(" AND method = ").push_bind(method);
    }
    if let Some(version) = filter.version {
        query.push(" AND version = ").push_bind(version.cast_signed());
    }
    if let Some((collection, id)) = &filter.entity {
        query.push(" AND version IN (SELECT version FROM changes WHERE collection = ").push_bind(collection);
        query.push(" AND id = ").push_bind(id).push(")");
    }
    if let Some(since) = filter.since {
        query.push(" AND at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push(" AND at < ").push_bind(until);
    }
}

/// One row more than the page holds tells whether there is another page.
async fn changed(db: &mut SqliteConnection, from: Version, to: Version, page: &DiffPage) -> Result<Vec<Changed>> {
    let (from, to) = (from.cast_signed(), to.cast_signed());
    let mut query = QueryBuilder::new(
        "SELECT one.collection, one.id, one.before, again.version IS NOT NULL AS superseded, again.before AS later \
         FROM (SELECT collection, id, min(version) AS version FROM changes WHERE version > ",
    );
    query.push_bind(from).push(" AND version <= ").push_bind(to);
    if let Some((collection, id)) = &page.after {
        query.push(" AND (collection, id) > (").push_bind(collection).push(", ").push_bind(id).push(")");
    }
    query.push(" GROUP BY collection, id ORDER BY collection, id LIMIT ").push_bind(limit(page.size) + 1);
    query.push(
        ") AS touched JOIN changes AS one ON one.collection = touched.collection AND one.id = touched.id \
         AND one.version = touched.version \
         LEFT JOIN changes AS again ON again.collection = one.collection AND again.id = one.id AND again.version = \
         (SELECT min(version) FROM changes AS next WHERE next.collection = one.collection AND next.id = one.id \
         AND next.version > ",
    );
    query.push_bind(to).push(") ORDER BY one.collection, one.id");
    Ok(query.build_query_as().fetch_all(db).await?)
}

/// The entities that did not change again, as they are now, by collection and id.
async fn living(db: &mut SqliteConnection, rows: &[Changed]) -> Result<HashMap<(String, String), String>> {
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.superseded) {
        wanted.entry(&row.collection).or_default().push(&row.id);
    }
    let mut found = HashMap::new();
    for (collection, ids) in wanted {
        for ids in ids.chunks(IDS_A_STATEMENT) {
            let table = Table::of(collection);
            let mut query = QueryBuilder::new(format!("SELECT id, data FROM {} WHERE id IN (", table.name));
            let mut list = query.separated(", ");
            for id in ids {
                list.push_bind(*id);
            }
            query.push(")");
            if table.shared {
                query.push(" AND collection = ").push_bind(collection);
            }
            let rows: Vec<(String, String)> = query.build_query_as().fetch_all(&mut *db).await?;
            found.extend(rows.into_iter().map(|(id, data)| ((collection.to_owned(), id), data)));
        }
    }
    Ok(found)
}

/// `None` when the entity ended as it began.
fn change(row: Changed, living: &HashMap<(String, String), String>) -> Result<Option<EntityChange>> {
    let key = (row.collection, row.id);
    let after = if row.superseded { row.later.as_ref() } else { living.get(&key) };
    if row.before.as_ref() == after {
        return Ok(None);
    }
    let parse = |text: Option<&String>| text.map(|text| entity::parse(&key.0, text)).transpose();
    let (before, after) = (parse(row.before.as_ref())?, parse(after)?);
    Ok(Some(EntityChange { collection: key.0.as_str().into(), id: key.1.as_str().into(), before, after }))
}

fn entry(row: Logged) -> Result<Entry> {
    let request = Request { actor: row.actor.into(), address: row.address, method: row.method, path: row.path };
    let (created, updated, deleted) = (row.created, row.updated, row.deleted);
    Ok(Entry {
        seq: row.seq.cast_unsigned(),
        at: row.at,
        version: row.version.map(i64::cast_unsigned),
        request,
        status: row.status.and_then(|status| u16::try_from(status).ok()),
        counts: Counts {
            created: created.cast_unsigned(),
            updated: updated.cast_unsigned(),
            deleted: deleted.cast_unsigned(),
        },
        entities: json("audit", &row.entities)?,
    })
}

fn heard(row: Node) -> Result<Heard> {
    let report = NodeReport {
        id: row.id,
        hostname: row.hostname,
        software: row.software,
        version: row.version.cast_unsigned(),
        quarantined: json("nodes", &row.quarantined)?,
        modules: json("nodes", &row.modules)?,
    };
    Ok(Heard { report, age: row.age })
}

fn json(table: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(table.into(), error))
}

fn limit(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX - 1)
}
