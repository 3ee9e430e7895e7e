//! Which entity of a file is which entity of the database: by id where the file gives it, else by what is unique. Every
//! entity of the database is claimed once at most.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::id;
use crate::{
    model::{Collection, Object, Registry, declarative::Entity, schema::Kind},
    store::{Filter, Key, Page, Result, Transaction},
};

/// A collection and an id.
pub(super) type Name = (Arc<str>, String);

/// An entity of a file, under the id that it has in the database or is to have.
pub(super) struct Claim {
    pub(super) entity: Entity,
    /// As it is in the database; `None` for a new one.
    pub(super) known: Option<Object>,
}

/// The entities of a file, parents first, in the order of the file.
pub(super) async fn claims(
    write: &mut dyn Transaction,
    registry: &Registry,
    mut entities: Vec<Entity>,
) -> Result<Vec<Claim>> {
    let order: HashMap<Arc<str>, usize> =
        registry.iter().enumerate().map(|(at, collection)| (collection.name.clone(), at)).collect();
    entities.sort_by_key(|entity| order.get(&entity.collection.name).copied());
    let (mut renamed, mut claims) = (HashMap::new(), Vec::with_capacity(entities.len()));
    while let Some(first) = entities.first() {
        let collection = first.collection.clone();
        let rest = entities.split_off(
            entities.partition_point(|other| order.get(&other.collection.name) <= order.get(&collection.name)),
        );
        let mut own = Own { collection, claims: Vec::new(), taken: HashSet::new() };
        for mut entity in std::mem::replace(&mut entities, rest) {
            follow(&own.collection, &mut entity.object, &renamed);
            own.claims.push(Claim { entity, known: None });
        }
        own.identify(write).await?;
        renamed.extend(own.rename(write).await?);
        claims.extend(own.claims);
    }
    Ok(claims)
}

/// The entities of one collection.
struct Own {
    collection: Arc<Collection>,
    claims: Vec<Claim>,
    /// Ids that are claimed.
    taken: HashSet<String>,
}

impl Own {
    async fn identify(&mut self, write: &mut dyn Transaction) -> Result<()> {
        let collection = self.collection.clone();
        for at in 0..self.claims.len() {
            if self.claims[at].entity.has_id {
                self.claim_by_id(write, at).await?;
            }
        }
        // What paths go by says more than what else is unique.
        let (called, others): (Vec<_>, Vec<_>) =
            collection.unique.iter().partition(|group| group.iter().eq(collection.endpoint_key.as_ref()));
        for group in called.into_iter().chain(others) {
            for at in 0..self.claims.len() {
                let Claim { entity, known } = &self.claims[at];
                if known.is_none() && !entity.has_id {
                    let found = holder(write, &collection, group, &entity.object, "").await?;
                    self.claim(at, found);
                }
            }
        }
        for at in 0..self.claims.len() {
            if self.claims[at].known.is_none() && !self.claims[at].entity.has_id {
                self.claim_by_id(write, at).await?;
            }
        }
        Ok(())
    }

    async fn claim_by_id(&mut self, write: &mut dyn Transaction, at: usize) -> Result<()> {
        let found = write.get(&self.collection, Key::Id(id(&self.claims[at].entity.object))).await?;
        self.claim(at, found);
        Ok(())
    }

    fn claim(&mut self, at: usize, found: Option<Object>) {
        if let Some(found) = found.filter(|found| self.taken.insert(id(found).to_owned())) {
            self.claims[at].known = Some(found);
        }
    }

    /// Gives the entities whose ids the file does not tell the ids that they have in the database; those that were made
    /// up, with these.
    async fn rename(&mut self, write: &mut dyn Transaction) -> Result<Vec<(String, String)>> {
        let mut renamed = Vec::new();
        for Claim { entity, known } in self.claims.iter_mut().filter(|claim| !claim.entity.has_id) {
            let made_up = id(&entity.object).to_owned();
            let other = match known {
                Some(known) => id(known).to_owned(),
                // Made of a name that another had before.
                None if write.get(&self.collection, Key::Id(&made_up)).await?.is_some() => {
                    uuid::Uuid::new_v4().to_string()
                }
                None => continue,
            };
            entity.object.insert("id".into(), other.as_str().into());
            renamed.push((made_up, other));
        }
        Ok(renamed)
    }
}

/// References to entities that the database knows by another id.
fn follow(collection: &Collection, object: &mut Object, renamed: &HashMap<String, String>) {
    for field in collection.schema.fields.iter().filter(|field| matches!(field.kind, Kind::Foreign(_))) {
        let reference = object.get(&*field.name).and_then(|value| value.get("id")?.as_str());
        if let Some(other) = reference.and_then(|id| renamed.get(id)) {
            object.insert(field.name.to_string(), json!({ "id": other }));
        }
    }
}

/// The entity, but for the one with the id `except`, that has the values of this one in a unique group.
pub(super) async fn holder(
    write: &mut dyn Transaction,
    collection: &Collection,
    group: &[Arc<str>],
    object: &Object,
    except: &str,
) -> Result<Option<Object>> {
    let text = |field: &Arc<str>| object.get(&**field).and_then(Value::as_str);
    let is_other = |found: &Object| id(found) != except;
    if let [only] = group
        && let Some(value) = text(only)
    {
        return Ok(write.get(collection, Key::Unique(only, value)).await?.filter(is_other));
    }
    let parent = group.iter().find_map(|field| {
        let id = object.get(&**field)?.get("id")?.as_str()?;
        Some((field.clone(), Arc::from(id)))
    });
    let equals = group.iter().find_map(|field| Some((field.clone(), text(field)?.to_owned())));
    if equals.is_none() && parent.is_none() {
        return Ok(None);
    }
    let value = |entity: &Object, field: &Arc<str>| entity.get(&**field).cloned().unwrap_or(Value::Null);
    let equal = |row: &Object| is_other(row) && group.iter().all(|field| value(row, field) == value(object, field));
    let filter = Filter { parent, equals, tags: None };
    let mut after = None;
    loop {
        let rows = write.page(collection, &filter, &Page { after: after.take(), size: 500 }).await?;
        if let Some(found) = rows.rows.into_iter().find(equal) {
            return Ok(Some(found));
        }
        match rows.next {
            Some(next) => after = Some(next),
            None => return Ok(None),
        }
    }
}
