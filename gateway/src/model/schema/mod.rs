//! The declarative description of an entity. One description drives validation with Kong's messages, defaults, null
//! semantics, the coercion of form values, merging for PATCH and the JSON of `/schemas/*`.

mod checks;
mod coerce;
mod complete;
mod describe;
mod field;
mod json_schema;
mod lua_pattern;
mod references;
mod rules;
mod shape;
mod text;
mod validate;
mod violations;

use std::{fmt, sync::Arc};

use serde_json::Value;

pub use checks::{Check, Conditional, Custom};
pub(crate) use coerce::simplify_numbers;
pub use field::{Auto, Field, Kind};
pub use json_schema::SchemaError;
pub use lua_pattern::Pattern;
pub use rules::Rule;
pub(crate) use rules::is_uuid;
pub use shape::Form;
pub(crate) use text::Host;
pub use text::TextKind;
pub use violations::{Violations, lua_table};

use super::Object;

/// Fields of an entity or of a record in it, and the checks that look at several of them.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// In the order of declaration.
    pub fields: Vec<Field>,
    /// Run after all fields were checked.
    pub checks: Vec<Check>,
    /// Old names for fields, accepted and shown beside the new ones.
    pub shorthands: Vec<Shorthand>,
    /// Fields that clients may send and that `expand` turns into others; one of them may stand for a required field.
    pub sent: Vec<Field>,
    /// Fields and checks that depend on the value of one field.
    pub variants: Option<Variants>,
    /// Changes to what the client sent, before anything is filled in or checked.
    pub expand: Hook,
    /// Changes to an entity that was found valid.
    pub normalise: Hook,
}

/// A function over an entity; by default none.
#[derive(Clone, Copy, Default)]
pub struct Hook(pub Option<fn(&mut Object)>);

impl Hook {
    /// Runs it, if there is one.
    pub fn run(self, object: &mut Object) {
        if let Some(function) = self.0 {
            function(object);
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Hook(set)" } else { "Hook(none)" })
    }
}

/// A deprecated field that stands for another one.
#[derive(Debug, Clone)]
pub struct Shorthand {
    /// Old name and type.
    pub field: Field,
    /// Where the value belongs, from the same record on.
    pub path: Vec<Arc<str>>,
}

/// Schemas that replace fields and add checks, chosen by the first value of a field.
#[derive(Debug, Clone)]
pub struct Variants {
    /// The field whose value, or first element, chooses.
    pub key: Arc<str>,
    /// The whole schema for each value.
    pub choices: Vec<(Arc<str>, Arc<Schema>)>,
}

impl Schema {
    /// A schema of fields alone.
    pub fn of(fields: Vec<Field>) -> Self {
        Self { fields, ..Self::default() }
    }

    /// A field by its name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| &*field.name == name)
    }

    /// This schema with the fields of `overrides` in place of those of the same name, and its checks added.
    #[must_use]
    pub fn with(&self, overrides: &Schema) -> Self {
        let mut schema = self.clone();
        for field in &overrides.fields {
            match schema.fields.iter_mut().find(|known| known.name == field.name) {
                Some(known) => *known = field.clone(),
                None => schema.fields.push(field.clone()),
            }
        }
        schema.checks.extend(overrides.checks.iter().cloned());
        schema
    }

    /// The schema that holds for an entity: itself, or a variant of it. Fails when no variant fits.
    fn effective(&self, entity: &Object) -> Result<&Schema, Violations> {
        let Some(variants) = &self.variants else { return Ok(self) };
        let chooser = match entity.get(&*variants.key) {
            Some(Value::Array(values)) => match values.first() {
                Some(first) => first,
                None => return Err(Violations::one(&variants.key, "unknown type: nil")),
            },
            Some(value) => value,
            None => &Value::Null,
        };
        let Some(text) = chooser.as_str() else { return Ok(self) };
        // An unknown value is reported by the rules of the field.
        Ok(variants.choices.iter().find(|(value, _)| &**value == text).map_or(self, |(_, schema)| schema))
    }
}

#[cfg(test)]
mod tests;
