//! Versions, the audit log and the reports of nodes: statements that every database takes.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use serde_json::Value;
use sqlx::Database;

use super::{
    Counts, Diff, DiffPage, EntityChange, Entry, EntryFilter, EntryPage, Heard, History, NodeReport, Note, Refused,
    Request, Result, StoreError, Version,
    backend::{Backend, Session},
    entity,
    history::{NODE_KEPT, REFUSALS},
    query::{Bound, Query},
    read::now,
    table::Table,
};

/// Ids a statement, below SQLite's bound of 32,766 values.
const IDS_A_STATEMENT: usize = 10_000;

/// Columns of [`Logged`].
const LOGGED: &str = "SELECT seq, at, version, actor, address, method, path, status, created, updated, deleted, entities FROM audit WHERE TRUE";

type Logged = (i64, f64, Option<i64>, String, Option<String>, String, String, Option<i64>, i64, i64, i64, String);

/// Id, host name, software, version, quarantined, modules, age.
type Node = (String, String, String, i64, String, String, f64);

/// An entity before its first change after the first version; the version after the second one at which it changed again,
/// and how it was before that.
type Changed = (String, String, Option<String>, Option<i64>, Option<String>);

#[async_trait]
impl<B: Backend> History for B
where
    <B::Sql as Database>::Connection: Session,
{
    async fn oldest(&self) -> Result<Version> {
        let work = async { oldest(&mut *self.reader().await?).await };
        self.health().guard(work).await
    }

    async fn entries(&self, filter: &EntryFilter, page: &EntryPage) -> Result<Vec<Entry>> {
        let work = async { entries(&mut *self.reader().await?, filter, page).await };
        self.health().guard(work).await
    }

    async fn diff(&self, from: Version, to: Version, page: &DiffPage) -> Result<Diff> {
        let work = async {
            let mut moment = self.moment().await?;
            let found = diff(&mut *moment, from, to, page).await?;
            moment.rollback().await?;
            Ok(found)
        };
        self.health().guard(work).await
    }

    async fn refused(&self, writes: &[Refused]) -> Result<()> {
        let work = async {
            let mut aside = self.aside().await?;
            refused(&mut *aside, writes).await?;
            Ok(aside.commit().await?)
        };
        self.health().guard(work).await
    }

    async fn report(&self, node: &NodeReport) -> Result<()> {
        let work = async {
            let mut aside = self.aside().await?;
            report(&mut *aside, node).await?;
            Ok(aside.commit().await?)
        };
        self.health().guard(work).await
    }

    async fn leave(&self, node: &str) -> Result<()> {
        let work = async {
            let mut aside = self.aside().await?;
            leave(&mut *aside, node).await?;
            Ok(aside.commit().await?)
        };
        self.health().guard(work).await
    }

    async fn nodes(&self) -> Result<Vec<Heard>> {
        let work = async { nodes(&mut *self.reader().await?).await };
        self.health().guard(work).await
    }
}

/// Adds the row of a version to the audit log.
pub(super) async fn keep<S: Session>(db: &mut S, version: i64, counts: Counts, note: &Note) -> Result<()> {
    let text = "INSERT INTO audit (at, version, actor, address, method, path, created, updated, deleted, entities) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let [actor, address, method, path] = bound(&note.request);
    let counts = [counts.created, counts.updated, counts.deleted].map(|count| count.cast_signed().into());
    let [created, updated, deleted] = counts;
    let entities = note.entities.to_string().into();
    let values = [now().into(), version.into(), actor, address, method, path, created, updated, deleted, entities];
    db.execute(Query::with(text, values)).await
}

/// Drops what the audit log has of versions up to this one.
pub(super) async fn prune<S: Session>(db: &mut S, gone: i64) -> Result<()> {
    db.execute(Query::with("DELETE FROM audit WHERE version <= $1", [gone.into()])).await
}

/// The oldest version whose state is known.
pub(super) async fn oldest<S: Session>(db: &mut S) -> Result<Version> {
    let query = Query::new("SELECT history_from, recorded_from FROM config_version");
    let (pruned, recorded): (i64, i64) = db.row(query).await?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(pruned.max(recorded).cast_unsigned())
}

