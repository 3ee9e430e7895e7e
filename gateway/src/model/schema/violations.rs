//! What is wrong with an entity, in Kong's words and shape.

use serde_json::Value;

use crate::model::Object;

/// The key under which errors of whole entities are listed.
pub(super) const ENTITY: &str = "@entity";

/// Mistakes by field: a text, an array with a hole for each good element, or an object for a record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Violations {
    /// As it stands in the answer's `fields`.
    pub fields: Object,
}

impl Violations {
    /// One mistake.
    pub fn one(field: &str, message: impl Into<Value>) -> Self {
        let mut violations = Self::default();
        violations.set(field, message.into());
        violations
    }

    /// No mistake so far.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Ok, or these mistakes.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Adds a mistake of the whole entity.
    pub fn entity(&mut self, message: &str) {
        match self.fields.entry(ENTITY).or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(messages) => messages.push(message.into()),
            other => *other = Value::Array(vec![message.into()]),
        }
    }

    /// Puts a mistake at a dotted place; what is there already stays unless it is a record's.
    pub fn set(&mut self, path: &str, problem: Value) {
        let mut object = &mut self.fields;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                object.entry(part).or_insert(problem);
                return;
            }
            match object.entry(part).or_insert_with(|| Value::Object(Object::new())) {
                Value::Object(next) => object = next,
                _ => return,
            }
        }
    }

    /// Whether a dotted place, or what holds it, has a mistake.
    pub fn has(&self, path: &str) -> bool {
        let mut object = &self.fields;
        for part in path.split('.') {
            match object.get(part) {
                None => return false,
                Some(Value::Object(next)) => object = next,
                Some(_) => return true,
            }
        }
        true
    }

    /// The list in the answer's message: entity errors first, then fields by name, one level as `field.sub`.
    pub fn list(&self) -> Vec<String> {
        let mut listed: Vec<String> = Vec::new();
        if let Some(Value::Array(messages)) = self.fields.get(ENTITY) {
            listed.extend(messages.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        let mut fields: Vec<_> = self.fields.iter().filter(|(name, _)| *name != ENTITY).collect();
        fields.sort_by_key(|(name, _)| name.as_str());
        for (name, problem) in fields {
            listed.extend(place(name, problem));
        }
        listed
    }

    /// The answer's message: `schema violation (…)` or `2 schema violations (…; …)`.
    pub fn message(&self, one: &str, many: &str) -> String {
        let listed = self.list();
        match listed.len() {
            0 | 1 => format!("{one} ({})", listed.concat()),
            several => format!("{several} {many} ({})", listed.join("; ")),
        }
    }
}

fn place(name: &str, problem: &Value) -> Vec<String> {
    match problem {
        Value::Object(record) => sorted(record).map(|(key, inner)| format!("{name}.{key}: {}", said(inner))).collect(),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .filter(|(_, inner)| !inner.is_null())
            .map(|(at, inner)| format!("{name}.{}: {}", at + 1, said(inner)))
            .collect(),
        other => vec![format!("{name}: {}", said(other))],
    }
}

fn sorted(object: &Object) -> impl Iterator<Item = (&String, &Value)> {
    let mut entries: Vec<_> = object.iter().collect();
    entries.sort_by_key(|(key, _)| key.as_str());
    entries.into_iter()
}

fn said(problem: &Value) -> String {
    match problem {
        Value::String(text) => text.clone(),
        other => pretty(other, 0),
    }
}

/// A table over several lines, two spaces a level, keys sorted.
fn pretty(value: &Value, depth: usize) -> String {
    let (inside, outside) = ("  ".repeat(depth + 1), "  ".repeat(depth));
    let rows: Vec<String> = match value {
        Value::Object(object) => sorted(object)
            .map(|(key, inner)| format!("{inside}{} = {}", table_key(key), pretty(inner, depth + 1)))
            .collect(),
        Value::Array(elements) => {
            elements.iter().map(|inner| format!("{inside}{}", pretty(inner, depth + 1))).collect()
        }
        scalar => return lua_scalar(scalar),
    };
    if rows.is_empty() { "{}".to_owned() } else { format!("{{\n{}\n{outside}}}", rows.join(",\n")) }
}

/// A value as messages have it: `{name="x",service={id="…"}}`, keys sorted.
pub fn lua_table(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let inner: Vec<_> =
                sorted(object).map(|(key, inner)| format!("{}={}", table_key(key), lua_table(inner))).collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(elements) => {
            // After a hole, an element is written with its position.
            let first_hole = elements.iter().position(Value::is_null).unwrap_or(elements.len());
            let filled = elements.iter().enumerate().filter(|(_, element)| !element.is_null());
            let inner = filled.map(|(at, element)| match at < first_hole {
                true => lua_table(element),
                false => format!("[{}]={}", at + 1, lua_table(element)),
            });
            format!("{{{}}}", inner.collect::<Vec<_>>().join(","))
        }
        scalar => lua_scalar(scalar),
    }
}

fn lua_scalar(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        other => other.to_string(),
    }
}

fn table_key(key: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let plain = key.chars().all(word) && !key.starts_with(|c: char| c.is_ascii_digit());
    if plain { key.to_owned() } else { format!("[\"{key}\"]") }
}
