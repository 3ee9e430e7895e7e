//! What the store reads out of an entity. Equal for every database.

use std::{borrow::Cow, sync::Arc};

use serde_json::Value;

use super::{Result, StoreError};
use crate::model::{Collection, Object};

/// The primary key; empty when there is none, which every table refuses.
pub(super) fn id(entity: &Object) -> &str {
    entity.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// What a column for `field` holds: text as it is, a reference as its id.
pub(super) fn text<'a>(entity: &'a Object, field: &str) -> Option<Cow<'a, str>> {
    match entity.get(field)? {
        Value::Null => None,
        Value::String(text) => Some(text.into()),
        Value::Object(reference) => reference.get("id").and_then(Value::as_str).map(Cow::from),
        other => Some(other.to_string().into()),
    }
}

/// Unix seconds of its creation.
pub(super) fn created_at(entity: &Object) -> Option<f64> {
    entity.get("created_at").and_then(Value::as_f64)
}

/// Unix seconds at which it ceases to exist, if ever.
pub(super) fn expires_at(collection: &Collection, entity: &Object) -> Option<f64> {
    let ttl = entity.get("ttl").and_then(Value::as_f64).filter(|ttl| collection.ttl && *ttl > 0.0)?;
    Some(created_at(entity)? + ttl)
}

/// Its tags, each once.
pub(super) fn tags(entity: &Object) -> Vec<&str> {
    let tags = entity.get("tags").and_then(Value::as_array).into_iter().flatten();
    let mut tags: Vec<_> = tags.filter_map(Value::as_str).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// The unique groups of its collection that count for this entity.
pub(super) fn groups<'a>(collection: &'a Collection, entity: &'a Object) -> impl Iterator<Item = Group<'a>> {
    collection.unique.iter().filter_map(move |fields| {
        let values: Vec<_> = fields.iter().map(|field| text(entity, field)).collect();
        let missing = |(field, value): (&Arc<str>, &Option<_>)| value.is_none() && !is_reference(collection, field);
        let counts = !fields.iter().zip(&values).any(missing);
        counts.then_some(Group { fields, values })
    })
}

fn is_reference(collection: &Collection, field: &str) -> bool {
    collection.references.iter().any(|reference| &*reference.field == field)
}

/// A unique group with the values of one entity.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) fields: &'a [Arc<str>],
    pub(super) values: Vec<Option<Cow<'a, str>>>,
}

impl Group<'_> {
    /// Names of the fields as the side table of unique keys has them.
    pub(super) fn name(&self) -> String {
        json_list(self.fields.iter().map(|field| Some(&**field)))
    }

    /// Values of the fields as that table has them.
    pub(super) fn value(&self) -> String {
        json_list(self.values.iter().map(|value| value.as_deref()))
    }

    /// The error that `entity` meets when another has the same values. Fields are in the order of their names.
    pub(super) fn taken(&self, collection: &Collection, entity: &Object) -> StoreError {
        let mut names: Vec<_> = self.fields.iter().collect();
        names.sort_unstable();
        let value = |field: &Arc<str>| entity.get(&**field).cloned().unwrap_or_default();
        let fields = names.into_iter().map(|field| (field.to_string(), value(field))).collect();
        StoreError::Unique { collection: collection.name.clone(), fields }
    }
}

/// A list of texts as JSON.
pub(super) fn json_list<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> String {
    Value::Array(texts.map(Value::from).collect()).to_string()
}

/// An entity from a row.
pub(super) fn parse(collection: &str, data: &str) -> Result<Object> {
    serde_json::from_str(data).map_err(|error| StoreError::Corrupt(collection.into(), error))
}
