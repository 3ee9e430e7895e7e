//! What entities say about each other: references that must lead somewhere, and values that only one may have.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::{Entity, Problem, Step, gather::Node};
use crate::model::{Collection, Object, schema::Kind};

/// Entities by what references may call them.
#[derive(Debug)]
pub(super) struct Index {
    by_id: HashSet<(Arc<str>, String)>,
    by_key: HashMap<(Arc<str>, String), String>,
}

impl Index {
    pub(super) fn of(nodes: &[Node]) -> Self {
        let mut index = Self { by_id: HashSet::new(), by_key: HashMap::new() };
        for node in nodes {
            let name = &node.collection.name;
            index.by_id.insert((name.clone(), node.id.clone()));
            let key = node.collection.endpoint_key.as_ref().and_then(|field| node.own.get(&**field)?.as_str());
            if let Some(key) = key {
                index.by_key.entry((name.clone(), key.to_owned())).or_insert_with(|| node.id.clone());
            }
        }
        index
    }

    /// The id of the entity that a text names.
    pub(super) fn find(&self, collection: &Arc<str>, text: &str) -> Option<String> {
        if let Some(id) = self.by_key.get(&(collection.clone(), text.to_owned())) {
            return Some(id.clone());
        }
        let id = (collection.clone(), text.to_lowercase());
        self.by_id.contains(&id).then_some(id.1)
    }
}

/// Ids and endpoint keys that stand twice, and references to nothing.
pub(super) fn check(entities: &[(Option<Object>, Entity)], index: &Index) -> Vec<Problem> {
    let (mut problems, mut ids, mut keys) = (Vec::new(), HashSet::new(), HashSet::new());
    for (given, entity) in entities {
        let collection = &entity.collection;
        let wrong = |field: &str, value: &str| {
            let text = taken(collection, &format!("{field} set to '{value}'"));
            Problem::of(entity.subject.clone(), entity.place.clone(), text.into())
        };
        let key = unique_endpoint(collection).and_then(|field| Some((field, entity.object.get(&**field)?.as_str()?)));
        let id = entity.object.get("id").and_then(Value::as_str).unwrap_or_default();
        match key.filter(|(_, value)| !keys.insert((collection.name.clone(), (*value).to_owned()))) {
            Some((field, value)) => problems.push(wrong(field, value)),
            None if !ids.insert((collection.name.clone(), id.to_owned())) => problems.push(wrong("primary key", id)),
            None => {}
        }
        problems.extend(given.iter().flat_map(|given| unresolved(entity, given, index)));
    }
    problems
}

fn unresolved<'a>(entity: &'a Entity, given: &'a Object, index: &'a Index) -> impl Iterator<Item = Problem> {
    let reference = |(field, to): (&'a Arc<str>, &'a Arc<str>)| {
        let text = given.get(&**field)?.as_str()?;
        (index.find(to, text).is_none()).then(|| {
            let message = format!("invalid reference '{field}: {text}' (no such entry in '{to}')");
            let place = vec![Step::Key(entity.collection.name.clone()), Step::key(&called(entity))];
            Problem::of(entity.subject.clone(), place, Value::Array(vec![message.into()]))
        })
    };
    foreign(&entity.collection).filter_map(reference)
}

/// Values of other unique fields that stand twice.
pub(super) fn unique(entities: &[(Option<Object>, Entity)]) -> Vec<Problem> {
    let (mut problems, mut seen) = (Vec::new(), HashSet::new());
    for (_, entity) in entities {
        for group in &entity.collection.unique {
            let Some(values) = values(entity, group) else { continue };
            let said = group.iter().zip(&values).filter(|(_, value)| !value.is_empty());
            let said: Vec<String> = said.map(|(field, value)| format!("{field} set to '{value}'")).collect();
            if !seen.insert((entity.collection.name.clone(), group.clone(), values)) {
                let place = vec![Step::Key(entity.collection.name.clone()), Step::key(&called(entity))];
                let text = taken(&entity.collection, &said.join(", "));
                problems.push(Problem::of(entity.subject.clone(), place, text.into()));
            }
        }
    }
    problems
}

/// The values of a unique group, references by id. `None`: it does not count for this entity.
fn values(entity: &Entity, group: &[Arc<str>]) -> Option<Vec<String>> {
    let value = |field: &Arc<str>| match entity.object.get(&**field).unwrap_or(&Value::Null) {
        Value::Null => foreign(&entity.collection).any(|(name, _)| name == field).then(String::new),
        Value::Object(reference) => reference.get("id").and_then(Value::as_str).map(str::to_owned),
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let values: Option<Vec<String>> = group.iter().map(value).collect();
    values.filter(|values| values.iter().any(|value| !value.is_empty()))
}

fn taken(collection: &Collection, what: &str) -> String {
    format!("uniqueness violation: '{}' entity with {what} already declared", collection.name)
}

/// What an entity is called in places: by endpoint key, else by id.
fn called(entity: &Entity) -> String {
    let text = |field: &str| entity.object.get(field).and_then(Value::as_str).map(str::to_owned);
    let key = entity.collection.endpoint_key.as_ref().and_then(|field| text(field));
    key.or_else(|| text("id")).unwrap_or_default()
}

fn unique_endpoint(collection: &Collection) -> Option<&Arc<str>> {
    let key = collection.endpoint_key.as_ref()?;
    collection.unique.iter().any(|group| group.as_slice() == std::slice::from_ref(key)).then_some(key)
}

/// Fields that refer to other collections.
pub(super) fn foreign(collection: &Collection) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
    collection.schema.fields.iter().filter_map(|field| match &field.kind {
        Kind::Foreign(to) => Some((&field.name, to)),
        _ => None,
    })
}
