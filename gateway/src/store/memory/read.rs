//! Reading, and the write that is none.

use std::sync::Arc;

use async_trait::async_trait;

use super::contents::{Contents, now};
use crate::{
    model::{Collection, Object, Registry},
    store::{Changes, Filter, Key, Note, Page, Result, Rows, StoreError, Tags, Transaction, Version, entity},
};

/// One entity.
pub(super) fn get(contents: &Contents, collection: &Collection, key: Key<'_>) -> Option<Object> {
    let entities = contents.entities.get(&collection.name)?;
    let found = match key {
        Key::Id(id) => entities.get(id),
        Key::Unique(field, value) => {
            entities.values().find(|kept| entity::text(&kept.entity, field).as_deref() == Some(value))
        }
    };
    found.filter(|kept| kept.is_alive(now())).map(|kept| Object::clone(&kept.entity))
}

/// A page of a listing.
pub(super) fn page(contents: &Contents, collection: &Collection, filter: &Filter, page: &Page) -> Rows {
    let Some(entities) = contents.entities.get(&collection.name) else { return Rows::default() };
    let now = now();
    let after = page.after.as_deref().unwrap_or_default();
    let mut found = entities
        .iter()
        .filter(|(id, kept)| &***id > after && kept.is_alive(now) && passes(filter, &kept.entity))
        .map(|(id, kept)| (id, &kept.entity));
    let rows: Vec<(&Arc<str>, &Arc<Object>)> = found.by_ref().take(page.size).collect();
    let more = found.next().is_some();
    let next = rows.last().filter(|_| more).map(|(id, _)| id.to_string());
    Rows { rows: rows.into_iter().map(|(_, entity)| Object::clone(entity)).collect(), next }
}

fn passes(filter: &Filter, entity: &Object) -> bool {
    let equals = |field: &str, value: &str| entity::text(entity, field).as_deref() == Some(value);
    let tagged = |wanted: &Tags| {
        let tags = entity::tags(entity);
        match wanted {
            Tags::All(wanted) => wanted.iter().all(|tag| tags.contains(&tag.as_str())),
            Tags::Any(wanted) => wanted.iter().any(|tag| tags.contains(&tag.as_str())),
        }
    };
    filter.parent.as_ref().is_none_or(|(field, id)| equals(field, id))
        && filter.equals.as_ref().is_none_or(|(field, value)| equals(field, value))
        && filter.tags.as_ref().is_none_or(tagged)
}

/// Stands where a write would: it reads, and refuses the rest.
pub(super) struct Reading(Arc<Contents>);

impl Reading {
    pub(super) fn of(contents: Arc<Contents>) -> Self {
        Self(contents)
    }
}

fn refused<T>(collection: &Collection) -> Result<T> {
    Err(StoreError::NoDatabase { collection: collection.name.clone() })
}

#[async_trait]
impl Transaction for Reading {
    async fn get(&mut self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        Ok(get(&self.0, collection, key))
    }

    async fn page(&mut self, collection: &Collection, filter: &Filter, size: &Page) -> Result<Rows> {
        Ok(page(&self.0, collection, filter, size))
    }

    async fn insert(&mut self, collection: &Collection, _entity: &Object) -> Result<()> {
        refused(collection)
    }

    async fn update(&mut self, collection: &Collection, _entity: &Object) -> Result<()> {
        refused(collection)
    }

    async fn delete(&mut self, _registry: &Registry, collection: &Collection, _id: &str) -> Result<bool> {
        refused(collection)
    }

    async fn put_code(&mut self, _digest: &str, _bytes: &[u8]) -> Result<()> {
        // The row of the module is what is refused.
        Ok(())
    }

    fn changes(&self, _most: usize) -> Result<Changes> {
        Ok(Changes::default())
    }

    fn sign(&mut self, _note: Note) {}

    async fn commit(self: Box<Self>) -> Result<Version> {
        Ok(self.0.version)
    }
}
