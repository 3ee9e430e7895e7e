//! From a node to the entity that the store keeps: references as ids, defaults, checks by its schema.

use serde_json::{Value, json};

use super::{
    Entity, Head, Problem, World, fields,
    gather::Node,
    legacy,
    references::{Index, foreign},
};
use crate::model::{
    Object,
    schema::{Schema, Violations},
};

/// Stands for an entity that does not exist, so that all else can be checked.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
/// As for the Admin API.
const LONGEST_LIFE: u64 = 100_000_000;

/// The entities of all nodes, each with its references as the file has them.
pub(super) fn complete(
    nodes: Vec<Node>,
    index: &Index,
    world: &World<'_>,
    head: &Head,
    problems: &mut Vec<Problem>,
) -> Vec<(Option<Object>, Entity)> {
    let mut entities = Vec::with_capacity(nodes.len());
    for node in &nodes {
        let subject = node.subject(&nodes);
        let parent = node.parent.as_ref().map(|(parent, field)| (&**field, nodes[*parent].id.as_str()));
        match one(node, parent, index, world, head) {
            Ok(object) => {
                let given =
                    foreign(&node.collection).any(|(field, _)| node.own.get(&**field).is_some_and(Value::is_string));
                let given = given.then(|| node.own.clone());
                let (collection, place) = (node.collection.clone(), node.place.clone());
                entities.push((given, Entity { collection, object, has_id: node.has_id, subject, place }));
            }
            Err(violations) => problems.push(Problem::of(subject, node.place.clone(), fields(violations))),
        }
    }
    entities
}

fn one(
    node: &Node,
    parent: Option<(&str, &str)>,
    index: &Index,
    world: &World<'_>,
    head: &Head,
) -> Result<Object, Violations> {
    let mut object = node.own.clone();
    let mut wrong = refer(&mut object, node, parent, index);
    let life = take_life(&mut object, node, &mut wrong);
    if object.get("id").is_none_or(Value::is_null) {
        object.insert("id".into(), node.id.as_str().into());
    }
    if head.legacy && &*node.collection.name == "routes" {
        legacy::upgrade_paths(&mut object);
    }
    let updated = object.get("updated_at").filter(|moment| moment.is_number()).cloned();
    let schema = schema(&object, node, world);
    // Values that are transformed already must not be interpreted again; short forms are still spelled out.
    let as_stored =
        !head.transform && object.keys().all(|key| schema.as_ref().map_or(true, |schema| schema.field(key).is_some()));
    let made = schema.and_then(|schema| match as_stored {
        true => schema.restore(object, world.now),
        false => schema.create(object, world.now),
    });
    let mut entity = match made {
        Ok(entity) if wrong.is_empty() => entity,
        Ok(_) => return Err(wrong),
        Err(mut found) => {
            // What is wrong with a reference is better said by the reference.
            found.fields.extend(wrong.fields);
            return Err(found);
        }
    };
    entity.insert("id".into(), node.id.as_str().into());
    if let Some(updated) = updated {
        entity.insert("updated_at".into(), updated);
    }
    if node.collection.ttl {
        entity.insert("ttl".into(), life.into());
    }
    // The names are children: no part of the entity that is kept.
    if let Some(names) = &node.collection.names {
        entity.shift_remove(&*names.field);
    }
    Ok(entity)
}

/// Puts objects in place of the texts by which entities refer to others.
fn refer(object: &mut Object, node: &Node, parent: Option<(&str, &str)>, index: &Index) -> Violations {
    let mut wrong = Violations::default();
    for (field, to) in foreign(&node.collection) {
        if let Some((owner, id)) = parent
            && owner == &**field
        {
            object.insert(field.to_string(), json!({ "id": id }));
            continue;
        }
        match object.get(&**field) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => {
                let id = index.find(to, text).unwrap_or_else(|| NOBODY.to_owned());
                object.insert(field.to_string(), json!({ "id": id }));
            }
            Some(_) => {
                wrong.set(field, "expected a string".into());
                object.insert(field.to_string(), json!({ "id": NOBODY }));
            }
        }
    }
    wrong
}

fn take_life(object: &mut Object, node: &Node, wrong: &mut Violations) -> Option<u64> {
    if !node.collection.ttl {
        return None;
    }
    match object.shift_remove("ttl") {
        None | Some(Value::Null) => None,
        Some(life) => match life.as_u64().filter(|life| *life <= LONGEST_LIFE) {
            Some(0) => None,
            Some(life) => Some(life),
            None => {
                wrong.set("ttl", format!("must be an integer between 0 and {LONGEST_LIFE}").into());
                None
            }
        },
    }
}

/// The schema of the entity; of a plugin it depends on its name.
fn schema(object: &Object, node: &Node, world: &World<'_>) -> Result<Schema, Violations> {
    let general = &node.collection.schema;
    let name = object.get("name").and_then(Value::as_str).filter(|_| &*node.collection.name == "plugins");
    let Some(name) = name else { return Ok(general.clone()) };
    match (world.plugin)(name) {
        Some(info) => Ok(general.with(&info.overrides)),
        None => {
            let text = format!("plugin '{name}' not enabled; add it to the 'plugins' configuration property");
            Err(Violations::one("name", text))
        }
    }
}
