//! Writing: checks with precise errors, rows with their side tables, and one version a commit.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;
use sqlx::{QueryBuilder, Sqlite};

use super::{
    history,
    read::{self, and_equal, select},
};
use crate::{
    model::{Collection, Object, OnDelete, Reference, Registry},
    store::{
        Changes, Filter, Key, Note, Page, Request, Result, Rows, StoreError, Transaction, Version,
        entity::{self, Group},
        recorder::Recorder,
        table::Table,
    },
};

/// Rows of changes a statement: four values each, below SQLite's bound of 32,766.
const CHANGES_A_STATEMENT: usize = 8_000;

/// A write on the only connection that writes. Dropped without [`Transaction::commit`], it leaves nothing behind.
pub(super) struct SqliteTransaction {
    db: sqlx::Transaction<'static, Sqlite>,
    recorder: Recorder,
    /// Rows of `changes` to keep.
    history: u32,
}

impl SqliteTransaction {
    pub(super) fn new(db: sqlx::Transaction<'static, Sqlite>, history: u32) -> Self {
        Self { db, recorder: Recorder::default(), history }
    }

    /// Removes expired entities of one collection, so that they neither hold their unique values nor their parents.
    async fn expire(&mut self, collection: &Collection) -> Result<()> {
        if !collection.ttl {
            return Ok(());
        }
        let query = "SELECT id FROM entities WHERE collection = ? AND expires_at <= ?";
        let query = sqlx::query_scalar(query).bind(&*collection.name).bind(read::now());
        let expired: Vec<String> = query.fetch_all(&mut *self.db).await?;
        for id in expired {
            self.remove(&collection.name, &id).await?;
        }
        Ok(())
    }