/// A page of the audit log.
pub(super) async fn entries<S: Session>(db: &mut S, filter: &EntryFilter, page: &EntryPage) -> Result<Vec<Entry>> {
    let mut query = Query::new(LOGGED);
    narrow(&mut query, filter);
    if let Some(before) = page.before {
        query.push(" AND seq < ").bind(before.cast_signed());
    }
    query.push(" ORDER BY seq DESC LIMIT ").bind(limit(page.size));
    let rows: Vec<Logged> = db.rows(query).await?;
    rows.into_iter().map(entry).collect()
}

/// What turns a version into a later one. `db` is inside a transaction, so that all of it is of one moment.
pub(super) async fn diff<S: Session>(db: &mut S, from: Version, to: Version, page: &DiffPage) -> Result<Diff> {
    let mut rows: Vec<Changed> = db.rows(changed(from, to, page)).await?;
    let more = rows.len() > page.size;
    rows.truncate(page.size);
    let next = rows.last().filter(|_| more).map(|(collection, id, ..)| (collection.clone(), id.clone()));
    let living = living(db, &rows).await?;
    let entities = rows.into_iter().filter_map(|row| change(row, &living).transpose()).collect::<Result<_>>()?;
    Ok(Diff { entities, next })
}

/// Adds refused writes to the audit log and prunes the oldest of them.
pub(super) async fn refused<S: Session>(db: &mut S, writes: &[Refused]) -> Result<()> {
    for Refused { at, request, status } in writes {
        let text = "INSERT INTO audit (at, actor, address, method, path, status) VALUES ($1, $2, $3, $4, $5, $6)";
        let [actor, address, method, path] = bound(request);
        let values = [(*at).into(), actor, address, method, path, i64::from(*status).into()];
        db.execute(Query::with(text, values)).await?;
    }
    let text = "DELETE FROM audit WHERE version IS NULL AND seq <= \
                (SELECT seq FROM audit WHERE version IS NULL ORDER BY seq DESC LIMIT 1 OFFSET $1)";
    db.execute(Query::with(text, [REFUSALS.into()])).await
}

/// Keeps the report of a node and forgets those of long ago. The clock is that of the database.
pub(super) async fn report<S: Session>(db: &mut S, node: &NodeReport) -> Result<()> {
    let clock = S::CLOCK;
    let mut query =
        Query::new("INSERT INTO nodes (id, hostname, software, version, quarantined, modules, reported_at) VALUES (");
    let NodeReport { id, hostname, software, version, quarantined, modules } = node;
    query.list([id.as_str().into(), hostname.as_str().into(), software.as_str().into(), version.cast_signed().into()]);
    query.push(", ").list([quarantined.to_string().into(), modules.to_string().into()]);
    query.push(&format!(
        ", {clock}) ON CONFLICT (id) DO UPDATE SET hostname = excluded.hostname, software = excluded.software, \
         version = excluded.version, quarantined = excluded.quarantined, modules = excluded.modules, \
         reported_at = excluded.reported_at"
    ));
    db.execute(query).await?;
    let text = format!("DELETE FROM nodes WHERE reported_at < {clock} - $1");
    db.execute(Query::with(&text, [NODE_KEPT.into()])).await
}

/// Forgets a node.
pub(super) async fn leave<S: Session>(db: &mut S, node: &str) -> Result<()> {
    db.execute(Query::with("DELETE FROM nodes WHERE id = $1", [node.into()])).await
}

/// The last report of every node.
pub(super) async fn nodes<S: Session>(db: &mut S) -> Result<Vec<Heard>> {
    let clock = S::CLOCK;
    let rows: Vec<Node> = db
        .rows(Query::new(format!(
            "SELECT id, hostname, software, version, quarantined, modules, {clock} - reported_at FROM nodes ORDER BY id"
        )))
        .await?;
    rows.into_iter().map(heard).collect()
}

fn bound(request: &Request) -> [Bound; 4] {
    let Request { actor, address, method, path } = request;
    let address = Bound::Text(address.clone());
    [(&**actor).into(), address, method.as_str().into(), path.as_str().into()]
}

