//! The description as JSON Schema 2020-12, for OpenAPI. It says what the keywords of JSON Schema can say; Lua patterns
//! and checks over several fields are left to `/schemas/*`.

use serde_json::{Value, json};

use super::{Field, Kind, Rule, Schema, TextKind};
use crate::model::Object;

/// Which form of an entity is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A new entity, as clients send it.
    Sent,
    /// Changes to an entity.
    Changed,
    /// As answers show it.
    Shown,
}

impl Schema {
    /// The JSON Schema of an entity.
    pub fn shape(&self, form: Form) -> Value {
        let mut properties = Object::new();
        let sent = self.sent.iter().filter(|_| form != Form::Shown);
        for field in self.fields.iter().chain(sent) {
            properties.insert(field.name.to_string(), Value::Object(field.shape(form)));
        }
        for shorthand in &self.shorthands {
            let mut shape = shorthand.field.shape(form);
            shape.insert("deprecated".into(), true.into());
            properties.insert(shorthand.field.name.to_string(), Value::Object(shape));
        }
        let mut shape = json!({ "type": "object", "properties": properties });
        let required: Vec<&str> =
            self.fields.iter().filter(|field| self.demands(field, form)).map(|field| &*field.name).collect();
        if !required.is_empty() {
            shape["required"] = json!(required);
        }
        if form != Form::Shown {
            shape["additionalProperties"] = false.into();
        }
        shape
    }

    fn demands(&self, field: &Field, form: Form) -> bool {
        let filled_in = field.default.is_some() || field.auto.is_some() || matches!(field.kind, Kind::Record(_));
        match form {
            Form::Sent => field.required && !filled_in && self.sent.is_empty(),
            Form::Changed => false,
            Form::Shown => field.required,
        }
    }
}

impl Field {
    fn shape(&self, form: Form) -> Object {
        if self.rules.iter().any(|rule| matches!(rule, Rule::Eq(Value::Null))) {
            return object(json!({ "type": "null" }));
        }
        let mut shape = self.kind.shape(form);
        // A reference to a vault may stand there instead.
        if !self.shown.contains_key("referenceable") {
            self.rules.iter().for_each(|rule| rule.shape(form, &self.kind, &mut shape));
        }
        if !self.required || (form != Form::Shown && matches!(self.kind, Kind::Record(_))) {
            allow_null(&mut shape);
        }
        if let Some(default) = self.default.as_ref().filter(|_| form != Form::Shown) {
            shape.insert("default".into(), default.clone());
        }
        if let Some(description) = self.shown.get("description") {
            shape.insert("description".into(), description.clone());
        }
        shape
    }
}

impl Kind {
    fn shape(&self, form: Form) -> Object {
        let inside = |field: &Field| Value::Object(field.shape(form));
        object(match self {
            Kind::String => json!({ "type": "string" }),
            Kind::Integer => json!({ "type": "integer" }),
            Kind::Number => json!({ "type": "number" }),
            Kind::Boolean => json!({ "type": "boolean" }),
            Kind::Array(element) | Kind::Set(element) => {
                json!({ "type": "array", "items": element_shape(element, form) })
            }
            Kind::Map(_, values) => json!({ "type": "object", "additionalProperties": inside(values) }),
            Kind::Record(schema) => schema.shape(form),
            Kind::Foreign(_) => reference(form),
            Kind::Abstract => json!({ "type": "object" }),
            Kind::Any => json!({}),
        })
    }
}

/// Elements are never null, whether that is said of them or not.
fn element_shape(element: &Field, form: Form) -> Value {
    let mut never_null = element.clone();
    never_null.required = true;
    Value::Object(never_null.shape(form))
}

/// Clients may name the other entity by a unique field as well.
fn reference(form: Form) -> Value {
    let id = json!({ "type": "string", "format": "uuid" });
    match form {
        Form::Shown => json!({ "type": "object", "properties": { "id": id }, "required": ["id"] }),
        Form::Sent | Form::Changed => json!({ "type": "object", "properties": { "id": id } }),
    }
}

