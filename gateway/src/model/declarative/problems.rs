//! What is wrong with a file, in Kong's shapes: a tree that mirrors the input, a list by entity, and lines of text.

use std::{fmt, sync::Arc};

use serde_json::{Value, json};

use crate::model::{Object, schema::lua_table};

/// A step towards a place in the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Key(Arc<str>),
    /// An element of an array, from 0.
    Index(usize),
}

impl Step {
    /// A member of an object.
    pub fn key(key: &str) -> Self {
        Self::Key(key.into())
    }
}

/// An entity as the input has it, for lists of errors.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Internal name of its collection.
    pub collection: Arc<str>,
    /// Without its children, and with the ids of its parents.
    pub entity: Object,
}

/// One mistake.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Where, in the input.
    pub place: Vec<Step>,
    /// Text, an array with holes for the good elements, or an object by field.
    pub what: Value,
    /// The entity that it is about.
    pub subject: Option<Subject>,
}

impl Problem {
    /// One that belongs to no entity.
    pub fn at(place: impl Into<Vec<Step>>, what: impl Into<Value>) -> Self {
        Self { place: place.into(), what: what.into(), subject: None }
    }

    /// One of an entity.
    pub fn of(subject: Subject, place: Vec<Step>, what: Value) -> Self {
        Self { place, what, subject: Some(subject) }
    }
}

/// Everything that is wrong with a file. Shown as Kong's command line does: a line a mistake, two spaces a level.
#[derive(Debug, Clone)]
pub struct Invalid {
    problems: Vec<Problem>,
}

impl std::error::Error for Invalid {}

impl fmt::Display for Invalid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = self.fields();
        match tree.get("error").and_then(Value::as_str) {
            Some(error) => out.write_str(error),
            None => out.write_str(lines(&Value::Object(tree), "", 0).trim_end()),
        }
    }
}

impl Invalid {
    /// A text that could not be read at all.
    pub(super) fn unparsed(error: &str) -> Self {
        Self { problems: vec![Problem::at([Step::key("error")], error)] }
    }

    /// A load that came to no end.
    pub fn failed(error: &str) -> Self {
        Self::unparsed(error)
    }

    /// Ok if there are none.
    pub fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// The mistakes where the input has its mistaken parts.
    pub fn fields(&self) -> Object {
        tree(self.problems.iter())
    }

    /// `declarative config is invalid: {…}`
    pub fn message(&self) -> String {
        format!("declarative config is invalid: {}", lua_table(&Value::Object(self.fields())))
    }

    /// The mistakes by entity, and those that belong to none.
    pub fn flattened(&self) -> (Vec<Value>, Object) {
        let mut entities: Vec<(&[Step], &Subject, Vec<Value>)> = Vec::new();
        for problem in &self.problems {
            let Some(subject) = &problem.subject else { continue };
            let errors = errors_of(&problem.what);
            match entities.iter_mut().find(|(place, ..)| *place == problem.place.as_slice()) {
                Some((_, _, known)) => known.extend(errors),
                None => entities.push((&problem.place, subject, errors)),
            }
        }
        let rest = tree(self.problems.iter().filter(|problem| problem.subject.is_none()));
        (entities.into_iter().map(|(_, subject, errors)| flat(subject, errors)).collect(), rest)
    }
}

fn tree<'a>(problems: impl Iterator<Item = &'a Problem>) -> Object {
    let mut tree = Value::Object(Object::new());
    for problem in problems {
        put(&mut tree, &problem.place, &problem.what);
    }
    match tree {
        Value::Object(tree) => tree,
        _ => Object::new(),
    }
}

