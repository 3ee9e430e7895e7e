//! From stored entities to a file that a load makes the same entities from.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{World, references::foreign};
use crate::model::{
    Collection, Object,
    schema::{Field, Kind, Schema},
};

/// The file of these entities: flat lists, references as ids, keys in alphabetical order. What is null is left out, unless
/// a load would fill in something else.
pub fn document(collections: impl IntoIterator<Item = (Arc<Collection>, Vec<Object>)>, world: &World<'_>) -> Value {
    let mut root = Object::new();
    root.insert("_format_version".into(), "3.0".into());
    root.insert("_transform".into(), false.into());
    for (collection, mut entities) in collections {
        if entities.is_empty() {
            continue;
        }
        entities.sort_by(|one, other| id(one).cmp(id(other)));
        let shown = entities.into_iter().map(|entity| flat(&collection, entity, world)).collect();
        root.insert(collection.name.to_string(), Value::Array(shown));
    }
    Value::Object(root)
}

fn id(entity: &Object) -> &str {
    entity.get("id").and_then(Value::as_str).unwrap_or_default()
}

fn flat(collection: &Collection, mut entity: Object, world: &World<'_>) -> Value {
    for (field, _) in foreign(collection) {
        if let Some(reference) = entity.get_mut(&**field)
            && let Some(id) = reference.get("id").cloned()
        {
            *reference = id;
        }
    }
    let plugin = entity.get("name").and_then(Value::as_str).filter(|_| &*collection.name == "plugins");
    let schema = match plugin.and_then(|name| (world.plugin)(name)) {
        Some(info) => collection.schema.with(&info.overrides),
        None => collection.schema.clone(),
    };
    Value::Object(record(&schema, entity))
}

fn record(schema: &Schema, object: Object) -> Object {
    let shown = object.into_iter().filter_map(|(name, value)| {
        let field = schema.field(&name);
        let kept = !value.is_null() || field.is_some_and(|field| field.default.as_ref().is_some_and(|d| !d.is_null()));
        kept.then(|| (name, inside(field, value)))
    });
    sorted(shown.collect())
}

fn inside(field: Option<&Field>, value: Value) -> Value {
    match (field.map(|field| &field.kind), value) {
        (Some(Kind::Record(schema)), Value::Object(object)) => Value::Object(record(schema, object)),
        (Some(Kind::Array(element) | Kind::Set(element)), Value::Array(elements)) => {
            elements.into_iter().map(|each| inside(Some(element), each)).collect()
        }
        (Some(Kind::Map(_, values)), Value::Object(map)) => {
            Value::Object(sorted(map.into_iter().map(|(key, each)| (key, inside(Some(values), each))).collect()))
        }
        (_, Value::Object(object)) => {
            Value::Object(sorted(object.into_iter().map(|(key, each)| (key, inside(None, each))).collect()))
        }
        (_, value) => value,
    }
}

fn sorted(mut object: Object) -> Object {
    object.sort_keys();
    object
}

/// As `POST /config` answers: by collection, then id, without nulls.
pub fn by_id(collections: impl IntoIterator<Item = (Arc<Collection>, Vec<Object>)>) -> Value {
    let mut root = Object::new();
    for (collection, entities) in collections {
        let mut shown = Object::new();
        for entity in entities {
            shown.insert(id(&entity).to_owned(), without_nulls(Value::Object(entity)));
        }
        if !shown.is_empty() {
            root.insert(collection.name.to_string(), Value::Object(shown));
        }
    }
    json!(root)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(
            object
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        Value::Array(elements) => elements.into_iter().map(without_nulls).collect(),
        value => value,
    }
}
