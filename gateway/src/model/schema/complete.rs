//! Filling in what the client left out, merging what it changed, and showing old names beside new ones.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Number, Value, json};

use super::{Auto, Field, Kind, Schema, Shorthand, Violations};
use crate::model::Object;

impl Schema {
    /// A new entity from what the client sent: old names translated, the automatic fields and defaults filled in,
    /// checked and brought to the stored form. `created_at` is kept when the client sends one.
    pub fn create(&self, mut input: Object, now: SystemTime) -> Result<Object, Violations> {
        self.expand.run(&mut input);
        self.translate(&mut input)?;
        self.finish(input, now)
    }

    /// As [`Self::create`], for values that were an entity before: nothing in them is short for something else.
    pub fn restore(&self, mut input: Object, now: SystemTime) -> Result<Object, Violations> {
        self.translate(&mut input)?;
        self.finish(input, now)
    }

    /// A stored entity with the client's changes. Records merge; arrays, sets and maps are replaced; `null` resets.
    pub fn patch(&self, stored: &Object, mut changes: Object, now: SystemTime) -> Result<Object, Violations> {
        self.expand.run(&mut changes);
        self.translate(&mut changes)?;
        let mut entity = stored.clone();
        let chooser = self
            .variants
            .as_ref()
            .map_or(stored, |variants| if changes.contains_key(&*variants.key) { &changes } else { stored });
        self.effective(&with_defaults(self, chooser))?.merge(&mut entity, changes);
        self.finish(entity, now)
    }

    fn finish(&self, mut entity: Object, now: SystemTime) -> Result<Object, Violations> {
        let schema = self.effective(&with_defaults(self, &entity))?;
        schema.fill(&mut entity, now);
        schema.complete(&mut entity);
        self.validate(&entity)?;
        self.normalise.run(&mut entity);
        Ok(entity)
    }

    /// Fills in defaults, records included, and orders the fields as they are declared.
    pub fn complete(&self, object: &mut Object) {
        let mut given = std::mem::take(object);
        for field in &self.fields {
            let value = match given.remove(&*field.name) {
                None => field.missing(),
                Some(Value::Null) if field.required && matches!(field.kind, Kind::Record(_)) => field.missing(),
                Some(value) => field.completed(value),
            };
            object.insert(field.name.to_string(), value);
        }
        object.append(&mut given);
    }

    fn merge(&self, stored: &mut Object, changes: Object) {
        for (name, change) in changes {
            let record = self.field(&name).and_then(|field| match &field.kind {
                Kind::Record(schema) => Some(schema),
                _ => None,
            });
            match (record, stored.get_mut(&name), change) {
                (Some(schema), Some(Value::Object(inside)), Value::Object(change)) => schema.merge(inside, change),
                (_, _, change) => {
                    stored.insert(name, change);
                }
            }
        }
    }

    fn fill(&self, entity: &mut Object, now: SystemTime) {
        for field in &self.fields {
            let absent = entity.get(&*field.name).is_none_or(Value::is_null);
            let value = match field.auto {
                Some(Auto::Uuid) if absent => uuid::Uuid::new_v4().to_string().into(),
                Some(Auto::Random) if absent => random_text().into(),
                Some(Auto::Created) if absent => field.moment(now),
                Some(Auto::Updated) => field.moment(now),
                _ => continue,
            };
            entity.insert(field.name.to_string(), value);
        }
    }

    /// Moves the values of old names to where they belong, in this record and in those below.
    fn translate(&self, input: &mut Object) -> Result<(), Violations> {
        let mut violations = Violations::default();
        self.translate_into("", input, &mut violations);
        violations.into_result()
    }

    fn translate_into(&self, place: &str, input: &mut Object, violations: &mut Violations) {
        for shorthand in &self.shorthands {
            if let Err(problem) = shorthand.translate(input) {
                violations.set(&format!("{place}{}", shorthand.field.name), problem);
            }
        }
        for field in &self.fields {
            if let (Kind::Record(schema), Some(Value::Object(inside))) = (&field.kind, input.get_mut(&*field.name)) {
                schema.translate_into(&format!("{place}{}.", field.name), inside, violations);
            }
        }
    }

