//! A store in memory: enough of one to test what the Admin API asks of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use tokio::sync::OwnedMutexGuard;

use crate::{
    model::{Collection, Object, OnDelete, Registry},
    store::{Delta, Filter, Key, Page, Result, Rows, Store, StoreError, Tags, Transaction, Version},
};

#[derive(Debug, Default, Clone)]
struct Tables {
    version: Version,
    rows: BTreeMap<(String, String), Object>,
    code: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    writing: Arc<tokio::sync::Mutex<()>>,
}

struct MemoryTransaction {
    tables: Arc<Mutex<Tables>>,
    draft: Tables,
    changed: bool,
    _one_at_a_time: OwnedMutexGuard<()>,
}

impl Tables {
    fn of<'a>(&'a self, collection: &str) -> impl Iterator<Item = &'a Object> {
        let name = collection.to_owned();
        self.rows.iter().filter(move |((known, _), _)| *known == name).map(|(_, row)| row)
    }

    fn get(&self, collection: &Collection, key: Key<'_>) -> Option<Object> {
        let found = self.of(&collection.name).find(|row| match key {
            Key::Id(id) => row["id"] == id,
            Key::Unique(field, value) => row.get(field).is_some_and(|known| known == value),
        });
        found.cloned()
    }

    fn page(&self, collection: &Collection, filter: &Filter, page: &Page) -> Rows {
        let mut rows: Vec<Object> = self.of(&collection.name).filter(|row| passes(row, filter)).cloned().collect();
        rows.retain(|row| page.after.as_deref().is_none_or(|after| row["id"].as_str().unwrap() > after));
        let more = rows.len() > page.size;
        rows.truncate(page.size);
        let next = rows.last().filter(|_| more).map(|row| row["id"].as_str().unwrap().to_owned());
        Rows { rows, next }
    }

    fn check(&self, collection: &Collection, entity: &Object) -> Result<()> {
        for group in &collection.unique {
            let plain = |field: &Arc<str>| !collection.references.iter().any(|reference| reference.field == *field);
            if group.iter().any(|field| plain(field) && entity[&**field].is_null()) {
                continue;
            }
            let same = |row: &&Object| group.iter().all(|field| row[&**field] == entity[&**field]);
            if self.of(&collection.name).filter(same).any(|row| row["id"] != entity["id"]) {
                let fields = group.iter().map(|field| (field.to_string(), entity[&**field].clone())).collect();
                return Err(StoreError::Unique { collection: collection.name.clone(), fields });
            }
        }
        Ok(())
    }
}

fn passes(row: &Object, filter: &Filter) -> bool {
    let tagged = |tag: &String| row["tags"].as_array().is_some_and(|tags| tags.iter().any(|known| known == tag));
    filter.parent.as_ref().is_none_or(|(field, id)| row[&**field]["id"] == **id)
        && filter.equals.as_ref().is_none_or(|(field, text)| row[&**field] == **text)
        && filter.tags.as_ref().is_none_or(|tags| match tags {
            Tags::All(tags) => tags.iter().all(tagged),
            Tags::Any(tags) => tags.iter().any(tagged),
        })
}

#[async_trait]
impl Store for MemoryStore {
    async fn version(&self) -> Result<Version> {
        Ok(self.tables.lock().unwrap().version)
    }

    async fn get(&self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        Ok(self.tables.lock().unwrap().get(collection, key))
    }

    async fn page(&self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows> {
        Ok(self.tables.lock().unwrap().page(collection, filter, page))
    }

    async fn changes_since(&self, _: &Registry, version: Version) -> Result<Delta> {
        Ok(Delta { version, full: false, changes: Vec::new() })
    }

    async fn code(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.tables.lock().unwrap().code.get(digest).cloned())
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        let guard = self.writing.clone().lock_owned().await;
        let draft = self.tables.lock().unwrap().clone();
        let tables = self.tables.clone();
        Ok(Box::new(MemoryTransaction { tables, draft, changed: false, _one_at_a_time: guard }))
    }

    async fn once(&self, _: &str, make: String) -> Result<String> {
        Ok(make)
    }
}

#[async_trait]
impl Transaction for MemoryTransaction {
    async fn get(&mut self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        Ok(self.draft.get(collection, key))
    }

    async fn page(&mut self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows> {
        Ok(self.draft.page(collection, filter, page))
    }

    async fn insert(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        let id = entity["id"].as_str().unwrap();
        let key = (collection.name.to_string(), id.to_owned());
        if self.draft.rows.contains_key(&key) {
            return Err(StoreError::PrimaryKey { collection: collection.name.clone(), id: id.into() });
        }
        self.draft.check(collection, entity)?;
        self.changed = true;
        self.draft.rows.insert(key, entity.clone());
        Ok(())
    }

    async fn update(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        self.draft.check(collection, entity)?;
        self.changed = true;
        let key = (collection.name.to_string(), entity["id"].as_str().unwrap().to_owned());
        self.draft.rows.insert(key, entity.clone());
        Ok(())
    }

    async fn delete(&mut self, registry: &Registry, collection: &Collection, id: &str) -> Result<bool> {
        for (child, reference) in registry.children(&collection.name) {
            let children = self.draft.of(&child.name).filter(|row| row[&*reference.field]["id"] == id);
            let children: Vec<String> = children.map(|row| row["id"].as_str().unwrap().to_owned()).collect();
            if reference.on_delete == OnDelete::Refuse && !children.is_empty() {
                return Err(StoreError::Referenced { collection: collection.name.clone(), by: child.name.clone() });
            }
            for below in children {
                self.delete(registry, child, &below).await?;
            }
        }
        let removed = self.draft.rows.remove(&(collection.name.to_string(), id.to_owned())).is_some();
        self.changed |= removed;
        Ok(removed)
    }

    async fn put_code(&mut self, digest: &str, bytes: &[u8]) -> Result<()> {
        self.draft.code.insert(digest.to_owned(), bytes.to_vec());
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<Version> {
        self.draft.version += Version::from(self.changed);
        let version = self.draft.version;
        *self.tables.lock().unwrap() = std::mem::take(&mut self.draft);
        Ok(version)
    }
}

