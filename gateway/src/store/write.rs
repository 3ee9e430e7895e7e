//! Writing: checks with precise errors, rows with their side tables, and one version a commit.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;
use sqlx::Database;

use super::{
    Changes, Filter, Key, Note, Page, Request, Result, Rows, StoreError, Transaction, Version,
    backend::{Health, Session, Writer},
    entity::{self, Group},
    ledger,
    query::{Bound, Query},
    read::{self, and_equal, select},
    recorder::Recorder,
    table::Table,
};
use crate::model::{Collection, Object, OnDelete, Reference, Registry};

/// Rows of changes a statement: four values each, below SQLite's bound of 32,766 and PostgreSQL's of 65,535.
const CHANGES_A_STATEMENT: usize = 8_000;
/// Drops the code that no module has and to which no rollback leads: the history holds what modules were before.
const UNUSED_CODE: &str = "DELETE FROM module_code WHERE NOT EXISTS \
     (SELECT 1 FROM modules WHERE modules.digest = module_code.digest) AND NOT EXISTS \
     (SELECT 1 FROM changes WHERE collection = 'modules' AND before LIKE '%' || module_code.digest || '%')";

/// A write. Dropped without [`Transaction::commit`], it leaves nothing behind.
pub(super) struct Write<D: Database> {
    writer: Writer<D>,
    recorder: Recorder,
    /// Rows of `changes` to keep.
    history: u32,
    health: Health,
}

