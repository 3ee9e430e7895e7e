//! Checks that look at several fields of an entity.

use std::{fmt, sync::Arc};

use serde_json::{Value, json};

use super::{Rule, Violations};
use crate::model::Object;

/// A check over several fields, named by dotted places.
#[derive(Debug, Clone)]
pub enum Check {
    /// Not all of them empty.
    AtLeastOneOf(Vec<Arc<str>>),
    /// Exactly one of them not empty.
    OnlyOneOf(Vec<Arc<str>>),
    /// At most one of them not empty.
    MutuallyExclusive(Vec<Arc<str>>),
    /// All of them or none.
    MutuallyRequired(Vec<Arc<str>>),
    /// No two of them equal.
    Distinct(Vec<Arc<str>>),
    /// If one field keeps some rules, another must keep others.
    Conditional(Box<Conditional>),
    /// If a set of texts has an element (and lacks another), some field must be set, or else this message.
    SomeIf {
        /// The set.
        field: &'static str,
        /// What it must have for the check to apply.
        has: &'static [&'static str],
        /// What it must not have for the check to apply.
        lacks: &'static str,
        /// At least one of these must be set.
        then: &'static [&'static str],
        /// Said otherwise.
        message: &'static str,
    },
    /// A function of the gateway's own.
    Custom {
        /// Fields that `/schemas` names.
        sources: &'static [&'static str],
        /// Whether it runs with missing fields, as `/schemas` says.
        with_missing: bool,
        /// Adds what is wrong.
        run: Custom,
    },
}

/// A check of the gateway's own.
#[derive(Clone, Copy)]
pub struct Custom(pub fn(&Object, &mut Violations));

impl fmt::Debug for Custom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Custom")
    }
}

/// The parts of a conditional check.
#[derive(Debug, Clone)]
pub struct Conditional {
    /// Looked at first.
    pub if_field: Arc<str>,
    /// Rules that decide whether the check applies.
    pub if_match: Vec<Rule>,
    /// Looked at then.
    pub then_field: Arc<str>,
    /// Rules that it must keep.
    pub then_match: Vec<Rule>,
    /// Said of the entity in place of the usual message.
    pub then_error: Option<Arc<str>>,
}

impl Check {
    /// A conditional check.
    pub fn when(if_field: &str, if_match: Rule, then_field: &str, then_match: Rule) -> Self {
        Check::Conditional(Box::new(Conditional {
            if_field: if_field.into(),
            if_match: vec![if_match],
            then_field: then_field.into(),
            then_match: vec![then_match],
            then_error: None,
        }))
    }

    /// A check over a list of fields.
    pub fn over(kind: fn(Vec<Arc<str>>) -> Check, fields: &[&str]) -> Self {
        kind(fields.iter().map(|field| (*field).into()).collect())
    }

    pub(super) fn run(&self, entity: &Object, violations: &mut Violations) {
        let set = |field: &str| is_set(lookup(entity, field));
        match self {
            Check::AtLeastOneOf(fields) => {
                if good(fields, violations) && !fields.iter().any(|field| set(field)) {
                    violations.entity(&format!("at least one of these fields must be non-empty: {}", quoted(fields)));
                }
            }
            Check::OnlyOneOf(fields) => {
                if good(fields, violations) && fields.iter().filter(|field| set(field)).count() != 1 {
                    violations.entity(&format!("exactly one of these fields must be non-empty: {}", quoted(fields)));
                }
            }
            Check::MutuallyExclusive(fields) => {
                if good(fields, violations) && fields.iter().filter(|field| set(field)).count() > 1 {
                    violations.entity(&format!("only one or none of these fields must be set: {}", quoted(fields)));
                }
            }
            Check::MutuallyRequired(fields) => {
                let count = fields.iter().filter(|field| set(field)).count();
                if good(fields, violations) && count != 0 && count != fields.len() {
                    violations.entity(&format!("all or none of these fields must be set: {}", quoted(fields)));
                }
            }
            Check::Distinct(fields) => {
                if good(fields, violations) && repeated(entity, fields) {
                    violations.entity(&format!("values of these fields must be distinct: {}", quoted(fields)));
                }
            }
            Check::Conditional(conditional) => conditional.run(entity, violations),
            Check::SomeIf { field, has, lacks, then, message } => {
                let values = lookup(entity, field).as_array().map_or(&[][..], Vec::as_slice);
                let contains = |text: &str| values.iter().any(|value| value == text);
                let applies = has.iter().any(|text| contains(text)) && !contains(lacks);
                let intact = then.iter().all(|place| !violations.has(place)) && !violations.has(field);
                if applies && intact && !then.iter().any(|place| set(place)) {
                    violations.entity(message);
                }
            }
            Check::Custom { run, .. } => run.0(entity, violations),
        }
    }

