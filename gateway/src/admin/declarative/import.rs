//! Bringing the entities of a file into a database: what is not there is added, what is there becomes as the file says,
//! and what the file does not have stays, unless it is to be pruned.

use std::sync::Arc;

use serde_json::Value;

use super::{
    id,
    identify::{self, Claim},
    prune::{self, Others},
    room::Room,
};
use crate::{
    model::{
        Collection, Object, Registry,
        declarative::{Entity, Loaded},
        schema::Auto,
    },
    store::{Result, Transaction},
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
    let claims = identify::claims(write, registry, loaded.entities).await?;
    let doomed = prune::doomed(write, registry, others, &claims).await?;
    let mut room = Room::new(&claims, &doomed);
    let mut plan = Plan::default();
    for claim in claims {
        match put(write, claim, &mut room).await? {
            Some(change) => plan.changes.push(change),
            None => plan.unchanged += 1,
        }
    }
    // Last, as what stays may have referred to what goes.
    plan.deleted = prune::delete(write, registry, doomed).await?;
    Ok(plan)
}

async fn put(write: &mut dyn Transaction, claim: Claim, room: &mut Room) -> Result<Option<Change>> {
    let Claim { mut entity, known } = claim;
    let collection = entity.collection.clone();
    let name = called(&collection, &entity.object);
    let Some(known) = known else {
        room.make(write, &collection, &entity.object).await?;
        write.insert(&collection, &entity.object).await?;
        return Ok(Some(Change { collection: collection.name.clone(), name, fields: None }));
    };
    keep(&collection, &mut entity, &known);
    let fields = differences(&collection, &known, &entity.object);
    if fields.is_empty() && !room.is_parked(&collection, &entity.object) {
        return Ok(None);
    }
    room.make(write, &collection, &entity.object).await?;
    write.update(&collection, &entity.object).await?;
    Ok(Some(Change { collection: collection.name.clone(), name, fields: Some(fields) }))
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
