//! Changes of entities as operators see them: which fields, before and after, and never a secret.

use std::sync::Arc;

use serde_json::{Value, json};

use super::call::Call;
use crate::{
    model::{
        Collection, Object,
        schema::{Auto, Field, Kind, Schema},
    },
    plugin::digest_of,
    store::{Counts, EntityChange},
};

/// Stands in place of a secret.
const SECRET: &str = "<redacted>";

/// Fields that hold secrets even where no schema says so.
const SECRET_NAMES: [&str; 7] = ["password", "secret", "client_secret", "private_key", "passphrase", "salt", "hash"];

/// Counts of a write.
pub(super) fn counts(counts: &Counts) -> Value {
    json!({ "created": counts.created, "updated": counts.updated, "deleted": counts.deleted })
}

/// A change in full.
pub(super) fn change(call: &Call, change: &EntityChange) -> Value {
    let mut shown = head(call, change);
    shown.insert("before".into(), side(call, &change.collection, change.before.as_ref()));
    shown.insert("after".into(), side(call, &change.collection, change.after.as_ref()));
    Value::Object(shown)
}

/// A change as the audit log keeps it: with a digest in place of each side. Secrets are not in the digests either.
pub(super) fn brief(call: &Call, change: &EntityChange) -> Value {
    let digest = |entity: Option<&Object>| match side(call, &change.collection, entity) {
        Value::Null => Value::Null,
        shown => digest_of(shown.to_string().as_bytes()).into(),
    };
    let mut shown = head(call, change);
    shown.insert("before".into(), digest(change.before.as_ref()));
    shown.insert("after".into(), digest(change.after.as_ref()));
    Value::Object(shown)
}

/// Of the changes that the audit log keeps, those that whoever asks may read, and how many others there are.
pub(super) fn legible(call: &Call, entities: &Value) -> (Vec<Value>, usize) {
    let all = entities.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |change: &Value, field: &str| change.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let may_read = |change: &&Value| call.may_read(&text(change, "collection"), &text(change, "id"));
    let legible: Vec<Value> = all.iter().filter(may_read).cloned().collect();
    let hidden = all.len() - legible.len();
    (legible, hidden)
}

/// Collection, id, name, what happened, and which fields changed.
fn head(call: &Call, change: &EntityChange) -> Object {
    let mut head = Object::new();
    head.insert("collection".into(), (*change.collection).into());
    head.insert("id".into(), (*change.id).into());
    if let Some(name) = name(call, change) {
        head.insert("name".into(), name);
    }
    let action = match (&change.before, &change.after) {
        (None, _) => "create",
        (_, None) => "delete",
        (Some(before), Some(after)) => {
            let mut fields = Vec::new();
            differences(before, after, "", &mut fields);
            head.insert("fields".into(), fields.into());
            "update"
        }
    };
    head.insert("action".into(), action.into());
    head
}

/// What operators call the entity, unless that is a secret.
fn name(call: &Call, change: &EntityChange) -> Option<Value> {
    let collection = call.registry.get(&change.collection)?;
    let field = collection.endpoint_key.as_ref()?;
    let secret = collection.schema.field(field).is_some_and(is_secret);
    let entity = change.after.as_ref().or(change.before.as_ref())?;
    entity.get(&**field).filter(|name| name.is_string() && !secret).cloned()
}

/// Paths of the fields that differ; lists are compared whole.
fn differences(before: &Object, after: &Object, prefix: &str, found: &mut Vec<String>) {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    for name in after.keys().chain(gone) {
        let path = format!("{prefix}{name}");
        match (before.get(name), after.get(name)) {
            (one, other) if one == other => {}
            (Some(Value::Object(one)), Some(Value::Object(other))) => {
                differences(one, other, &format!("{path}."), found);
            }
            _ => found.push(path),
        }
    }
}

/// One side of a change without its secrets; null where there is none.
fn side(call: &Call, collection: &Arc<str>, entity: Option<&Object>) -> Value {
    let Some(entity) = entity else { return Value::Null };
    match call.registry.get(collection) {
        Some(collection) => Value::Object(redacted(call, collection, entity.clone())),
        // Without its description nobody knows what in it is secret.
        None => json!({ "id": entity.get("id") }),
    }
}

fn redacted(call: &Call, collection: &Collection, mut entity: Object) -> Object {
    redact(&collection.schema, &mut entity);
    if &*collection.name == "plugins" {
        let known = entity.get("name").and_then(Value::as_str).and_then(|name| call.context.plugins.schema(name));
        match known {
            Some(info) => redact(&info.overrides, &mut entity),
            None => hide(entity.get_mut("config")),
        }
    }
    entity
}

fn redact(schema: &Schema, entity: &mut Object) {
    for field in &schema.fields {
        let Some(value) = entity.get_mut(&*field.name) else { continue };
        if is_secret(field) {
            hide(Some(value));
        } else {
            redact_value(&field.kind, value);
        }
    }
}

fn redact_value(kind: &Kind, value: &mut Value) {
    match (kind, value) {
        (Kind::Record(schema), Value::Object(record)) => redact(schema, record),
        (Kind::Array(element) | Kind::Set(element), Value::Array(values)) => {
            values.iter_mut().for_each(|value| redact_value(&element.kind, value));
        }
        (Kind::Map(_, element), Value::Object(values)) => {
            let secret = is_secret(element);
            for value in values.values_mut() {
                if secret { hide(Some(value)) } else { redact_value(&element.kind, value) }
            }
        }
        _ => {}
    }
}

fn is_secret(field: &Field) -> bool {
    let marked = field.shown.get("encrypted").is_some_and(|value| *value == true);
    marked || field.auto == Some(Auto::Random) || SECRET_NAMES.contains(&&*field.name)
}

fn hide(value: Option<&mut Value>) {
    if let Some(value) = value.filter(|value| !value.is_null()) {
        *value = SECRET.into();
    }
}