    /// Removes every expired entity of every collection with what cascades from it. Answers how many had expired.
    pub(super) async fn sweep(&mut self, registry: &Registry) -> Result<usize> {
        let query = sqlx::query_as("SELECT collection, id FROM entities WHERE expires_at <= ?").bind(read::now());
        let expired: Vec<(String, String)> = query.fetch_all(&mut *self.db).await?;
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
            let mut query = QueryBuilder::new("SELECT 1 FROM entity_keys WHERE collection = ");
            query.push_bind(&*collection.name).push(" AND fields = ").push_bind(group.name());
            query.push(" AND value = ").push_bind(group.value());
            query
        } else {
            let mut query = select("1", table, &collection.name);
            for (field, value) in group.fields.iter().zip(&group.values) {
                and_equal(&mut query, table.place(collection, field), value.as_deref());
            }
            query
        };
        query.push(" AND id <> ").push_bind(entity::id(entity)).push(" LIMIT 1");
        let found: Option<i64> = query.build_query_scalar().fetch_optional(&mut *self.db).await?;
        Ok(found.is_some())
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
        let mut query = select("1", Table::of(collection), collection);
        query.push(" AND id = ").push_bind(id);
        let found: Option<i64> = query.build_query_scalar().fetch_optional(&mut *self.db).await?;
        Ok(found.is_some())
    }

    /// Writes the row and its side tables. The columns are the same for a new row and a replaced one.
    async fn write(&mut self, collection: &Collection, entity: &Object, before: Option<Object>) -> Result<()> {
        let table = Table::of(&collection.name);
        let columns: Vec<_> = table.columns_of(collection).collect();
        let own: &[&str] = if table.shared { &["collection", "expires_at"] } else { &[] };
        let fixed = ["id", "created_at", "data"].iter().chain(own).copied();
        let names: Vec<_> = fixed.chain(columns.iter().map(|column| column.name)).collect();
        let mut query = QueryBuilder::new(format!("INSERT INTO {} ({}) VALUES (", table.name, names.join(", ")));
        let mut values = query.separated(", ");
        values.push_bind(entity::id(entity)).push_bind(entity::created_at(entity));
        let data = Value::Object(entity.clone()).to_string();
        values.push_bind(data.clone());
        if table.shared {
            values.push_bind(&*collection.name).push_bind(entity::expires_at(collection, entity));
        }
        for column in columns {
            values.push_bind(entity::text(entity, column.field));
        }
        let key = if table.shared { "collection, id" } else { "id" };
        let replaced: Vec<_> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
        query.push(format!(") ON CONFLICT ({key}) DO UPDATE SET {}", replaced.join(", ")));
        query.build().execute(&mut *self.db).await?;
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
            let query = sqlx::query("INSERT INTO tags (collection, tag, id) VALUES (?, ?, ?)");
            query.bind(&*collection.name).bind(tag).bind(id).execute(&mut *self.db).await?;
        }
        Ok(())
    }

    async fn write_keys(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        let id = entity::id(entity);
        self.forget("entity_keys", &collection.name, id).await?;
        for group in entity::groups(collection, entity) {
            let query = sqlx::query("INSERT INTO entity_keys (collection, fields, value, id) VALUES (?, ?, ?, ?)");
            let query = query.bind(&*collection.name).bind(group.name()).bind(group.value()).bind(id);
            query.execute(&mut *self.db).await?;
        }
        Ok(())
    }

    /// Deletes the rows of an entity from a table that has its collection and id.
    async fn forget(&mut self, table: &'static str, collection: &str, id: &str) -> Result<()> {
        let mut query = QueryBuilder::new(format!("DELETE FROM {table} WHERE collection = "));
        query.push_bind(collection).push(" AND id = ").push_bind(id);
        query.build().execute(&mut *self.db).await?;
        Ok(())
    }

    /// Removes one entity and nothing else. The keys of a shared row go with it.
    async fn remove(&mut self, collection: &str, id: &str) -> Result<()> {
        let table = Table::of(collection);
        self.forget("tags", collection, id).await?;
        let mut query = QueryBuilder::new(format!("DELETE FROM {} WHERE id = ", table.name));
        query.push_bind(id);
        if table.shared {
            query.push(" AND collection = ").push_bind(collection);
        }
        query.push(" RETURNING data");
        if let Some(before) = query.build_query_scalar().fetch_optional(&mut *self.db).await? {
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
        and_equal(&mut query, table.place(child, &reference.field), Some(parent));
        Ok(query.build_query_scalar().fetch_all(&mut *self.db).await?)
    }

    /// Makes the version of this write, with a row for each change and one for the audit log, and prunes the history.
    async fn write_version(&mut self) -> Result<()> {
        let query = sqlx::query_scalar("UPDATE config_version SET version = version + 1 RETURNING version");
        let version: i64 = query.fetch_one(&mut *self.db).await?;
        let changed: Vec<_> = self.recorder.rows().collect();
        for some in changed.chunks(CHANGES_A_STATEMENT) {
            let mut query = QueryBuilder::new("INSERT INTO changes (version, collection, id, before) ");
            query.push_values(some, |mut row, (collection, id, before)| {
                row.push_bind(version).push_bind(*collection).push_bind(*id).push_bind(*before);
            });
            query.build().execute(&mut *self.db).await?;
        }
        let (counts, note) = (self.recorder.counts(), self.recorder.note());
        history::keep(&mut self.db, version, counts, &note).await?;
        self.prune().await
    }

    async fn prune(&mut self) -> Result<()> {
        let last: Option<i64> = sqlx::query_scalar("SELECT max(seq) FROM changes").fetch_one(&mut *self.db).await?;
        let cut = last.unwrap_or_default() - i64::from(self.history);
        let query = "SELECT version FROM changes WHERE seq <= ? ORDER BY seq DESC LIMIT 1";
        let gone: Option<i64> = sqlx::query_scalar(query).bind(cut).fetch_optional(&mut *self.db).await?;
        let Some(gone) = gone else { return Ok(()) };
        sqlx::query("DELETE FROM changes WHERE seq <= ?").bind(cut).execute(&mut *self.db).await?;
        sqlx::query("DELETE FROM audit WHERE version <= ?").bind(gone).execute(&mut *self.db).await?;
        sqlx::query("UPDATE config_version SET history_from = ?").bind(gone).execute(&mut *self.db).await?;
        Ok(())
    }
}

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn get(&mut self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        read::get(&mut self.db, collection, key).await
    }

    async fn page(&mut self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows> {
        read::page(&mut self.db, collection, filter, page).await
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
        let before = self.get(collection, Key::Id(entity::id(entity))).await?;
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

    async fn put_code(&mut self, digest: &str, bytes: &[u8]) -> Result<()> {
        let query = sqlx::query("INSERT INTO module_code (digest, code) VALUES (?, ?) ON CONFLICT DO NOTHING");
        query.bind(digest).bind(bytes).execute(&mut *self.db).await?;
        Ok(())
    }

    fn changes(&self, most: usize) -> Result<Changes> {
        self.recorder.changes(most)
    }

    fn sign(&mut self, note: Note) {
        self.recorder.sign(note);
    }

    async fn commit(mut self: Box<Self>) -> Result<Version> {
        if !self.recorder.is_empty() {
            self.write_version().await?;
        }
        let version = read::version(&mut self.db).await?;
        self.db.commit().await?;
        Ok(version)
    }
}