    /// Adds the old names to an entity that is shown, with the values of the new ones.
    pub fn present(&self, object: &mut Object) {
        for shorthand in &self.shorthands {
            let value = lookup(object, &shorthand.path).cloned();
            object.insert(shorthand.field.name.to_string(), value.unwrap_or(Value::Null));
        }
        for field in &self.fields {
            if let (Kind::Record(schema), Some(Value::Object(inside))) = (&field.kind, object.get_mut(&*field.name)) {
                schema.present(inside);
            }
        }
    }
}

impl Field {
    fn completed(&self, value: Value) -> Value {
        match (&self.kind, value) {
            (Kind::Record(schema), Value::Object(mut record)) => {
                schema.complete(&mut record);
                Value::Object(record)
            }
            // One empty table stands for an empty array and an empty object alike.
            (Kind::Record(_) | Kind::Map(..) | Kind::Abstract, Value::Array(empty)) if empty.is_empty() => {
                self.completed(Value::Object(Object::new()))
            }
            (Kind::Array(_) | Kind::Set(_), Value::Object(empty)) if empty.is_empty() => Value::Array(Vec::new()),
            (Kind::Array(element), Value::Array(elements)) => {
                elements.into_iter().map(|each| element.completed(each)).collect()
            }
            (Kind::Set(element), Value::Array(elements)) => {
                let mut kept: Vec<Value> = Vec::with_capacity(elements.len());
                for each in elements.into_iter().map(|each| element.completed(each)) {
                    if !kept.contains(&each) {
                        kept.push(each);
                    }
                }
                Value::Array(kept)
            }
            (Kind::Map(_, values), Value::Object(map)) => {
                Value::Object(map.into_iter().map(|(key, each)| (key, values.completed(each))).collect())
            }
            (Kind::Foreign(_), Value::Object(reference)) if reference.contains_key("id") => {
                json!({ "id": reference.get("id").and_then(Value::as_str).map(str::to_lowercase) })
            }
            (_, value) => value,
        }
    }

    /// Whole seconds for integers; seconds with milliseconds for numbers.
    fn moment(&self, now: SystemTime) -> Value {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        if matches!(self.kind, Kind::Integer) {
            return since.as_secs().into();
        }
        let text = format!("{}.{:03}", since.as_secs(), since.subsec_millis());
        text.parse::<f64>().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
    }
}

impl Shorthand {
    fn translate(&self, input: &mut Object) -> Result<(), Value> {
        let Some(old) = input.remove(&*self.field.name) else { return Ok(()) };
        if !old.is_null()
            && let Some(problem) = self.field.problem(&old)
        {
            return Err(problem);
        }
        let Some((last, parents)) = self.path.split_last() else { return Ok(()) };
        let mut record = input;
        for part in parents {
            let next = record.entry(part.to_string()).or_insert_with(|| json!({}));
            if next.is_null() {
                *next = json!({});
            }
            let Value::Object(inside) = next else { return Ok(()) };
            record = inside;
        }
        match record.get(&**last) {
            Some(new) if !new.is_null() && !old.is_null() && *new != old => Err(format!(
                "both deprecated and new field are used but their values mismatch: {} = {} vs {} = {}",
                self.field.name,
                said(&old),
                self.path.join("."),
                said(new)
            )
            .into()),
            Some(_) => Ok(()),
            None => {
                record.insert(last.to_string(), old);
                Ok(())
            }
        }
    }
}

fn said(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn lookup<'a>(object: &'a Object, path: &[std::sync::Arc<str>]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = object.get(&**first)?;
    if rest.is_empty() { Some(value) } else { lookup(value.as_object()?, rest) }
}

/// Just enough of the entity to choose a variant.
fn with_defaults(schema: &Schema, entity: &Object) -> Object {
    let mut chooser = Object::new();
    if let Some(variants) = &schema.variants {
        let given = entity.get(&*variants.key).cloned();
        let value = given.or_else(|| schema.field(&variants.key).map(Field::missing));
        chooser.insert(variants.key.to_string(), value.unwrap_or(Value::Null));
    }
    chooser
}

/// 32 characters of `[A-Za-z0-9]`, unpredictable.
fn random_text() -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(32);
    while text.len() < 32 {
        let bytes = uuid::Uuid::new_v4().into_bytes();
        // Bytes 6 and 8 of a UUID are partly fixed; values of 248 and more would favour the first letters.
        let usable = bytes.iter().enumerate().filter(|(at, byte)| *at != 6 && *at != 8 && **byte < 248);
        text.extend(usable.map(|(_, byte)| char::from(LETTERS[usize::from(byte % 62)])));
    }
    text.truncate(32);
    text
}