fn narrow(query: &mut Query, filter: &EntryFilter) {
    match filter.committed {
        Some(true) => drop(query.push(" AND version IS NOT NULL")),
        Some(false) => drop(query.push(" AND version IS NULL")),
        None => {}
    }
    if let Some(actor) = &filter.actor {
        query.push(" AND actor = ").bind(actor.as_str());
    }
    if let Some(method) = &filter.method {
        query.push(" AND method = ").bind(method.as_str());
    }
    if let Some(version) = filter.version {
        query.push(" AND version = ").bind(version.cast_signed());
    }
    if let Some((collection, id)) = &filter.entity {
        query.push(" AND version IN (SELECT version FROM changes WHERE collection = ").bind(collection.as_str());
        query.push(" AND id = ").bind(id.as_str()).push(")");
    }
    if let Some(since) = filter.since {
        query.push(" AND at >= ").bind(since);
    }
    if let Some(until) = filter.until {
        query.push(" AND at < ").bind(until);
    }
}

/// One row more than the page holds tells whether there is another page.
fn changed(from: Version, to: Version, page: &DiffPage) -> Query {
    let mut query = Query::new(
        "SELECT one.collection, one.id, one.before, again.version, again.before FROM \
         (SELECT collection, id, min(version) AS version FROM changes WHERE version > ",
    );
    query.bind(from.cast_signed()).push(" AND version <= ").bind(to.cast_signed());
    if let Some((collection, id)) = &page.after {
        query.push(" AND (collection, id) > (").list([collection.as_str().into(), id.as_str().into()]).push(")");
    }
    query.push(" GROUP BY collection, id ORDER BY collection, id LIMIT ").bind(limit(page.size) + 1);
    query.push(
        ") AS touched JOIN changes AS one ON one.collection = touched.collection AND one.id = touched.id \
         AND one.version = touched.version \
         LEFT JOIN changes AS again ON again.collection = one.collection AND again.id = one.id AND again.version = \
         (SELECT min(later.version) FROM changes AS later WHERE later.collection = one.collection \
         AND later.id = one.id AND later.version > ",
    );
    query.bind(to.cast_signed()).push(") ORDER BY one.collection, one.id");
    query
}

/// The entities that did not change again, as they are now, by collection and id.
async fn living<S: Session>(db: &mut S, rows: &[Changed]) -> Result<HashMap<(String, String), String>> {
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (collection, id, ..) in rows.iter().filter(|row| row.3.is_none()) {
        wanted.entry(collection).or_default().push(id);
    }
    let mut found = HashMap::new();
    for (collection, ids) in wanted {
        for ids in ids.chunks(IDS_A_STATEMENT) {
            let table = Table::of(collection);
            let mut query = Query::new(format!("SELECT id, data FROM {} WHERE id IN (", table.name));
            query.list(ids.iter().map(|id| (*id).into())).push(")");
            if table.shared {
                query.push(" AND collection = ").bind(collection);
            }
            let rows: Vec<(String, String)> = db.rows(query).await?;
            found.extend(rows.into_iter().map(|(id, data)| ((collection.to_owned(), id), data)));
        }
    }
    Ok(found)
}

/// `None` when the entity ended as it began.
fn change(row: Changed, living: &HashMap<(String, String), String>) -> Result<Option<EntityChange>> {
    let (collection, id, before, again, later) = row;
    let key = (collection, id);
    let after = if again.is_some() { later.as_ref() } else { living.get(&key) };
    if before.as_ref() == after {
        return Ok(None);
    }
    let parse = |text: Option<&String>| text.map(|text| entity::parse(&key.0, text)).transpose();
    let (before, after) = (parse(before.as_ref())?, parse(after)?);
    Ok(Some(EntityChange { collection: key.0.as_str().into(), id: key.1.as_str().into(), before, after }))
}

fn entry(row: Logged) -> Result<Entry> {
    let (seq, at, version, actor, address, method, path, status, created, updated, deleted, entities) = row;
    let [created, updated, deleted] = [created, updated, deleted].map(i64::cast_unsigned);
    Ok(Entry {
        seq: seq.cast_unsigned(),
        at,
        version: version.map(i64::cast_unsigned),
        request: Request { actor: actor.into(), address, method, path },
        status: status.and_then(|status| u16::try_from(status).ok()),
        counts: Counts { created, updated, deleted },
        entities: json("audit", &entities)?,
    })
}

fn heard((id, hostname, software, version, quarantined, modules, age): Node) -> Result<Heard> {
    let (quarantined, modules) = (json("nodes", &quarantined)?, json("nodes", &modules)?);
    Ok(Heard {
        report: NodeReport { id, hostname, software, version: version.cast_unsigned(), quarantined, modules },
        age,
    })
}

fn json(table: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(table.into(), error))
}

fn limit(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX - 1)
}