fn put(tree: &mut Value, place: &[Step], what: &Value) {
    match place.split_first() {
        None => merge(tree, what),
        Some((Step::Key(key), rest)) => {
            // A list of positions that gets a name, too, becomes a map by position.
            if let Value::Array(elements) = tree {
                let by_position = |(at, element): (usize, &Value)| {
                    (!element.is_null()).then(|| ((at + 1).to_string(), element.clone()))
                };
                *tree = Value::Object(elements.iter().enumerate().filter_map(by_position).collect());
            }
            if !tree.is_object() {
                *tree = Value::Object(Object::new());
            }
            if let Value::Object(object) = tree {
                put(object.entry(&**key).or_insert(Value::Null), rest, what);
            }
        }
        Some((Step::Index(at), rest)) => {
            if let Value::Object(object) = tree
                && !object.is_empty()
            {
                return put(object.entry((at + 1).to_string()).or_insert(Value::Null), rest, what);
            }
            if !tree.is_array() {
                *tree = Value::Array(Vec::new());
            }
            if let Value::Array(elements) = tree {
                if elements.len() <= *at {
                    elements.resize(at + 1, Value::Null);
                }
                put(&mut elements[*at], rest, what);
            }
        }
    }
}

fn merge(known: &mut Value, what: &Value) {
    match (known, what) {
        (Value::Object(known), Value::Object(what)) => {
            for (key, value) in what {
                merge(known.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(known), Value::Array(what)) if known.iter().chain(what).all(Value::is_string) => {
            known.extend(what.iter().cloned());
        }
        (known @ Value::Null, what) => *known = what.clone(),
        _ => {}
    }
}

fn flat(subject: &Subject, errors: Vec<Value>) -> Value {
    let mut shown = Object::new();
    shown.insert("entity_type".into(), singular(&subject.collection).into());
    for (key, field) in [("entity_id", "id"), ("entity_name", "name"), ("entity_tags", "tags")] {
        match subject.entity.get(field) {
            Some(value @ Value::String(_)) if field != "tags" => _ = shown.insert(key.into(), value.clone()),
            Some(value @ Value::Array(_)) if field == "tags" => _ = shown.insert(key.into(), value.clone()),
            _ => {}
        }
    }
    shown.insert("entity".into(), Value::Object(subject.entity.clone()));
    shown.insert("errors".into(), errors.into());
    Value::Object(shown)
}

/// `service` for `services`.
fn singular(collection: &str) -> &str {
    collection.strip_suffix('s').unwrap_or(collection)
}

/// Each mistake with the dotted place of its field.
fn errors_of(what: &Value) -> Vec<Value> {
    let mut errors = Vec::new();
    match what {
        Value::Object(fields) => fields.iter().for_each(|(name, problem)| walk(name, problem, &mut errors)),
        Value::Array(messages) => messages.iter().for_each(|message| errors.push(of_entity(message))),
        message => errors.push(of_entity(message)),
    }
    errors
}

fn walk(path: &str, problem: &Value, errors: &mut Vec<Value>) {
    match problem {
        Value::Null => {}
        Value::Array(messages) if path.rsplit('.').next() == Some("@entity") => {
            errors.extend(messages.iter().map(of_entity));
        }
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(at, element)| walk(&format!("{path}.{}", at + 1), element, errors));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, inner)| walk(&format!("{path}.{name}"), inner, errors));
        }
        message => errors.push(json!({ "type": "field", "field": path, "message": message })),
    }
}

fn of_entity(message: &Value) -> Value {
    json!({ "type": "entity", "message": message })
}

fn lines(value: &Value, of: &str, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let line = |label: String, of: &str, value: &Value| match value {
        Value::Object(_) | Value::Array(_) => format!("{indent}{label}:\n{}", lines(value, of, depth + 1)),
        Value::String(text) => format!("{indent}{label}: {text}\n"),
        other => format!("{indent}{label}: {other}\n"),
    };
    match value {
        Value::Object(fields) => fields.iter().map(|(name, inner)| line(format!("in '{name}'"), name, inner)).collect(),
        Value::Array(elements) => {
            let filled = elements.iter().enumerate().filter(|(_, element)| !element.is_null());
            filled
                .map(|(at, inner)| {
                    let position = (at + 1).to_string();
                    line(format!("- in entry {position} of '{of}'"), &position, inner)
                })
                .collect()
        }
        _ => String::new(),
    }
}
