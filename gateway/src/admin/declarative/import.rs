//! Bringing the entities of a file into a database: what is not there is added, what is there becomes as the file says,
//! and what the file does not have stays, unless it is to be pruned.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    id,
    prune::{Others, Pruning},
};
use crate::{
    model::{
        Collection, Object, Registry,
        declarative::{Entity, Loaded},
        schema::{Auto, Kind},
    },
    store::{Filter, Key, Page, Result, Transaction},
};

/// What an import did, or would do.
#[derive(Debug, Default)]
pub struct Plan {
    /// In the order in which they were made.
    pub changes: Vec<Change>,
    /// What the file does not have and is deleted: internal names of collections, and names or ids.
    pub deleted: Vec<(Arc<str>, String)>,
    /// Entities that are as the file has them.
    pub unchanged: usize,
}

impl Plan {
    /// Whether the database is as the file says.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.deleted.is_empty()
    }
}

/// An entity that is new or different.
#[derive(Debug)]
pub struct Change {
    /// Internal name of its collection.
    pub collection: Arc<str>,
    /// What it is called: by endpoint key, else by id.
    pub name: String,
    /// What is different; `None` for a new one.
    pub fields: Option<Vec<FieldChange>>,
}

/// A field that is different. Values of fields that may hold secrets are not told.
#[derive(Debug)]
pub struct FieldChange {
    /// Its name.
    pub field: String,
    /// Before and after.
    pub values: Option<(Value, Value)>,
}

/// Writes the entities. The caller commits, or does not.
pub async fn import(write: &mut dyn Transaction, registry: &Registry, loaded: Loaded, others: &Others) -> Result<Plan> {
    let order: HashMap<Arc<str>, usize> =
        registry.iter().enumerate().map(|(at, collection)| (collection.name.clone(), at)).collect();
    let mut entities = loaded.entities;
    // Parents first, in the order of the file.
    entities.sort_by_key(|entity| order.get(&entity.collection.name).copied());
    let (mut plan, mut renamed) = (Plan::default(), HashMap::new());
    let mut pruning = Pruning::new(others, registry, &entities);
    for mut entity in entities {
        follow(&entity.collection.clone(), &mut entity.object, &renamed);
        pruning.make_room(write, &entity).await?;
        match one(write, &mut entity, &mut renamed).await? {
            Some(change) => plan.changes.push(change),
            None => plan.unchanged += 1,
        }
        pruning.keep(&entity);
    }
    plan.deleted = pruning.finish(write).await?;
    Ok(plan)
}

