//! Fields whose text may be a reference to a vault, and the references that an entity holds.

use serde_json::Value;

use super::{Field, Kind, Schema};
use crate::model::{Object, VaultReference};

/// Called with the dotted place of a reference (elements of lists count from 1) and its text.
type Visit<'a> = &'a mut dyn FnMut(&str, &mut String);

impl Schema {
    /// Shows every reference in a referenceable field of an entity to `visit`, which may put another text in its place.
    pub fn each_reference(&self, object: &mut Object, visit: Visit<'_>) {
        self.visit_references("", object, visit);
    }

    fn visit_references(&self, place: &str, object: &mut Object, visit: Visit<'_>) {
        let schema = self.effective(object).unwrap_or(self);
        for field in &schema.fields {
            if let Some(value) = object.get_mut(&*field.name) {
                field.visit_references(&inside(place, &field.name), value, visit);
            }
        }
    }
}

impl Field {
    /// Whether a value of this field is a reference in place of the value: no rule of the field holds for it.
    pub(super) fn is_reference(&self, value: &Value) -> bool {
        self.is_referenceable() && value.as_str().is_some_and(VaultReference::is_meant)
    }

    fn is_referenceable(&self) -> bool {
        self.shown.get("referenceable") == Some(&Value::Bool(true))
    }

    fn visit_references(&self, place: &str, value: &mut Value, visit: Visit<'_>) {
        let found = self.is_reference(value);
        match (&self.kind, value) {
            (Kind::String, Value::String(text)) if found => visit(place, text),
            (Kind::Array(element) | Kind::Set(element), Value::Array(elements)) => {
                for (number, each) in elements.iter_mut().enumerate() {
                    element.visit_references(&inside(place, &(number + 1).to_string()), each, visit);
                }
            }
            (Kind::Map(_, values), Value::Object(map)) => {
                for (key, each) in map {
                    values.visit_references(&inside(place, key), each, visit);
                }
            }
            (Kind::Record(schema), Value::Object(record)) => schema.visit_references(place, record, visit),
            _ => {}
        }
    }
}

fn inside(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        let schema = json!({
            "type": "object",
            "properties": {
                "url": { "type": "string", "x-kong-kind": "url", "x-kong-referenceable": true },
                "word": { "type": "string", "maxLength": 3, "enum": ["a", "b"], "x-kong-referenceable": true },
                "plain": { "type": "string", "maxLength": 100 },
                "headers": {
                    "type": "object",
                    "additionalProperties": { "type": "string", "x-kong-referenceable": true }
                },
                "redis": { "type": "object", "properties": {
                    "passwords": { "type": "array", "items": { "type": "string", "x-kong-referenceable": true } }
                } }
            }
        });
        Schema::from_json_schema(&schema).unwrap()
    }

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn no_rule_holds_for_a_reference() {
        let entity = object(json!({ "url": "{vault://env/a}", "word": "{vault://env/a}" }));
        schema().validate(&entity).unwrap();
    }

    #[test]
    fn the_rules_hold_for_a_text_around_a_reference() {
        for text in ["x {vault://env/a}", "{vault://env/a} x", "{vault://env/a"] {
            let violations = schema().validate(&object(json!({ "word": text }))).unwrap_err();
            assert!(violations.fields.contains_key("word"), "{text}");
        }
    }

    #[test]
    fn references_are_found_in_maps_records_and_lists_and_nowhere_else() {
        let mut entity = object(json!({
            "plain": "{vault://env/plain}",
            "headers": { "x": "{vault://env/x}", "y": "literal" },
            "redis": { "passwords": ["a", "{vault://env/p}"] }
        }));
        let mut places = Vec::new();
        schema().each_reference(&mut entity, &mut |place, text| {
            places.push(place.to_owned());
            *text = "value".to_owned();
        });
        assert_eq!(places, ["headers.x", "redis.passwords.2"]);
        assert_eq!(entity["headers"], json!({ "x": "value", "y": "literal" }));
        assert_eq!(entity["plain"], "{vault://env/plain}");
    }
}