    pub(super) fn describe(&self) -> Value {
        match self {
            Check::AtLeastOneOf(fields) => json!({ "at_least_one_of": fields }),
            Check::OnlyOneOf(fields) => json!({ "only_one_of": fields }),
            Check::MutuallyExclusive(fields) => json!({ "mutually_exclusive": fields }),
            Check::MutuallyRequired(fields) => json!({ "mutually_required": fields }),
            Check::Distinct(fields) => json!({ "distinct": fields }),
            Check::Conditional(conditional) => json!({ "conditional": conditional.describe() }),
            Check::SomeIf { then, message, .. } => json!({ "at_least_one_of": then, "err": message }),
            Check::Custom { sources, with_missing: true, .. } => {
                json!({ "custom_entity_check": { "field_sources": sources, "run_with_missing_fields": true } })
            }
            Check::Custom { sources, .. } => json!({ "custom_entity_check": { "field_sources": sources } }),
        }
    }

    /// A check from its form in `/schemas`, its places below `prefix`.
    pub(super) fn parse(check: &Value, prefix: &str) -> Result<Self, String> {
        let unusable = || format!("{check} is not a check that is known");
        let (kind, content) = check.as_object().and_then(|single| single.iter().next()).ok_or_else(unusable)?;
        let place = |value: &Value| {
            value.as_str().map(|text| {
                let below = text.strip_prefix(prefix).unwrap_or(text);
                Arc::<str>::from(format!("{prefix}{below}"))
            })
        };
        let fields = || {
            let listed = content.as_array().map(|fields| fields.iter().map(&place).collect::<Option<Vec<_>>>());
            listed.flatten().ok_or_else(unusable)
        };
        let part = |key: &str| content.get(key).ok_or_else(unusable);
        let rules = |key: &str| Rule::parse_all(part(key)?.as_object().ok_or_else(unusable)?);
        Ok(match kind.as_str() {
            "at_least_one_of" => Check::AtLeastOneOf(fields()?),
            "only_one_of" => Check::OnlyOneOf(fields()?),
            "mutually_exclusive" => Check::MutuallyExclusive(fields()?),
            "mutually_required" => Check::MutuallyRequired(fields()?),
            "distinct" => Check::Distinct(fields()?),
            "conditional" => Check::Conditional(Box::new(Conditional {
                if_field: place(part("if_field")?).ok_or_else(unusable)?,
                if_match: rules("if_match")?,
                then_field: place(part("then_field")?).ok_or_else(unusable)?,
                then_match: rules("then_match")?,
                then_error: content.get("then_err").and_then(Value::as_str).map(Arc::from),
            })),
            _ => return Err(unusable()),
        })
    }
}

impl Conditional {
    fn run(&self, entity: &Object, violations: &mut Violations) {
        if violations.has(&self.if_field) || violations.has(&self.then_field) {
            return;
        }
        let condition = lookup(entity, &self.if_field);
        if self.if_match.iter().any(|rule| rule.broken(condition).is_some()) {
            return;
        }
        let value = lookup(entity, &self.then_field);
        if let Some(problem) = self.then_match.iter().find_map(|rule| rule.broken(value)) {
            let usual = || format!("failed conditional validation given value of field '{}'", self.if_field);
            violations.entity(&self.then_error.as_deref().map_or_else(usual, str::to_owned));
            violations.set(&self.then_field, problem.into());
        }
    }

    fn describe(&self) -> Value {
        let rules = |rules: &[Rule]| {
            let mut shown = Object::new();
            rules.iter().for_each(|rule| rule.describe(&mut shown));
            shown
        };
        let mut shown = json!({
            "if_field": self.if_field, "if_match": rules(&self.if_match),
            "then_field": self.then_field, "then_match": rules(&self.then_match),
        });
        if let Some(error) = &self.then_error {
            shown["then_err"] = (**error).into();
        }
        shown
    }
}

/// The value at a dotted place; null where there is none.
fn lookup<'a>(entity: &'a Object, path: &str) -> &'a Value {
    let mut parts = path.split('.');
    let first = parts.next().and_then(|part| entity.get(part)).unwrap_or(&Value::Null);
    parts.fold(first, |value, part| value.get(part).unwrap_or(&Value::Null))
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(object) => !object.is_empty(),
        _ => true,
    }
}

fn good(fields: &[Arc<str>], violations: &Violations) -> bool {
    !fields.iter().any(|field| violations.has(field))
}

fn repeated(entity: &Object, fields: &[Arc<str>]) -> bool {
    let values: Vec<_> = fields.iter().map(|field| lookup(entity, field)).filter(|value| is_set(value)).collect();
    values.iter().enumerate().any(|(at, value)| values[..at].contains(value))
}

fn quoted(fields: &[Arc<str>]) -> String {
    fields.iter().map(|field| format!("'{field}'")).collect::<Vec<_>>().join(", ")
}
