//! Reading, on a connection of the pool or inside a write.

use std::{collections::HashMap, sync::Arc};

use super::{
    Change, Delta, Filter, Key, Page, Result, Rows, Tags, Version,
    backend::Session,
    entity,
    query::Query,
    table::{CORE, Place, SHARED, Table},
};
use crate::model::{Collection, Object, Registry};

/// Unix seconds now, for the comparison with `expires_at`.
pub(super) fn now() -> f64 {
    crate::clock::unix_now().as_secs_f64()
}

/// `SELECT columns FROM` the table of a collection, with a condition that holds for its living entities.
pub(super) fn select(columns: &str, table: &Table, collection: &str) -> Query {
    let mut query = Query::new(format!("SELECT {columns} FROM {} WHERE ", table.name));
    if table.shared {
        query.push("collection = ").bind(collection);
        query.push(" AND (expires_at IS NULL OR expires_at > ").bind(now()).push(")");
    } else {
        query.push("TRUE");
    }
    query
}

/// `AND` the value at `place` equals `value`; a missing one compares like any other.
pub(super) fn and_equal<S: Session>(query: &mut Query, place: Place, value: Option<&str>) {
    query.push(" AND ");
    match place {
        Place::Column(name) => drop(query.push(name)),
        Place::Json(names) => S::push_json(query, &names),
    }
    match value {
        Some(value) => query.push(" = ").bind(value),
        None => query.push(" IS NULL"),
    };
}

/// One entity.
pub(super) async fn get<S: Session>(db: &mut S, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
    let table = Table::of(&collection.name);
    let mut query = select("data", table, &collection.name);
    match key {
        Key::Id(id) => drop(query.push(" AND id = ").bind(id)),
        Key::Unique(field, value) if table.shared && is_unique(collection, field) => {
            query.push(" AND id = (SELECT id FROM entity_keys WHERE collection = ").bind(&*collection.name);
            query.push(" AND fields = ").bind(entity::json_list([Some(field)].into_iter()));
            query.push(" AND value = ").bind(entity::json_list([Some(value)].into_iter())).push(")");
        }
        Key::Unique(field, value) => and_equal::<S>(&mut query, table.place(collection, field), Some(value)),
    }
    query.push(" LIMIT 1");
    let data: Option<(String,)> = db.row(query).await?;
    data.map(|(data,)| entity::parse(&collection.name, &data)).transpose()
}

fn is_unique(collection: &Collection, field: &str) -> bool {
    collection.unique.iter().any(|group| matches!(group.as_slice(), [only] if &**only == field))
}

/// A page of a listing.
pub(super) async fn page<S: Session>(
    db: &mut S,
    collection: &Collection,
    filter: &Filter,
    page: &Page,
) -> Result<Rows> {
    let table = Table::of(&collection.name);
    let mut query = select("id, data", table, &collection.name);
    if let Some((field, id)) = &filter.parent {
        and_equal::<S>(&mut query, table.place(collection, field), Some(id));
    }
    if let Some((field, value)) = &filter.equals {
        and_equal::<S>(&mut query, table.place(collection, field), Some(value));
    }
    if let Some(tags) = &filter.tags {
        and_tagged(&mut query, &collection.name, tags);
    }
    if let Some(after) = &page.after {
        query.push(" AND id > ").bind(after.as_str());
    }
    // One more than asked for tells whether there is another page.
    let limit = i64::try_from(page.size).unwrap_or(i64::MAX).saturating_add(1);
    query.push(" ORDER BY id LIMIT ").bind(limit);
    let mut found: Vec<(String, String)> = db.rows(query).await?;
    let more = found.len() > page.size;
    found.truncate(page.size);
    let next = found.last().filter(|_| more).map(|(id, _)| id.clone());
    let rows = found.iter().map(|(_, data)| entity::parse(&collection.name, data)).collect::<Result<_>>()?;
    Ok(Rows { rows, next })
}

fn and_tagged(query: &mut Query, collection: &str, tags: &Tags) {
    let (Tags::All(wanted) | Tags::Any(wanted)) = tags;
    let mut wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    wanted.dedup();
    query.push(" AND id IN (SELECT id FROM tags WHERE collection = ").bind(collection).push(" AND tag IN (");
    query.list(wanted.iter().map(|tag| (*tag).into())).push(") GROUP BY id");
    if matches!(tags, Tags::All(_)) {
        query.push(" HAVING count(*) = ").bind(i64::try_from(wanted.len()).unwrap_or(i64::MAX));
    }
    query.push(")");
}

