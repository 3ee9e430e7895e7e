//! Deleting what a file does not have: children before their parents, and what is in the way of an entity before it.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

use super::{
    id,
    import::{called, same},
};
use crate::{
    model::{Collection, Object, Registry, declarative::Entity},
    store::{Filter, Page, Result, Transaction},
};

/// What becomes of the entities that a file does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Others {
    /// They stay.
    Keep,
    /// Those that have all of these tags are deleted.
    Delete(Vec<String>),
}

/// Code is no part of files.
const SPARED: &str = "modules";

type Name = (Arc<str>, String);

/// An import that may delete.
pub(super) struct Pruning<'a> {
    /// `None`: nothing is deleted.
    tags: Option<&'a [String]>,
    registry: &'a Registry,
    /// What the file has, by the ids that the database knows.
    kept: HashSet<Name>,
    deleted: Vec<Name>,
}

impl<'a> Pruning<'a> {
    /// What the file names by id is spared from the start.
    pub(super) fn new(others: &'a Others, registry: &'a Registry, entities: &[Entity]) -> Self {
        let tags = match others {
            Others::Keep => None,
            Others::Delete(tags) => Some(tags.as_slice()),
        };
        let named = entities.iter().filter(|entity| entity.has_id && tags.is_some());
        Self { tags, registry, kept: named.map(name).collect(), deleted: Vec::new() }
    }

    /// Spares an entity that was written.
    pub(super) fn keep(&mut self, entity: &Entity) {
        if self.tags.is_some() {
            self.kept.insert(name(entity));
        }
    }

    /// Deletes those that have unique values of an entity under another id. An entity without an id takes them over.
    pub(super) async fn make_room(&mut self, write: &mut dyn Transaction, entity: &Entity) -> Result<()> {
        if !entity.has_id {
            return Ok(());
        }
        while let Some(other) = same(write, &entity.collection, &entity.object).await? {
            if !self.delete(write, &entity.collection, &other).await? {
                break;
            }
        }
        Ok(())
    }

    /// Deletes the rest, and answers with all that was deleted.
    pub(super) async fn finish(mut self, write: &mut dyn Transaction) -> Result<Vec<Name>> {
        let collections: Vec<_> = self.registry.iter().filter(|_| self.tags.is_some()).cloned().collect();
        for collection in collections.iter().rev().filter(|collection| &*collection.name != SPARED) {
            for stored in all(write, collection).await? {
                self.delete(write, collection, &stored).await?;
            }
        }
        Ok(self.deleted)
    }

    /// Whether it was to be deleted, and was there.
    async fn delete(&mut self, write: &mut dyn Transaction, collection: &Collection, stored: &Object) -> Result<bool> {
        let kept = self.kept.contains(&(collection.name.clone(), id(stored).to_owned()));
        if kept || !self.tags.is_some_and(|tags| has_all(stored, tags)) {
            return Ok(false);
        }
        let found = write.delete(self.registry, collection, id(stored)).await?;
        if found {
            self.deleted.push((collection.name.clone(), called(collection, stored)));
        }
        Ok(found)
    }
}

fn name(entity: &Entity) -> Name {
    (entity.collection.name.clone(), id(&entity.object).to_owned())
}

fn has_all(stored: &Object, tags: &[String]) -> bool {
    let listed = stored.get("tags").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    tags.iter().all(|tag| listed.iter().any(|listed| listed == tag))
}

async fn all(write: &mut dyn Transaction, collection: &Collection) -> Result<Vec<Object>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let rows = write.page(collection, &Filter::default(), &Page { after: after.take(), size: 1000 }).await?;
        found.extend(rows.rows);
        match rows.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}