impl<D: Database> Write<D>
where
    D::Connection: Session,
{
    pub(super) fn new(writer: Writer<D>, history: u32, health: Health) -> Self {
        Self { writer, recorder: Recorder::default(), history, health }
    }

    fn db(&mut self) -> &mut D::Connection {
        &mut self.writer.db
    }

    /// Removes expired entities of one collection, so that they neither hold their unique values nor their parents.
    async fn expire(&mut self, collection: &Collection) -> Result<()> {
        if !collection.ttl {
            return Ok(());
        }
        let text = "SELECT id FROM entities WHERE collection = $1 AND expires_at <= $2";
        let query = Query::with(text, [(&*collection.name).into(), read::now().into()]);
        let expired: Vec<(String,)> = self.db().rows(query).await?;
        for (id,) in expired {
            self.remove(&collection.name, &id).await?;
        }
        Ok(())
    }

    /// Removes every expired entity of every collection with what cascades from it. Answers how many had expired.
    pub(super) async fn sweep(&mut self, registry: &Registry) -> Result<usize> {
        let text = "SELECT collection, id FROM entities WHERE expires_at <= $1";
        let expired: Vec<(String, String)> = self.db().rows(Query::with(text, [read::now().into()])).await?;
        let request = Request::own("sweep of expired entities");
        self.recorder.sign(Note { request, entities: Value::Array(Vec::new()) });
        for (collection, id) in &expired {
            match self.remove_all(registry, &collection.as_str().into(), id).await {
                Ok(()) | Err(StoreError::Referenced { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(expired.len())
    }

    /// Refuses an entity that has the values of another in a unique group.
    async fn check_unique(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        for group in entity::groups(collection, entity) {
            if self.is_taken(collection, entity, &group).await? {
                return Err(group.taken(collection, entity));
            }
        }
        Ok(())
    }

    async fn is_taken(&mut self, collection: &Collection, entity: &Object, group: &Group<'_>) -> Result<bool> {
        let table = Table::of(&collection.name);
        let mut query = if table.shared {
            let mut query = Query::new("SELECT id FROM entity_keys WHERE collection = ");
            query.bind(&*collection.name).push(" AND fields = ").bind(group.name());
            query.push(" AND value = ").bind(group.value());
            query
        } else {
            let mut query = select("id", table, &collection.name);
            for (field, value) in group.fields.iter().zip(&group.values) {
                and_equal::<D::Connection>(&mut query, table.place(collection, field), value.as_deref());
            }
            query
        };
        query.push(" AND id <> ").bind(entity::id(entity)).push(" LIMIT 1");
        Ok(self.db().row::<(String,)>(query).await?.is_some())
    }

    /// Refuses an entity that refers to nothing.
    async fn check_references(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        for Reference { field, to, .. } in &collection.references {
            let value = entity.get(&**field).unwrap_or(&Value::Null);
            if value.is_null() {
                continue;
            }
            let id = value.get("id").and_then(Value::as_str).unwrap_or_default();
            if !self.exists(to, id).await? {
                return Err(StoreError::ForeignKey { field: field.clone(), to: to.clone(), value: value.clone() });
            }
        }
        Ok(())
    }

    async fn exists(&mut self, collection: &str, id: &str) -> Result<bool> {
        let mut query = select("id", Table::of(collection), collection);
        query.push(" AND id = ").bind(id);
        Ok(self.db().row::<(String,)>(query).await?.is_some())
    }

    /// Writes the row and its side tables. The columns are the same for a new row and a replaced one.
    async fn write(&mut self, collection: &Collection, entity: &Object, before: Option<Object>) -> Result<()> {
        let table = Table::of(&collection.name);
        let columns: Vec<_> = table.columns_of(collection).collect();
        let own: &[&str] = if table.shared { &["collection", "expires_at"] } else { &[] };
        let fixed = ["id", "created_at", "data"].iter().chain(own).copied();
        let names: Vec<_> = fixed.chain(columns.iter().map(|column| column.name)).collect();
        let mut query = Query::new(format!("INSERT INTO {} ({}) VALUES (", table.name, names.join(", ")));
        let data = Value::Object(entity.clone()).to_string();
        let mut values: Vec<Bound> = vec![entity::id(entity).into(), entity::created_at(entity).into()];
        values.push(data.as_str().into());
        if table.shared {
            values.extend([(&*collection.name).into(), entity::expires_at(collection, entity).into()]);
        }
        values.extend(columns.iter().map(|column| entity::text(entity, column.field).into()));
        let key = if table.shared { "collection, id" } else { "id" };
        let replaced: Vec<_> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
        query.list(values).push(&format!(") ON CONFLICT ({key}) DO UPDATE SET {}", replaced.join(", ")));
        self.db().execute(query).await?;
        self.write_tags(collection, entity).await?;
        if table.shared {
            self.write_keys(collection, entity).await?;
        }
        let before = before.map(|before| Value::Object(before).to_string());
        self.recorder.record(&collection.name, entity::id(entity), before, Some(data));
        Ok(())
    }

    async fn write_tags(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        let id = entity::id(entity);
        self.forget("tags", &collection.name, id).await?;
        for tag in entity::tags(entity) {
            let text = "INSERT INTO tags (collection, tag, id) VALUES ($1, $2, $3)";
            self.db().execute(Query::with(text, [(&*collection.name).into(), tag.into(), id.into()])).await?;
        }
        Ok(())
    }

    async fn write_keys(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        let id = entity::id(entity);
        self.forget("entity_keys", &collection.name, id).await?;
        for group in entity::groups(collection, entity) {
            let text = "INSERT INTO entity_keys (collection, fields, value, id) VALUES ($1, $2, $3, $4)";
            let values = [(&*collection.name).into(), group.name().into(), group.value().into(), id.into()];
            self.db().execute(Query::with(text, values)).await?;
        }
        Ok(())
    }

    /// Deletes the rows of an entity from a table that has its collection and id.
    async fn forget(&mut self, table: &'static str, collection: &str, id: &str) -> Result<()> {
        let mut query = Query::new(format!("DELETE FROM {table} WHERE collection = "));
        query.bind(collection).push(" AND id = ").bind(id);
        self.db().execute(query).await
    }

    /// Removes one entity and nothing else. The keys of a shared row go with it.
    async fn remove(&mut self, collection: &str, id: &str) -> Result<()> {
        let table = Table::of(collection);
        self.forget("tags", collection, id).await?;
        let mut query = Query::new(format!("DELETE FROM {} WHERE id = ", table.name));
        query.bind(id);
        if table.shared {
            query.push(" AND collection = ").bind(collection);
        }
        query.push(" RETURNING data");
        if let Some((before,)) = self.db().row(query).await? {
            self.recorder.record(collection, id, Some(before), None);
        }
        Ok(())
    }

    /// Removes an entity and all that cascades from it.
    async fn remove_all(&mut self, registry: &Registry, collection: &Arc<str>, id: &str) -> Result<()> {
        let doomed = self.doomed(registry, collection, id).await?;
        for (collection, id) in doomed.iter().rev() {
            self.remove(collection, id).await?;
        }
        Ok(())
    }

    /// The entity and all that cascades from it, parents first.
    async fn doomed(
        &mut self,
        registry: &Registry,
        collection: &Arc<str>,
        id: &str,
    ) -> Result<Vec<(Arc<str>, String)>> {
        let mut doomed = vec![(collection.clone(), id.to_owned())];
        let mut seen: HashSet<_> = doomed.iter().cloned().collect();
        let mut next = 0;
        while let Some((parent, id)) = doomed.get(next).cloned() {
            next += 1;
            for (child, reference) in registry.children(&parent) {
                let ids = self.children(child, reference, &id).await?;
                if !ids.is_empty() && reference.on_delete == OnDelete::Refuse {
                    return Err(StoreError::Referenced { collection: parent.clone(), by: child.name.clone() });
                }
                let children = ids.into_iter().map(|id| (child.name.clone(), id));
                doomed.extend(children.filter(|child| seen.insert(child.clone())));
            }
        }
        Ok(doomed)
    }

    async fn children(&mut self, child: &Collection, reference: &Reference, parent: &str) -> Result<Vec<String>> {
        self.expire(child).await?;
        let table = Table::of(&child.name);
        let mut query = select("id", table, &child.name);
        and_equal::<D::Connection>(&mut query, table.place(child, &reference.field), Some(parent));
        let ids: Vec<(String,)> = self.db().rows(query).await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    /// Makes the version of this write, with a row for each change and one for the audit log, prunes the history, and tells the other nodes.
    async fn write_version(&mut self) -> Result<()> {
        let query = Query::new("UPDATE config_version SET version = version + 1 RETURNING version");
        let made: Option<(i64,)> = self.db().row(query).await?;
        let (version,) = made.ok_or(sqlx::Error::RowNotFound)?;
        let changed: Vec<_> = self.recorder.rows().collect();
        let modules = changed.iter().any(|(collection, ..)| *collection == "modules");
        for some in changed.chunks(CHANGES_A_STATEMENT) {
            let mut query = Query::new("INSERT INTO changes (version, collection, id, before) VALUES ");
            for (number, (collection, id, before)) in some.iter().enumerate() {
                query.push(if number == 0 { "(" } else { ", (" });
                let before = Bound::Text(before.map(str::to_owned));
                query.list([version.into(), (*collection).into(), (*id).into(), before]).push(")");
            }
            self.writer.db.execute(query).await?;
        }
        let (counts, note) = (self.recorder.counts(), self.recorder.note());
        ledger::keep(self.db(), version, counts, &note).await?;
        self.prune().await?;
        if modules {
            self.db().execute(Query::new(UNUSED_CODE)).await?;
        }
        match D::Connection::announcement(version.cast_unsigned()) {
            Some(query) => self.db().execute(query).await,
            None => Ok(()),
        }
    }

    async fn prune(&mut self) -> Result<()> {
        let last: Option<(Option<i64>,)> = self.db().row(Query::new("SELECT max(seq) FROM changes")).await?;
        let cut = last.and_then(|(last,)| last).unwrap_or_default() - i64::from(self.history);
        let text = "SELECT version FROM changes WHERE seq <= $1 ORDER BY seq DESC LIMIT 1";
        let gone: Option<(i64,)> = self.db().row(Query::with(text, [cut.into()])).await?;
        let Some((gone,)) = gone else { return Ok(()) };
        self.db().execute(Query::with("DELETE FROM changes WHERE seq <= $1", [cut.into()])).await?;
        ledger::prune(self.db(), gone).await?;
        self.db().execute(Query::with("UPDATE config_version SET history_from = $1", [gone.into()])).await
    }

    async fn insert(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        self.expire(collection).await?;
        let id = entity::id(entity);
        if self.exists(&collection.name, id).await? {
            return Err(StoreError::PrimaryKey { collection: collection.name.clone(), id: id.into() });
        }
        self.check_references(collection, entity).await?;
        self.check_unique(collection, entity).await?;
        self.write(collection, entity, None).await
    }

    async fn update(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        self.expire(collection).await?;
        let before = read::get(self.db(), collection, Key::Id(entity::id(entity))).await?;
        let before = before.ok_or(sqlx::Error::RowNotFound)?;
        if before == *entity {
            return Ok(());
        }
        self.check_references(collection, entity).await?;
        self.check_unique(collection, entity).await?;
        self.write(collection, entity, Some(before)).await
    }

    async fn delete(&mut self, registry: &Registry, collection: &Collection, id: &str) -> Result<bool> {
        if !self.exists(&collection.name, id).await? {
            return Ok(false);
        }
        self.remove_all(registry, &collection.name, id).await?;
        Ok(true)
    }

    async fn commit(mut self) -> Result<Version> {
        if !self.recorder.is_empty() {
            self.write_version().await?;
        }
        let version = read::version(self.db()).await?;
        self.writer.db.commit().await?;
        Ok(version)
    }
}

#[async_trait]
impl<D: Database> Transaction for Write<D>
where
    D::Connection: Session,
{
    async fn get(&mut self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        self.health.clone().guard(read::get(self.db(), collection, key)).await
    }

    async fn page(&mut self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows> {
        self.health.clone().guard(read::page(self.db(), collection, filter, page)).await
    }

    async fn insert(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        self.health.clone().guard(self.insert(collection, entity)).await
    }

    async fn update(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        self.health.clone().guard(self.update(collection, entity)).await
    }

    async fn delete(&mut self, registry: &Registry, collection: &Collection, id: &str) -> Result<bool> {
        self.health.clone().guard(self.delete(registry, collection, id)).await
    }

    async fn put_code(&mut self, digest: &str, bytes: &[u8]) -> Result<()> {
        let text = "INSERT INTO module_code (digest, code) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let query = Query::with(text, [digest.into(), bytes.into()]);
        self.health.clone().guard(self.db().execute(query)).await
    }

    fn changes(&self, most: usize) -> Result<Changes> {
        self.recorder.changes(most)
    }

    fn sign(&mut self, note: Note) {
        self.recorder.sign(note);
    }

    async fn commit(self: Box<Self>) -> Result<Version> {
        self.health.clone().guard((*self).commit()).await
    }
}