/// The newest version, and the one that the history of changes begins after.
async fn versions<S: Session>(db: &mut S) -> Result<(Version, Version)> {
    let found: Option<(i64, i64)> = db.row(Query::new("SELECT version, history_from FROM config_version")).await?;
    let (version, history_from) = found.ok_or(sqlx::Error::RowNotFound)?;
    Ok((version.cast_unsigned(), history_from.cast_unsigned()))
}

/// The newest version.
pub(super) async fn version<S: Session>(db: &mut S) -> Result<Version> {
    Ok(versions(db).await?.0)
}

/// What happened since a version. `db` is inside a transaction, so that all of it is of one moment.
pub(super) async fn delta<S: Session>(db: &mut S, registry: &Registry, since: Version) -> Result<Delta> {
    let (version, history_from) = versions(db).await?;
    let full = since < history_from || since > version;
    let changes = if full { everything(db, registry).await? } else { changes(db, registry, since).await? };
    Ok(Delta { version, full, changes })
}

/// All living entities: also those of collections that no module declares any more, since the declarations themselves
/// may be among the entities.
async fn everything<S: Session>(db: &mut S, registry: &Registry) -> Result<Vec<Change>> {
    let mut found = Found::new(registry);
    for table in CORE {
        let rows: Vec<(String, String)> = db.rows(select("id, data", table, table.name)).await?;
        rows.into_iter().try_for_each(|(id, data)| found.add(table.name, &id, Some(data)))?;
    }
    let mut query = Query::new(format!("SELECT collection, id, data FROM {} ", SHARED.name));
    query.push("WHERE expires_at IS NULL OR expires_at > ").bind(now()).push(" ORDER BY collection, id");
    let rows: Vec<(String, String, String)> = db.rows(query).await?;
    rows.into_iter().try_for_each(|(collection, id, data)| found.add(&collection, &id, Some(data)))?;
    Ok(found.changes)
}

/// Entities that changed after `since`, collection by collection.
async fn changes<S: Session>(db: &mut S, registry: &Registry, since: Version) -> Result<Vec<Change>> {
    let mut found = Found::new(registry);
    let text = "SELECT DISTINCT collection FROM changes WHERE version > $1";
    let collections: Vec<(String,)> = db.rows(Query::with(text, [since.cast_signed().into()])).await?;
    for (collection,) in collections {
        let table = Table::of(&collection);
        let mut query = Query::new("SELECT changed.id, living.data FROM (SELECT DISTINCT id FROM changes");
        query.push(" WHERE version > ").bind(since.cast_signed());
        query.push(" AND collection = ").bind(&*collection).push(") AS changed LEFT JOIN ").push(table.name);
        query.push(" AS living ON living.id = changed.id");
        if table.shared {
            query.push(" AND living.collection = ").bind(&*collection);
            query.push(" AND (living.expires_at IS NULL OR living.expires_at > ").bind(now()).push(")");
        }
        let rows: Vec<(String, Option<String>)> = db.rows(query).await?;
        rows.into_iter().try_for_each(|(id, data)| found.add(&collection, &id, data))?;
    }
    Ok(found.changes)
}

/// Changes gathered so far; names of collections are shared with the registry or among themselves.
struct Found {
    names: HashMap<Arc<str>, Arc<str>>,
    changes: Vec<Change>,
}

impl Found {
    fn new(registry: &Registry) -> Self {
        let names = registry.iter().map(|collection| (collection.name.clone(), collection.name.clone()));
        Self { names: names.collect(), changes: Vec::new() }
    }

    fn add(&mut self, collection: &str, id: &str, data: Option<String>) -> Result<()> {
        let name = match self.names.get(collection) {
            Some(name) => name.clone(),
            None => self.names.entry(collection.into()).or_insert_with(|| collection.into()).clone(),
        };
        let entity = data.map(|data| entity::parse(collection, &data)).transpose()?;
        self.changes.push(Change { collection: name, id: id.into(), entity });
        Ok(())
    }
}
