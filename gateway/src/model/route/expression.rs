//! What the router flavor `expressions` adds to routes.

use serde_json::{Value, json};

use super::{checks, fields, grpc, http, passthrough, stream};
use crate::{
    model::{
        Object,
        schema::{Check, Custom, Field, Rule, Schema, Violations},
    },
    router::{Expression, Subsystem},
};

/// What the check of expressions looks at.
pub(super) const SOURCES: &[&str] = &[
    "id",
    "protocols",
    "snis",
    "sources",
    "destinations",
    "methods",
    "hosts",
    "paths",
    "headers",
    "expression",
    "regex_priority",
    "priority",
];

/// Conditions that an expression takes the place of.
const CONDITIONS: [&str; 7] = ["snis", "sources", "destinations", "methods", "hosts", "paths", "headers"];

/// 2^46 - 1
const MOST_URGENT: f64 = 70_368_744_177_663.0;

pub(super) fn schema() -> Schema {
    let mut fields = fields();
    fields.push(Field::string("expression"));
    let priority = Field::integer("priority").required().default(json!(0)).rule(Rule::Between(0.0, MOST_URGENT));
    fields.push(priority);
    let mut checks = checks();
    for check in &mut checks {
        if let Check::Custom { sources: SOURCES, run, .. } = check {
            *run = Custom(check_expression);
        }
    }
    super::schema(fields, checks, [http(), grpc(), stream(), passthrough()].map(or_expression))
}

/// A variant in which an expression is a condition as well, and addresses are for requests, too.
fn or_expression(mut variant: Schema) -> Schema {
    variant.fields.retain(|field| !matches!(&*field.name, "sources" | "destinations"));
    for check in &mut variant.checks {
        if let Check::SomeIf { then, message, .. } = check {
            (*then, *message) = with_expression(message).unwrap_or((*then, *message));
        }
    }
    variant
}

/// The list of a message with `expression` at its end.
fn with_expression(message: &str) -> Option<(&'static [&'static str], &'static str)> {
    MESSAGES.into_iter().find(|(before, ..)| *before == message).map(|(_, list, after)| (list, after))
}

/// A message, what may be set instead, and the message that says so.
type Message = (&'static str, &'static [&'static str], &'static str);

const MESSAGES: [Message; 6] = [
    (
        "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'",
        &["methods", "hosts", "headers", "paths", "snis", "expression"],
        "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis', 'expression' when 'protocols' is 'https'",
    ),
    (
        "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'",
        &["methods", "hosts", "headers", "paths", "expression"],
        "must set one of 'methods', 'hosts', 'headers', 'paths', 'expression' when 'protocols' is 'http'",
    ),
    (
        "must set one of 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'grpcs'",
        &["hosts", "headers", "paths", "snis", "expression"],
        "must set one of 'hosts', 'headers', 'paths', 'snis', 'expression' when 'protocols' is 'grpcs'",
    ),
    (
        "must set one of 'hosts', 'headers', 'paths' when 'protocols' is 'grpc'",
        &["hosts", "headers", "paths", "expression"],
        "must set one of 'hosts', 'headers', 'paths', 'expression' when 'protocols' is 'grpc'",
    ),
    (
        "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'",
        &["sources", "destinations", "snis", "expression"],
        "must set one of 'sources', 'destinations', 'snis', 'expression' when 'protocols' is 'tcp', 'tls' or 'udp'",
    ),
    (
        "must set snis when 'protocols' is 'tls_passthrough'",
        &["snis", "expression"],
        "must set one of 'snis', 'expression' when 'protocols' is 'tls_passthrough'",
    ),
];

/// An expression has a meaning and stands alone.
fn check_expression(entity: &Object, violations: &mut Violations) {
    if let Err(problem) = judge(entity) {
        violations.entity(&format!("Router Expression failed validation: {problem}"));
    }
}

fn judge(entity: &Object) -> Result<(), String> {
    let is_set = |field: &&str| match entity.get(*field) {
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        _ => false,
    };
    let number = |field| entity.get(field).and_then(Value::as_i64).unwrap_or(0);
    let has_conditions = CONDITIONS.iter().any(is_set);
    let conditions = "'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations'";
    let text = entity.get("expression").and_then(Value::as_str).unwrap_or_default();
    if has_conditions && !text.is_empty() {
        return Err(format!("cannot set 'expression' with {conditions}"));
    }
    if has_conditions && number("priority") != 0 {
        return Err(format!("cannot set 'priority' with {conditions}"));
    }
    if text.is_empty() {
        return Ok(());
    }
    if number("regex_priority") != 0 {
        return Err("cannot set 'regex_priority' with 'expression'".to_owned());
    }
    let is_http = |protocol: &Value| matches!(protocol.as_str(), Some("http" | "https" | "grpc" | "grpcs"));
    let protocols = entity.get("protocols").and_then(Value::as_array);
    let subsystem = match protocols.is_none_or(|list| list.iter().any(is_http)) {
        true => Subsystem::Http,
        false => Subsystem::Stream,
    };
    Expression::parse(text, subsystem).map(drop).map_err(|error| error.to_string())
}
