//! The description as `/schemas/*` shows it: fields as an array of objects with a single key, in declaration order.

use serde_json::{Value, json};

use super::{Auto, Check, Field, Kind, Pattern, Rule, Schema, Shorthand};
use crate::model::Object;

impl Schema {
    /// The JSON of `/schemas/{entity}`.
    pub fn describe(&self) -> Value {
        let mut shown = self.describe_fields();
        shown.insert("entity_checks".into(), self.checks.iter().map(Check::describe).collect());
        Value::Object(shown)
    }

    fn describe_fields(&self) -> Object {
        let mut shown = Object::new();
        shown.insert("fields".into(), self.fields.iter().map(|field| named(field, field.describe())).collect());
        if !self.shorthands.is_empty() {
            shown.insert("shorthand_fields".into(), self.shorthands.iter().map(Shorthand::describe).collect());
        }
        shown
    }
}

fn named(field: &Field, description: Object) -> Value {
    let mut single = Object::new();
    single.insert(field.name.to_string(), Value::Object(description));
    Value::Object(single)
}

impl Shorthand {
    fn describe(&self) -> Value {
        let mut shown = self.field.describe();
        let deprecation = shown.entry("deprecation").or_insert_with(|| json!({}));
        if let Value::Object(deprecation) = deprecation {
            deprecation.insert("replaced_with".into(), json!([{ "path": self.path }]));
        }
        named(&self.field, shown)
    }
}

impl Field {
    pub(super) fn describe(&self) -> Object {
        let mut shown = self.describe_kind();
        if self.required {
            shown.insert("required".into(), true.into());
        }
        if let Some(default) = &self.default {
            shown.insert("default".into(), default.clone());
        }
        if let Some(auto) = self.auto {
            shown.insert("auto".into(), true.into());
            if auto == Auto::Uuid {
                shown.insert("uuid".into(), true.into());
            }
        }
        for rule in &self.rules {
            rule.describe(&mut shown);
        }
        if let Some(error) = &self.error {
            shown.insert("err".into(), (**error).into());
        }
        shown.extend(self.shown.clone());
        shown
    }

    fn describe_kind(&self) -> Object {
        let mut shown = Object::new();
        let mut show = |key: &str, value: Value| shown.insert(key.into(), value);
        let name = match &self.kind {
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Array(element) => {
                show("elements", Value::Object(element.describe()));
                "array"
            }
            Kind::Set(element) => {
                show("elements", Value::Object(element.describe()));
                "set"
            }
            Kind::Map(keys, values) => {
                show("keys", Value::Object(keys.describe()));
                show("values", Value::Object(values.describe()));
                "map"
            }
            Kind::Record(schema) => {
                schema.describe_fields().into_iter().for_each(|(key, value)| _ = show(&key, value));
                if !schema.checks.is_empty() {
                    show("entity_checks", schema.checks.iter().map(Check::describe).collect());
                }
                "record"
            }
            Kind::Foreign(collection) => {
                show("reference", (**collection).into());
                "foreign"
            }
            Kind::Abstract => {
                show("abstract", true.into());
                "record"
            }
            Kind::Any => "json",
        };
        show("type", name.into());
        shown
    }
}

impl Rule {
    pub(super) fn describe(&self, shown: &mut Object) {
        let listed = |patterns: &[Pattern]| patterns.iter().map(describe_pattern).collect::<Value>();
        let (key, value) = match self {
            Rule::Eq(value) => ("eq", value.clone()),
            Rule::Ne(value) => ("ne", value.clone()),
            Rule::NotOneOf(values) => ("not_one_of", values.clone().into()),
            Rule::OneOf(values) => ("one_of", values.clone().into()),
            Rule::Gt(limit) => ("gt", number(*limit)),
            Rule::Uuid => ("uuid", true.into()),
            Rule::IsRegex => ("is_regex", true.into()),
            Rule::Between(low, high) => ("between", json!([number(*low), number(*high)])),
            Rule::LenEq(length) => ("len_eq", json!(length)),
            Rule::LenMin(length) => ("len_min", json!(length)),
            Rule::LenMax(length) => ("len_max", json!(length)),
            Rule::StartsWith(prefix) => ("starts_with", (**prefix).into()),
            Rule::MatchNone(patterns) => ("match_none", listed(patterns)),
            Rule::Match(pattern) => ("match", (*pattern.shown).into()),
            Rule::MatchAll(patterns) => ("match_all", listed(patterns)),
            Rule::MatchAny(patterns, error) => {
                let patterns: Vec<_> = patterns.iter().map(|pattern| &*pattern.shown).collect();
                let with_error = json!({ "patterns": patterns, "err": error });
                ("match_any", if error.is_some() { with_error } else { json!({ "patterns": patterns }) })
            }
            Rule::Contains(element) => ("contains", element.clone()),
            Rule::Elements(rules) => {
                let mut inside = Object::new();
                rules.iter().for_each(|rule| rule.describe(&mut inside));
                inside.insert("type".into(), "string".into());
                ("elements", Value::Object(inside))
            }
            Rule::ExclusiveSubsets(sets) => ("mutually_exclusive_subsets", json!(sets)),
            Rule::Required => ("required", true.into()),
            Rule::Text(_) | Rule::KeyPair => return,
        };
        shown.insert(key.into(), value);
    }
}

fn describe_pattern(pattern: &Pattern) -> Value {
    match &pattern.error {
        Some(error) => json!({ "pattern": pattern.shown, "err": error }),
        None => json!({ "pattern": pattern.shown }),
    }
}

/// A number without `.0` where it is whole.
pub(super) fn number(value: f64) -> Value {
    let mut number = json!(value);
    super::coerce::simplify_numbers(&mut number);
    number
}