fn allow_null(shape: &mut Object) {
    if let Some(name @ Value::String(_)) = shape.get("type").cloned() {
        shape.insert("type".into(), json!([name, "null"]));
    }
    if let Some(Value::Array(values)) = shape.get_mut("enum") {
        values.push(Value::Null);
    }
}

impl Rule {
    fn shape(&self, form: Form, kind: &Kind, shape: &mut Object) {
        let mut say = |keyword: &str, value: Value| _ = shape.insert(keyword.into(), value);
        match self {
            Rule::Eq(value) => say("const", value.clone()),
            Rule::OneOf(values) => say("enum", values.clone().into()),
            Rule::Gt(limit) => say("exclusiveMinimum", super::describe::number(*limit)),
            Rule::Between(low, high) => {
                say("minimum", super::describe::number(*low));
                say("maximum", super::describe::number(*high));
            }
            Rule::Uuid => say("format", "uuid".into()),
            Rule::StartsWith(prefix) => say("pattern", format!("^{}", regex::escape(prefix)).into()),
            Rule::Text(text) => text.shape(shape),
            // Lengths are counted in bytes here and in characters there.
            Rule::LenMin(length) if form != Form::Shown && *length <= 1 => say(least(kind), json!(length)),
            Rule::LenMax(length) if form != Form::Shown && matches!(kind, Kind::Array(_) | Kind::Set(_)) => {
                say("maxItems", json!(length));
            }
            _ => {}
        }
    }
}

fn least(kind: &Kind) -> &'static str {
    match kind {
        Kind::Array(_) | Kind::Set(_) => "minItems",
        Kind::Map(..) => "minProperties",
        _ => "minLength",
    }
}

impl TextKind {
    /// A pattern where one says all, an example otherwise.
    fn shape(self, shape: &mut Object) {
        let (keyword, value) = match self {
            TextKind::HeaderName => ("pattern", json!("^[0-9A-Za-z_-]+$")),
            TextKind::Method => ("pattern", json!("^[A-Z]+$")),
            TextKind::Uuid => ("format", json!("uuid")),
            TextKind::Name => ("examples", json!(["orders"])),
            TextKind::Host | TextKind::HostWithPort | TextKind::UpstreamName | TextKind::RouteHost => {
                ("examples", json!(["orders.internal"]))
            }
            TextKind::WildcardHost => ("examples", json!(["*.example.com"])),
            TextKind::Path | TextKind::RoutePath => ("examples", json!(["/orders"])),
            TextKind::Url => ("examples", json!(["https://logs.internal/in"])),
            TextKind::CookieName => ("examples", json!(["session"])),
            TextKind::Regex => ("examples", json!(["^[a-z]+$"])),
            TextKind::IpOrCidr => ("examples", json!(["10.0.0.0/8"])),
            TextKind::Tag => ("examples", json!(["team-a"])),
            TextKind::Target => ("examples", json!(["10.0.0.1:8080"])),
        };
        shape.insert(keyword.into(), value);
    }
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let inner = Schema::of(vec![Field::integer("port").between(1.0, 9.0).default(5)]);
        Schema::of(vec![
            Field::id(),
            Field::string("name").required(),
            Field::string("mode").one_of(["a", "b"]),
            Field::foreign("service", "services"),
            Field::record("redis", inner).required(),
            Field::string("none").null_or("not here"),
        ])
    }

    #[test]
    fn what_is_sent_names_what_nobody_fills_in() {
        let shape = schema().shape(Form::Sent);
        assert_eq!((&shape["required"], &shape["additionalProperties"]), (&json!(["name"]), &json!(false)));
        assert_eq!(shape["properties"]["mode"], json!({ "type": ["string", "null"], "enum": ["a", "b", null] }));
        assert_eq!(shape["properties"]["redis"]["properties"]["port"]["maximum"], 9);
        assert_eq!(shape["properties"]["none"], json!({ "type": "null" }));
    }

    #[test]
    fn changes_demand_nothing_and_answers_have_everything() {
        assert_eq!(schema().shape(Form::Changed)["required"], Value::Null);
        let shown = schema().shape(Form::Shown);
        assert_eq!(shown["required"], json!(["name", "redis"]));
        assert_eq!(shown["properties"]["service"]["required"], json!(["id"]));
    }
}
