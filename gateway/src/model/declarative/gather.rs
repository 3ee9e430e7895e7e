//! From the nested form to a flat list: each entity with its place and its parent.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use super::{INTERNAL, Problem, Step, Subject, children, collections};
use crate::model::{Collection, Object, Registry};

/// An entity as the file has it, without what stands inside of it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) collection: Arc<Collection>,
    pub(super) place: Vec<Step>,
    pub(super) own: Object,
    /// The entity that it stands in, among all nodes, and the field that refers to it.
    pub(super) parent: Option<(usize, Arc<str>)>,
    pub(super) has_id: bool,
    /// In lower case; made up when the file has none.
    pub(super) id: String,
}

impl Node {
    /// For lists of errors: the node, with the id of what it stands in.
    pub(super) fn subject(&self, nodes: &[Node]) -> Subject {
        let mut entity = self.own.clone();
        if let Some((parent, field)) = &self.parent {
            entity.insert(field.to_string(), serde_json::json!({ "id": nodes[*parent].id }));
        }
        Subject { collection: self.collection.name.clone(), entity }
    }
}

/// Every entity of the file, parents before children.
pub(super) fn nodes(root: Object, registry: &Registry, problems: &mut Vec<Problem>) -> Vec<Node> {
    let mut below = HashMap::new();
    for parent in collections(registry) {
        let found = children(registry, &parent.name).map(|(child, field)| (child.clone(), field.clone())).collect();
        below.insert(parent.name.clone(), found);
    }
    let mut gatherer = Gatherer { below, nodes: Vec::new(), problems };
    for (key, value) in root {
        match collections(registry).find(|collection| *collection.name == *key) {
            Some(collection) => gatherer.list(collection, vec![Step::key(&key)], value, None),
            None if INTERNAL.contains(&key.as_str()) => {}
            // Kong's own filters, which this gateway does not run; its plugins are components already.
            None if key == "filter_chains" => gatherer.no_filters(&value),
            None => gatherer.problems.push(Problem::at([Step::key(&key)], "unknown field")),
        }
    }
    gatherer.nodes
}

/// A collection and its field that refers to the parent.
type Child = (Arc<Collection>, Arc<str>);

struct Gatherer<'a> {
    /// By collection: its children and their fields that refer to it.
    below: HashMap<Arc<str>, Vec<Child>>,
    nodes: Vec<Node>,
    problems: &'a mut Vec<Problem>,
}

impl Gatherer<'_> {
    fn list(
        &mut self,
        collection: &Arc<Collection>,
        place: Vec<Step>,
        value: Value,
        parent: Option<(usize, Arc<str>)>,
    ) {
        let elements = match value {
            Value::Null => return,
            Value::Array(elements) => elements,
            // An empty table is both for Kong.
            Value::Object(empty) if empty.is_empty() => return,
            _ => return self.problems.push(Problem::at(place, "expected an array")),
        };
        for (at, element) in elements.into_iter().enumerate() {
            let mut place = place.clone();
            place.push(Step::Index(at));
            match element {
                Value::Object(object) => self.one(collection.clone(), place, object, parent.clone()),
                Value::Array(empty) if empty.is_empty() => {
                    self.one(collection.clone(), place, Object::new(), parent.clone())
                }
                _ => self.problems.push(Problem::at(place, "expected a record")),
            }
        }
    }

    fn no_filters(&mut self, chains: &Value) {
        for at in 0..chains.as_array().map_or(0, Vec::len) {
            let place = [Step::key("filter_chains"), Step::Index(at)];
            self.problems.push(Problem::at(place, serde_json::json!({ "filters": [{ "name": "no such filter" }] })));
        }
    }

    fn one(
        &mut self,
        collection: Arc<Collection>,
        place: Vec<Step>,
        mut object: Object,
        parent: Option<(usize, Arc<str>)>,
    ) {
        let mut inside = Vec::new();
        for (child, field) in self.below.get(&collection.name).into_iter().flatten() {
            if let Some(value) = object.shift_remove(&*child.name) {
                inside.push((child.clone(), field.clone(), value));
            }
        }
        let mut wrong = Object::new();
        take_remarks(&mut object, |key, message| _ = wrong.insert(key.to_owned(), message.into()));
        if let Some((_, field)) = &parent
            && object.shift_remove(&**field).is_some_and(|value| !value.is_null())
        {
            wrong.insert(field.to_string(), "value must be null".into());
        }
        let number = self.nodes.len();
        let node = Node { collection, place: place.clone(), own: object, parent, has_id: false, id: String::new() };
        if !wrong.is_empty() {
            let subject = Subject { collection: node.collection.name.clone(), entity: node.own.clone() };
            self.problems.push(Problem::of(subject, place.clone(), Value::Object(wrong)));
        }
        self.nodes.push(node);
        for (child, field, value) in inside {
            let mut place = place.clone();
            place.push(Step::Key(child.name.clone()));
            self.list(&child, place, value, Some((number, field)));
        }
    }
}

/// Takes out what is for readers alone.
pub(super) fn take_remarks(object: &mut Object, mut wrong: impl FnMut(&str, &str)) {
    if object.shift_remove("_comment").is_some_and(|comment| !comment.is_string() && !comment.is_null()) {
        wrong("_comment", "expected a string");
    }
    let ignored = object.shift_remove("_ignore");
    if ignored.is_some_and(|value| !value.is_array() && !value.is_null() && value != Value::Object(Object::new())) {
        wrong("_ignore", "expected an array");
    }
}
