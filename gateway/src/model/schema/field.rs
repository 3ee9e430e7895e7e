//! One field: its kind, what is filled in, its rules, and what else `/schemas` shows of it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Pattern, Rule, Schema, TextKind};
use crate::model::Object;

/// A field of an entity, or an element of one (then without a name).
#[derive(Debug, Clone)]
pub struct Field {
    /// Empty for elements, keys and values.
    pub name: Arc<str>,
    /// What values it holds.
    pub kind: Kind,
    /// Never null in a stored entity.
    pub required: bool,
    /// Filled in when the client sends nothing.
    pub default: Option<Value>,
    /// Filled in by the gateway.
    pub auto: Option<Auto>,
    /// In the order in which they are checked.
    pub rules: Vec<Rule>,
    /// Said in place of the message of any rule.
    pub error: Option<Arc<str>>,
    /// Further keys of `/schemas`: `unique`, `referenceable`, `description`, …
    pub shown: Object,
}

/// What a field holds.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Text; at least one byte unless a rule says otherwise.
    String,
    /// A number without a fraction.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Ordered, repeats kept.
    Array(Box<Field>),
    /// Repeats are dropped on writing.
    Set(Box<Field>),
    /// Keys to values.
    Map(Box<Field>, Box<Field>),
    /// Fields of its own.
    Record(Box<Schema>),
    /// `{"id": "…"}` of an entity in the collection of this name.
    Foreign(Arc<str>),
    /// Any JSON object, checked elsewhere: `plugins.config` before the plugin is known.
    Abstract,
    /// Any JSON value.
    Any,
}

/// What the gateway fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto {
    /// A new UUID on creation.
    Uuid,
    /// The time of creation.
    Created,
    /// The time of each write.
    Updated,
    /// 32 random alphanumerics on creation.
    Random,
}

impl Field {
    /// A field of a kind, optional and without rules.
    pub fn new(name: &str, kind: Kind) -> Self {
        let (name, shown) = (name.into(), Object::new());
        Self { name, kind, required: false, default: None, auto: None, rules: Vec::new(), error: None, shown }
    }

    /// Text.
    pub fn string(name: &str) -> Self {
        Self::new(name, Kind::String)
    }

    /// Text of a certain form.
    pub fn text(name: &str, kind: TextKind) -> Self {
        let field = Self::string(name);
        match kind {
            TextKind::Path => field
                .rule(Rule::StartsWith("/".into()))
                .rule(Rule::MatchNone(vec![Pattern::lua("//").saying("must not have empty segments")]))
                .rule(Rule::Text(kind)),
            TextKind::Method => field.rule(Rule::Match(Pattern::lua("^%u+$"))),
            TextKind::Uuid => field.rule(Rule::Uuid),
            TextKind::Regex => field.rule(Rule::IsRegex),
            _ => field.rule(Rule::Text(kind)),
        }
    }

    /// A whole number.
    pub fn integer(name: &str) -> Self {
        Self::new(name, Kind::Integer)
    }

    /// A number.
    pub fn number(name: &str) -> Self {
        Self::new(name, Kind::Number)
    }

    /// A truth value.
    pub fn boolean(name: &str) -> Self {
        Self::new(name, Kind::Boolean)
    }

    /// A list of elements.
    pub fn array(name: &str, element: Field) -> Self {
        Self::new(name, Kind::Array(Box::new(element)))
    }

    /// A set of elements.
    pub fn set(name: &str, element: Field) -> Self {
        Self::new(name, Kind::Set(Box::new(element)))
    }

    /// A map.
    pub fn map(name: &str, keys: Field, values: Field) -> Self {
        Self::new(name, Kind::Map(Box::new(keys), Box::new(values)))
    }

    /// A record of fields.
    pub fn record(name: &str, schema: Schema) -> Self {
        Self::new(name, Kind::Record(Box::new(schema)))
    }

    /// A reference to an entity of `collection`.
    pub fn foreign(name: &str, collection: &str) -> Self {
        Self::new(name, Kind::Foreign(collection.into()))
    }

    /// `id`: a UUID, made when the client sends none.
    pub fn id() -> Self {
        Self::text("id", TextKind::Uuid).auto(Auto::Uuid)
    }

    /// `created_at` and `updated_at` in whole seconds.
    pub fn timestamps() -> [Self; 2] {
        let stamp = |name, auto| Self::integer(name).auto(auto).show("timestamp", true.into());
        [stamp("created_at", Auto::Created), stamp("updated_at", Auto::Updated)]
    }

    /// `tags`.
    pub fn tags() -> Self {
        Self::set("tags", Self::text("", TextKind::Tag).required())
    }

    /// A port number.
    pub fn port(name: &str) -> Self {
        Self::integer(name).between(0.0, 65535.0)
    }

    /// Never null.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Filled in when absent.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// Filled in by the gateway.
    #[must_use]
    pub fn auto(mut self, auto: Auto) -> Self {
        self.auto = Some(auto);
        self
    }

    /// No two entities with the same value; the collection's `unique` enforces it.
    #[must_use]
    pub fn unique(self) -> Self {
        self.show("unique", true.into())
    }

    /// One more rule.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self.rules.sort_by_key(Rule::order);
        self
    }

    /// One of these values.
    #[must_use]
    pub fn one_of<V: Into<Value>, const N: usize>(self, values: [V; N]) -> Self {
        self.rule(Rule::OneOf(values.into_iter().map(Into::into).collect()))
    }

    /// A number in a range, both ends included.
    #[must_use]
    pub fn between(self, low: f64, high: f64) -> Self {
        self.rule(Rule::Between(low, high))
    }

    /// Must be null, or else this message.
    #[must_use]
    pub fn null_or(mut self, message: &str) -> Self {
        self.error = Some(message.into());
        self.rule(Rule::Eq(Value::Null))
    }

    /// One more key of `/schemas`.
    #[must_use]
    pub fn show(mut self, key: &str, value: Value) -> Self {
        self.shown.insert(key.into(), value);
        self
    }

    /// Text of what it is for.
    #[must_use]
    pub fn described(self, text: &str) -> Self {
        self.show("description", json!(text))
    }

    /// The value of the field when the client sent nothing.
    pub(super) fn missing(&self) -> Value {
        let default = self.default.clone().unwrap_or(Value::Null);
        match (&self.kind, default) {
            (Kind::Record(schema), Value::Object(mut given)) => {
                schema.complete(&mut given);
                Value::Object(given)
            }
            (Kind::Record(schema), _) if self.required => {
                let mut fresh = Object::new();
                schema.complete(&mut fresh);
                Value::Object(fresh)
            }
            (_, default) => default,
        }
    }
}
