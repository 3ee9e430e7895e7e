//! Declarative files: a whole configuration as one text. From text to complete entities and back, driven by the same
//! descriptions as the Admin API. Pure: plugins and what they say to a configuration are asked for by the caller.

mod deck;
mod entity;
mod export;
mod gather;
mod ids;
mod legacy;
mod problems;
mod references;
pub mod yaml;

use std::{path::Path, sync::Arc, time::SystemTime};

use serde_json::{Value, error::Category};

use super::{
    Collection, Object, PluginInfo, Registry, json,
    schema::{Kind, Violations, simplify_numbers},
};

pub use deck::substitute;
pub use export::{by_id, document};
pub use problems::{Invalid, Problem, Step, Subject};

/// Collections that Kong has for itself: files may hold them, and they mean nothing here.
const INTERNAL: [&str; 3] = ["workspaces", "parameters", "clustering_data_planes"];

/// What a file is read with.
pub struct World<'a> {
    /// Every collection there is.
    pub registry: &'a Registry,
    /// Plugins that configurations may name.
    pub plugin: &'a (dyn Fn(&str) -> Option<Arc<PluginInfo>> + Sync),
    /// The time of the load.
    pub now: SystemTime,
    /// Whose files are read.
    pub dialect: Dialect,
}

/// Whose files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// What Kong itself takes.
    Gateway,
    /// What decK writes too: settings of its own, shared configurations of plugins, references as objects.
    Deck,
}

/// A file that was found good.
#[derive(Debug)]
pub struct Loaded {
    /// Its entities, those of one collection in the order of the file.
    pub entities: Vec<Entity>,
    /// Whether values are still to be transformed, such as passwords to be hashed.
    pub transform: bool,
}

/// An entity of a file.
#[derive(Debug)]
pub struct Entity {
    /// What it is.
    pub collection: Arc<Collection>,
    /// As the store has it.
    pub object: Object,
    /// Whether the file gives its id.
    pub has_id: bool,
    /// As the file has it, for errors.
    pub subject: Subject,
    /// Where the file has it.
    pub place: Vec<Step>,
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// JSON if it is that, else YAML.
    Either,
}

impl Syntax {
    /// By the ending of a file's name.
    pub fn of(path: &Path) -> Result<Self, Invalid> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Ok(Self::Json),
            Some("yaml" | "yml") => Ok(Self::Yaml),
            other => {
                let ending = other.unwrap_or_default();
                Err(Invalid::unparsed(&format!("unknown file type: {ending}. (Accepted types: json, yaml)")))
            }
        }
    }
}

/// The content of a text.
pub fn parse(text: &str, syntax: Syntax) -> Result<Value, Invalid> {
    let json = || json::parse(text.as_bytes());
    let mut value = match syntax {
        Syntax::Json => json().map_err(|error| Invalid::unparsed(&parsing(&error)))?,
        Syntax::Yaml => yaml::parse(text).map_err(|error| Invalid::unparsed(&parsing(&error)))?,
        Syntax::Either => match json() {
            Ok(value) => value,
            // It is JSON, and has two readings.
            Err(error) if error.classify() == Category::Data => return Err(Invalid::unparsed(&parsing(&error))),
            Err(_) => yaml::parse(text).map_err(|error| Invalid::unparsed(&parsing(&error)))?,
        },
    };
    if holds_nul(&value) {
        return Err(Invalid::unparsed(&parsing(&"a text holds a NUL character, which no database keeps")));
    }
    simplify_numbers(&mut value);
    Ok(value)
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(elements) => elements.iter().any(holds_nul),
        Value::Object(object) => object.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

fn parsing(problem: &dyn std::fmt::Display) -> String {
    format!("failed parsing declarative configuration: {problem}")
}

/// The entities that a content describes: children beside their parents, ids made up, references followed, defaults filled
/// in, everything checked but what only plugins can.
pub fn resolve(content: Value, world: &World<'_>) -> Result<Loaded, Invalid> {
    let Value::Object(mut root) = content else { return Err(Invalid::unparsed(&parsing(&"expected an object"))) };
    let mut problems = Vec::new();
    if world.dialect == Dialect::Deck {
        deck::strip(&mut root, world.registry).map_err(|problem| Invalid::unparsed(&problem))?;
    }
    let head = Head::take(&mut root, &mut problems);
    let mut nodes = gather::nodes(root, world.registry, &mut problems);
    ids::assign(&mut nodes);
    let index = references::Index::of(&nodes);
    let entities = entity::complete(nodes, &index, world, &head, &mut problems);
    Invalid::unless_empty(problems)?;
    Invalid::unless_empty(references::check(&entities, &index))?;
    Invalid::unless_empty(references::unique(&entities))?;
    let entities = entities.into_iter().map(|(_, entity)| entity).collect();
    Ok(Loaded { entities, transform: head.transform })
}

/// What a file says of itself.
#[derive(Debug)]
struct Head {
    /// Paths of routes are written as before 3.0.
    legacy: bool,
    transform: bool,
}

impl Head {
    fn take(root: &mut Object, problems: &mut Vec<Problem>) -> Self {
        let mut wrong = |key: &str, message: &str| problems.push(Problem::at([Step::key(key)], message));
        let version = root.shift_remove("_format_version").unwrap_or(Value::Null);
        match &version {
            Value::Null => wrong("_format_version", "required field missing"),
            Value::String(text) if ["1.1", "2.1", "3.0"].contains(&text.as_str()) => {}
            Value::String(_) => wrong("_format_version", "expected one of: 1.1, 2.1, 3.0"),
            _ => wrong("_format_version", "expected a string"),
        }
        let transform = match root.shift_remove("_transform") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(transform)) => transform,
            Some(_) => {
                wrong("_transform", "expected a boolean");
                true
            }
        };
        gather::take_remarks(root, |key, message| wrong(key, message));
        Self { legacy: version == "1.1" || version == "2.1", transform }
    }
}

/// The collections that a file may hold, with the field of each by which it refers to a collection, the first if there
/// are several.
fn children<'a>(registry: &'a Registry, parent: &'a str) -> impl Iterator<Item = (&'a Arc<Collection>, &'a Arc<str>)> {
    collections(registry).filter_map(move |child| {
        let field =
            child.schema.fields.iter().find(|field| matches!(&field.kind, Kind::Foreign(to) if **to == *parent))?;
        Some((child, &field.name))
    })
}

/// Modules are code, and no part of files.
fn collections(registry: &Registry) -> impl Iterator<Item = &Arc<Collection>> {
    registry.iter().filter(|collection| &*collection.name != "modules")
}

/// A mistake of an entity in the shape of an answer's `fields`.
fn fields(violations: Violations) -> Value {
    Value::Object(violations.fields)
}

#[cfg(test)]
mod tests;
