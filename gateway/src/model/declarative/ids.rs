//! Ids of entities that the file gives none: made from what they are called, so that every load makes the same.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::gather::Node;
use crate::model::{Collection, schema::is_uuid};

/// The namespace that Kong begins with.
const ROOT: Uuid = Uuid::from_u128(0xfd02_801f_0957_4a15_a55a_c8d9_606f_30b5);

/// Gives each node its id.
pub(super) fn assign(nodes: &mut [Node]) {
    let mut namespaces = HashMap::new();
    for at in 0..nodes.len() {
        let parent = nodes[at].parent.as_ref().map(|(parent, field)| (&**field, nodes[*parent].id.as_str()));
        let node = &nodes[at];
        let given = node.own.get("id").filter(|id| !id.is_null());
        let id = match given.map(|id| id.as_str().filter(|id| is_uuid(id))) {
            Some(Some(id)) => id.to_lowercase(),
            // The schema says what is wrong with it.
            Some(None) => Uuid::new_v4().to_string(),
            None => {
                let name = node.collection.name.clone();
                let namespace = *namespaces.entry(name.clone()).or_insert_with(|| Uuid::new_v5(&ROOT, name.as_bytes()));
                match name_of(node, parent) {
                    Some(name) => Uuid::new_v5(&namespace, name.as_bytes()).to_string(),
                    None => Uuid::new_v4().to_string(),
                }
            }
        };
        nodes[at].has_id = given.is_some();
        nodes[at].id = id;
    }
}

/// What tells the entity from others of its collection. `None`: nothing that stays.
fn name_of(node: &Node, parent: Option<(&str, &str)>) -> Option<String> {
    let collection = &node.collection;
    if let Some(fields) = cache_key(collection) {
        let mut name = format!("{}:*", collection.name);
        for field in fields {
            name.push(':');
            name.push_str(part(node, field, parent)?);
        }
        return Some(name);
    }
    let endpoint = collection.endpoint_key.as_ref()?;
    node.own.get(&**endpoint)?.as_str().map(str::to_owned)
}

fn part<'a>(node: &'a Node, field: &str, parent: Option<(&'a str, &'a str)>) -> Option<&'a str> {
    let known = node.collection.schema.field(field);
    if known.is_some_and(|field| field.auto.is_some()) {
        return None;
    }
    match node.own.get(field) {
        Some(Value::String(text)) => Some(text),
        None | Some(Value::Null) => match parent {
            Some((owner, id)) if owner == field => Some(id),
            _ if known.is_some_and(|field| field.required) => None,
            _ => Some(""),
        },
        Some(_) => None,
    }
}

/// The fields by which Kong's caches find an entity, where it is not by its endpoint key.
fn cache_key(collection: &Collection) -> Option<Vec<&str>> {
    match &*collection.name {
        "vaults" => return Some(vec!["prefix"]),
        "filter_chains" => return Some(vec!["route", "service"]),
        _ => {}
    }
    let groups = || collection.unique.iter().map(|group| group.iter().map(|field| &**field).collect::<Vec<_>>());
    let together = groups().find(|group| group.len() > 1);
    // Credentials are looked up by the field that identifies them.
    together.or_else(|| groups().next().filter(|_| collection.declared_by.is_some()))
}