/// `renamed`: ids that the file made up, with those under which the database knows the entities.
async fn one(
    write: &mut dyn Transaction,
    entity: &mut Entity,
    renamed: &mut HashMap<String, String>,
) -> Result<Option<Change>> {
    let collection = entity.collection.clone();
    let mut known = write.get(&collection, Key::Id(id(&entity.object))).await?;
    if known.is_none() && !entity.has_id {
        known = same(write, &collection, &entity.object).await?;
        if let Some(known) = &known {
            renamed.insert(id(&entity.object).to_owned(), id(known).to_owned());
            entity.object.insert("id".into(), id(known).into());
        }
    }
    let name = called(&collection, &entity.object);
    let Some(known) = known else {
        write.insert(&collection, &entity.object).await?;
        return Ok(Some(Change { collection: collection.name.clone(), name, fields: None }));
    };
    keep(&collection, entity, &known);
    let fields = differences(&collection, &known, &entity.object);
    if fields.is_empty() {
        return Ok(None);
    }
    write.update(&collection, &entity.object).await?;
    Ok(Some(Change { collection: collection.name.clone(), name, fields: Some(fields) }))
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

/// The entity that has the same values in a unique group.
pub(super) async fn same(
    write: &mut dyn Transaction,
    collection: &Collection,
    object: &Object,
) -> Result<Option<Object>> {
    for group in &collection.unique {
        let text = |field: &Arc<str>| object.get(&**field).and_then(Value::as_str);
        if let [only] = group.as_slice()
            && let Some(value) = text(only)
        {
            if let Some(found) = write.get(collection, Key::Unique(only, value)).await? {
                return Ok(Some(found));
            }
            continue;
        }
        let parent = group.iter().find_map(|field| {
            let id = object.get(&**field)?.get("id")?.as_str()?;
            Some((field.clone(), Arc::from(id)))
        });
        let equals = group.iter().find_map(|field| Some((field.clone(), text(field)?.to_owned())));
        if equals.is_none() && parent.is_none() {
            continue;
        }
        let filter = Filter { parent, equals, tags: None };
        if let Some(found) = matching(write, collection, &filter, group, object).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

async fn matching(
    write: &mut dyn Transaction,
    collection: &Collection,
    filter: &Filter,
    group: &[Arc<str>],
    object: &Object,
) -> Result<Option<Object>> {
    let value = |entity: &Object, field: &Arc<str>| entity.get(&**field).cloned().unwrap_or(Value::Null);
    let mut after = None;
    loop {
        let rows = write.page(collection, filter, &Page { after: after.take(), size: 500 }).await?;
        let equal = |row: &&Object| group.iter().all(|field| value(row, field) == value(object, field));
        if let Some(found) = rows.rows.iter().find(equal) {
            return Ok(Some(found.clone()));
        }
        match rows.next {
            Some(next) => after = Some(next),
            None => return Ok(None),
        }
    }
}

/// What the file leaves to the gateway, and the gateway has decided before.
fn keep(collection: &Collection, entity: &mut Entity, known: &Object) {
    for field in &collection.schema.fields {
        let made = matches!(field.auto, Some(Auto::Created | Auto::Updated | Auto::Random));
        let given = entity.subject.entity.get(&*field.name).is_some_and(|value| !value.is_null());
        if made
            && !given
            && let Some(value) = known.get(&*field.name).filter(|value| !value.is_null())
            && field.auto != Some(Auto::Updated)
        {
            entity.object.insert(field.name.to_string(), value.clone());
        }
    }
    // The time of a change is no change.
    let timed = entity.subject.entity.get("updated_at").is_some_and(Value::is_number);
    let rest = |object: &Object| object.iter().filter(|(name, _)| *name != "updated_at").count();
    let equal = rest(known) == rest(&entity.object)
        && known.iter().all(|(name, value)| name == "updated_at" || entity.object.get(name) == Some(value));
    if equal
        && !timed
        && let Some(updated) = known.get("updated_at")
    {
        entity.object.insert("updated_at".into(), updated.clone());
    }
}

fn differences(collection: &Collection, known: &Object, new: &Object) -> Vec<FieldChange> {
    let mut names: Vec<&String> = known.keys().chain(new.keys().filter(|name| !known.contains_key(*name))).collect();
    names.sort();
    let value = |object: &Object, name: &String| object.get(name).cloned().unwrap_or(Value::Null);
    let change = |name: &String| {
        let (before, after) = (value(known, name), value(new, name));
        (before != after).then(|| {
            let values = (!may_be_secret(collection, name)).then_some((before, after));
            FieldChange { field: name.clone(), values }
        })
    };
    names.into_iter().filter_map(change).collect()
}

/// Credentials, and what could as well stand in a vault.
fn may_be_secret(collection: &Collection, field: &str) -> bool {
    let open = ["id", "created_at", "updated_at", "tags", "consumer", "service", "route", "ttl"];
    let known = collection.schema.field(field);
    let marked =
        known.is_some_and(|field| ["encrypted", "referenceable"].iter().any(|key| field.shown.contains_key(*key)));
    marked
        || (collection.declared_by.is_some() && !open.contains(&field))
        || field == "config"
        || field == "pem"
        || field == "jwk"
}

pub(super) fn called(collection: &Collection, object: &Object) -> String {
    let key = collection.endpoint_key.as_ref().filter(|field| !may_be_secret(collection, field));
    let plain = |field: &str| object.get(field).and_then(Value::as_str).map(str::to_owned);
    let name = key.and_then(|field| plain(field));
    let by_id = || {
        let shown = plain("name").map(|name| format!("{name} ")).unwrap_or_default();
        format!("{shown}{}", id(object))
    };
    name.unwrap_or_else(by_id)
}
