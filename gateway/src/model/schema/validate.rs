//! Checking a completed entity: every field, then the checks over several.

use serde_json::Value;

use super::{Field, Kind, Rule, Schema, Violations};
use crate::model::Object;

/// Whole numbers up to 2^53: clients, and Kong, hold numbers as doubles, which have no others exactly.
const EXACT: u64 = 1 << 53;
const BEYOND: &str = "value should be between -9007199254740992 and 9007199254740992";

impl Schema {
    /// Checks a completed entity. Errors: every mistake there is.
    pub fn validate(&self, entity: &Object) -> Result<(), Violations> {
        let schema = self.effective(entity)?;
        schema.check_record(entity).into_result()
    }

    fn check_record(&self, record: &Object) -> Violations {
        let mut violations = Violations::default();
        for field in &self.fields {
            if let Some(problem) = field.problem(record.get(&*field.name).unwrap_or(&Value::Null)) {
                violations.fields.insert(field.name.to_string(), problem);
            }
        }
        for name in record.keys().filter(|name| self.field(name).is_none()) {
            violations.fields.insert(name.clone(), "unknown field".into());
        }
        for check in &self.checks {
            check.run(record, &mut violations);
        }
        violations
    }
}

impl Field {
    /// What is wrong with a value of this field, in the shape of the answer's `fields`.
    pub(super) fn problem(&self, value: &Value) -> Option<Value> {
        if value.is_null() {
            if self.required && self.auto.is_none() {
                return Some("required field missing".into());
            }
            return self.rules.iter().find_map(|rule| rule.broken(value)).map(|text| self.said(text));
        }
        if let Some(rule) = self.rules.iter().find(|rule| matches!(rule, Rule::Eq(Value::Null))) {
            return rule.broken(value).map(|text| self.said(text));
        }
        self.type_problem(value).or_else(|| self.rule_problem(value))
    }

    fn said(&self, text: String) -> Value {
        self.error.as_deref().map_or(text, str::to_owned).into()
    }

    fn rule_problem(&self, value: &Value) -> Option<Value> {
        if self.is_reference(value) {
            return None;
        }
        let unbounded =
            !self.rules.iter().any(|rule| matches!(rule, Rule::LenMin(_) | Rule::LenEq(_) | Rule::LenMax(_)));
        if unbounded && matches!(self.kind, Kind::String) && value == "" {
            return Some("length must be at least 1".into());
        }
        self.rules.iter().find_map(|rule| rule.broken(value)).map(|text| self.said(text))
    }

    fn type_problem(&self, value: &Value) -> Option<Value> {
        let expected = |good: bool, message: &str| (!good).then(|| Value::from(message));
        match &self.kind {
            Kind::String => expected(value.is_string(), "expected a string"),
            Kind::Integer => integer_problem(value),
            Kind::Number => expected(value.is_number(), "expected a number"),
            Kind::Boolean => expected(value.is_boolean(), "expected a boolean"),
            Kind::Array(element) => elements_problem(element, value, "expected an array"),
            Kind::Set(element) => elements_problem(element, value, "expected a set"),
            Kind::Map(keys, values) => map_problem(keys, values, value),
            Kind::Record(schema) => record_problem(schema, value),
            Kind::Foreign(_) => foreign_problem(value),
            Kind::Abstract => expected(value.is_object(), "expected a record"),
            Kind::Any => None,
        }
    }
}

fn integer_problem(value: &Value) -> Option<Value> {
    match value.as_i64() {
        Some(number) => (number.unsigned_abs() > EXACT).then(|| BEYOND.into()),
        None if value.is_u64() => Some(BEYOND.into()),
        None => Some("expected an integer".into()),
    }
}

fn elements_problem(element: &Field, value: &Value, expected: &str) -> Option<Value> {
    let Value::Array(elements) = value else { return Some(expected.into()) };
    let mut problems: Vec<Value> = elements.iter().map(|each| element.element_problem(each)).collect();
    let last = problems.iter().rposition(|problem| !problem.is_null())?;
    problems.truncate(last + 1);
    Some(Value::Array(problems))
}

impl Field {
    fn element_problem(&self, value: &Value) -> Value {
        if value.is_null() { "required field missing".into() } else { self.problem(value).unwrap_or(Value::Null) }
    }
}

fn map_problem(keys: &Field, values: &Field, value: &Value) -> Option<Value> {
    let Value::Object(map) = value else { return Some("expected a map".into()) };
    map.iter().find_map(|(key, each)| {
        let key_problem = keys.problem(&Value::String(key.clone()));
        key_problem.or_else(|| values.problem(each))
    })
}

fn record_problem(schema: &Schema, value: &Value) -> Option<Value> {
    let Value::Object(record) = value else { return Some("expected a record".into()) };
    let violations = schema.check_record(record);
    (!violations.is_empty()).then_some(Value::Object(violations.fields))
}

fn foreign_problem(value: &Value) -> Option<Value> {
    let id = value.get("id").and_then(Value::as_str);
    let problem = match id {
        None => "missing primary key",
        Some(id) if !super::rules::is_uuid(id) => "expected a valid UUID",
        Some(_) => return None,
    };
    let mut fields = Object::new();
    fields.insert("id".into(), problem.into());
    Some(Value::Object(fields))
}
