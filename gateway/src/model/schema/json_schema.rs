//! Schemas of plugins come as JSON Schema (2020-12) with a few keywords of ours. Anything else is an error that names it:
//! a keyword that is silently ignored would be a check that an author believes in.
//!
//! Understood: `type`, `properties`, `required`, `default`, `description`, `enum`, `const`, `minimum`, `maximum`,
//! `exclusiveMinimum`, `minLength`, `maxLength`, `minItems`, `maxItems`, `pattern`, `items`, `uniqueItems`,
//! `additionalProperties`, `propertyNames`; for the reader only `$schema`, `$id`, `$comment`, `title`, `examples`,
//! `deprecated`. Ours:
//!
//! | keyword | means |
//! |---|---|
//! | `x-kong-kind` | a form of text or number: `name`, `host`, `host_with_optional_port`, `sni`, `path`, `url`, `header_name`, `cookie_name`, `http_method`, `uuid`, `regex`, `ip_or_cidr`, `tag`, `port`, `timeout`; or the kind itself: `array`, `set`, `number`, `integer` |
//! | `x-kong-match` | a Lua pattern that a text must match |
//! | `x-kong-match-none` | `[{"pattern": Lua pattern, "err": message}]` that a text must not match |
//! | `x-kong-error` | said in place of the message of any rule |
//! | `x-kong-referenceable`, `x-kong-encrypted` | shown in `/schemas` |
//! | `x-kong-deprecation` | a message, or an object with `message` and `old_default`, shown in `/schemas` |
//! | `x-kong-shown` | further keys for `/schemas`, as they are |
//! | `x-kong-checks` | on objects: checks over several fields, in the shape of Kong's `entity_checks` |
//! | `x-kong-shorthands` | on objects: old names, `{"redis_host": "redis.host"}` |
//! | `x-kong-protocols` | on the whole: `all` if the plugin may run on stream protocols too |

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Check, Field, Kind, Pattern, Rule, Schema, Shorthand, TextKind};
use crate::model::Object;

/// Why a JSON Schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Not JSON.
    #[error("the schema is not JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// A manifest without something it must have.
    #[error("the manifest has no {0}")]
    Missing(&'static str),
    /// A keyword that is not known here.
    #[error("the schema of {place} has the keyword {keyword}, which is not supported")]
    Keyword {
        /// Dotted place; `configuration` for the whole.
        place: String,
        /// The keyword.
        keyword: String,
    },
    /// A keyword with a value that cannot be used.
    #[error("the schema of {place} has an unusable {keyword}: {reason}")]
    Unusable {
        /// Dotted place; `configuration` for the whole.
        place: String,
        /// The keyword.
        keyword: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A manifest with something it must not have.
    #[error("{0}")]
    Manifest(String),
}

type Result<T> = std::result::Result<T, SchemaError>;

impl Schema {
    /// The description that a JSON Schema of type `object` stands for.
    pub fn from_json_schema(schema: &Value) -> Result<Self> {
        Place(String::new(), None).schema(schema)
    }

    /// The same for the configuration of a plugin: its checks stand on the plugin entity, where the configuration is
    /// below `config`.
    pub fn from_config_schema(plugin: &str, schema: &Value) -> Result<Self> {
        Place(String::new(), Some(plugin)).schema(schema)
    }
}

/// Where in the schema we are, and the plugin whose configuration it describes.
struct Place<'a>(String, Option<&'a str>);

/// The greatest whole number that a double has exactly.
const WIDEST: f64 = 9_007_199_254_740_992.0;

/// Keywords for the reader only.
const SILENT: [&str; 6] = ["$schema", "$id", "$comment", "title", "examples", "deprecated"];
/// Keywords that the type of the value decides about.
const STRUCTURE: [&str; 10] = [
    "type",
    "properties",
    "required",
    "items",
    "additionalProperties",
    "propertyNames",
    "uniqueItems",
    "x-kong-checks",
    "x-kong-shorthands",
    "x-kong-protocols",
];

impl<'a> Place<'a> {
    fn name(&self) -> String {
        if self.0.is_empty() { "configuration".to_owned() } else { self.0.clone() }
    }

    fn inside(&self, name: &str) -> Place<'a> {
        Place(if self.0.is_empty() { name.to_owned() } else { format!("{}.{name}", self.0) }, self.1)
    }

    fn unusable(&self, keyword: &'static str, reason: impl ToString) -> SchemaError {
        SchemaError::Unusable { place: self.name(), keyword, reason: reason.to_string() }
    }

    fn schema(&self, schema: &Value) -> Result<Schema> {
        let object = schema.as_object().ok_or_else(|| self.unusable("type", "not an object"))?;
        let kind = object.get("type").and_then(Value::as_str).unwrap_or("object");
        if kind != "object" {
            return Err(self.unusable("type", "the whole must be an object"));
        }
        if self.0.is_empty() {
            let known = |key: &&String| !STRUCTURE.contains(&key.as_str()) && !SILENT.contains(&key.as_str());
            if let Some(keyword) = object.keys().filter(known).find(|key| *key != "description" && *key != "default") {
                return Err(SchemaError::Keyword { place: self.name(), keyword: keyword.clone() });
            }
        }
        let fields = self.fields(object)?;
        let shorthands = self.shorthands(object, &fields)?;
        Ok(Schema { fields, checks: self.checks(object)?, shorthands, ..Schema::default() })
    }

    fn fields(&self, object: &Object) -> Result<Vec<Field>> {
        let required: Vec<&str> = match object.get("required") {
            None => Vec::new(),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            Some(_) => return Err(self.unusable("required", "not a list of names")),
        };
        let empty = Object::new();
        let properties = match object.get("properties") {
            None => &empty,
            Some(Value::Object(properties)) => properties,
            Some(_) => return Err(self.unusable("properties", "not an object")),
        };
        if let Some(stray) = required.iter().find(|name| !properties.contains_key(**name)) {
            return Err(self.unusable("required", format!("{stray} is not a property")));
        }
        properties
            .iter()
            .map(|(name, schema)| {
                let mut field = self.inside(name).field(name, schema)?;
                field.required = required.contains(&name.as_str());
                Ok(field)
            })
            .collect()
    }

    fn checks(&self, object: &Object) -> Result<Vec<Check>> {
        match object.get("x-kong-checks") {
            None => Ok(Vec::new()),
            Some(Value::Array(checks)) => {
                let prefix = if self.0.is_empty() && self.1.is_some() { "config." } else { "" };
                let parse =
                    |check| Check::parse(check, prefix).map_err(|reason| self.unusable("x-kong-checks", reason));
                checks.iter().map(parse).collect()
            }
            Some(_) => Err(self.unusable("x-kong-checks", "not a list")),
        }
    }

    /// `{"redis_host": "redis.host"}`: the old name has the type of the new field.
    fn shorthands(&self, object: &Object, fields: &[Field]) -> Result<Vec<Shorthand>> {
        let Some(shorthands) = object.get("x-kong-shorthands") else { return Ok(Vec::new()) };
        let unusable = |reason: String| self.unusable("x-kong-shorthands", reason);
        let entries = shorthands.as_object().ok_or_else(|| unusable("not an object".to_owned()))?;
        let shorthand = |(old, new): (&String, &Value)| {
            let dotted = new.as_str().ok_or_else(|| unusable(format!("{old} has no place as a text")))?;
            let path: Vec<Arc<str>> = dotted.split('.').map(Arc::from).collect();
            let target = find(fields, &path).ok_or_else(|| unusable(format!("{dotted} is not a field")))?;
            let mut field = Field::new(old, target.kind.clone());
            field.rules = target.rules.iter().filter(|rule| matches!(rule, Rule::LenMin(_))).cloned().collect();
            let plugin = self.1.unwrap_or_default();
            let message = format!("{plugin}: config.{old} is deprecated, please use config.{dotted} instead");
            field.shown.insert("deprecation".into(), json!({ "message": message, "removal_in_version": "4.0" }));
            Ok(Shorthand { field, path })
        };
        entries.iter().map(shorthand).collect()
    }

    fn field(&self, name: &str, schema: &Value) -> Result<Field> {
        let object = schema.as_object().ok_or_else(|| self.unusable("type", "not an object"))?;
        let mut field = match object.get("x-kong-kind") {
            None => Field::new(name, self.kind(object)?),
            Some(kind) => self.special(name, object, kind)?,
        };
        for (keyword, value) in object {
            self.keyword(&mut field, keyword, value)?;
        }
        if let Some(range) = self.range(object)? {
            field.rules.retain(|rule| !matches!(rule, Rule::Between(..)));
            field.rules.push(range);
        }
        field.rules.sort_by_key(Rule::order);
        Ok(field)
    }

    /// `minimum` and `maximum`; what is left open is bounded by what a number can be.
    fn range(&self, object: &Object) -> Result<Option<Rule>> {
        let limit = |key: &'static str, open: f64| match object.get(key) {
            None => Ok(open),
            Some(value) => value.as_f64().ok_or_else(|| self.unusable(key, "not a number")),
        };
        let given = object.contains_key("minimum") || object.contains_key("maximum");
        let (low, high) = (limit("minimum", -WIDEST)?, limit("maximum", WIDEST)?);
        Ok(given.then_some(Rule::Between(low, high)))
    }

    fn special(&self, name: &str, object: &Object, kind: &Value) -> Result<Field> {
        let kind = kind.as_str().unwrap_or_default();
        if let Some(text) = TextKind::named(kind) {
            return Ok(Field::text(name, text));
        }
        match kind {
            "port" => Ok(Field::port(name)),
            "timeout" => Ok(Field::integer(name).between(0.0, 2_147_483_646.0)),
            "array" | "set" | "number" | "integer" => {
                let mut forced = object.clone();
                forced.insert("uniqueItems".into(), (kind == "set").into());
                if kind == "number" || kind == "integer" {
                    forced.insert("type".into(), kind.into());
                }
                Ok(Field::new(name, self.kind(&forced)?))
            }
            _ => Err(self.unusable("x-kong-kind", format!("{kind} is not known"))),
        }
    }

    fn kind(&self, object: &Object) -> Result<Kind> {
        let listed = object.get("type");
        let name = match listed {
            Some(Value::String(name)) => name.as_str(),
            Some(Value::Array(names)) => {
                match names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect::<Vec<_>>()[..] {
                    [only] => only,
                    _ => return Err(self.unusable("type", "more than one type")),
                }
            }
            None if object.contains_key("enum") => "string",
            None if object.contains_key("properties") => "object",
            None => return Ok(Kind::Any),
            Some(_) => return Err(self.unusable("type", "neither a name nor a list")),
        };
        Ok(match name {
            "string" => Kind::String,
            "integer" => Kind::Integer,
            "number" => Kind::Number,
            "boolean" => Kind::Boolean,
            "array" => {
                let element = match object.get("items") {
                    Some(items) => self.inside("items").field("", items)?,
                    None => Field::new("", Kind::Any),
                };
                let set = object.get("uniqueItems").and_then(Value::as_bool).unwrap_or(false);
                if set { Kind::Set(Box::new(element)) } else { Kind::Array(Box::new(element)) }
            }
            "object" => self.object_kind(object)?,
            other => return Err(self.unusable("type", format!("{other} is not a type"))),
        })
    }

    fn object_kind(&self, object: &Object) -> Result<Kind> {
        match object.get("additionalProperties") {
            Some(values) if values.is_object() && !object.contains_key("properties") => {
                let keys = match object.get("propertyNames") {
                    Some(Value::Object(names)) => {
                        let mut names = names.clone();
                        names.entry("type").or_insert("string".into());
                        self.inside("propertyNames").field("", &Value::Object(names))?
                    }
                    _ => Field::string(""),
                };
                Ok(Kind::Map(Box::new(keys), Box::new(self.inside("additionalProperties").field("", values)?)))
            }
            None | Some(Value::Bool(false)) if object.contains_key("properties") => {
                Ok(Kind::Record(Box::new(self.schema(&Value::Object(object.clone()))?)))
            }
            Some(Value::Bool(false)) => Ok(Kind::Record(Box::default())),
            None | Some(Value::Bool(_)) if !object.contains_key("properties") => Ok(Kind::Abstract),
            Some(_) => Err(self.unusable("additionalProperties", "either properties or a map")),
            None => Ok(Kind::Abstract),
        }
    }

    fn keyword(&self, field: &mut Field, keyword: &str, value: &Value) -> Result<()> {
        let count =
            |key| value.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| self.unusable(key, "not a count"));
        let number = |key| value.as_f64().ok_or_else(|| self.unusable(key, "not a number"));
        let list = |key| value.as_array().cloned().ok_or_else(|| self.unusable(key, "not a list"));
        match keyword {
            "default" => field.default = Some(value.clone()),
            "description" => _ = field.shown.insert("description".into(), value.clone()),
            "enum" => field.rules.push(Rule::OneOf(list("enum")?.into_iter().filter(|each| !each.is_null()).collect())),
            "const" => field.rules.push(Rule::Eq(value.clone())),
            "minimum" | "maximum" => {}
            "exclusiveMinimum" => field.rules.push(Rule::Gt(number("exclusiveMinimum")?)),
            "minLength" | "minItems" | "minProperties" => field.rules.push(Rule::LenMin(count("minLength")?)),
            "maxLength" | "maxItems" | "maxProperties" => field.rules.push(Rule::LenMax(count("maxLength")?)),
            "pattern" => {
                let text = value.as_str().ok_or_else(|| self.unusable("pattern", "not a text"))?;
                let pattern = Pattern::parse_regex(text).map_err(|error| self.unusable("pattern", error))?;
                field.rules.push(Rule::Match(pattern));
            }
            "x-kong-match" => {
                let text = value.as_str().ok_or_else(|| self.unusable("x-kong-match", "not a text"))?;
                let pattern = Pattern::parse_lua(text).map_err(|error| self.unusable("x-kong-match", error))?;
                field.rules.push(Rule::Match(pattern));
            }
            "x-kong-match-none" => field.rules.push(Rule::MatchNone(self.match_none(value)?)),
            "x-kong-error" => field.error = value.as_str().map(Arc::from),
            "x-kong-deprecation" => {
                let mut shown = if value.is_string() { json!({ "message": value }) } else { value.clone() };
                if let Value::Object(shown) = &mut shown {
                    shown.entry("removal_in_version").or_insert("4.0".into());
                }
                field.shown.insert("deprecation".into(), shown);
            }
            "x-kong-referenceable" => self.flag(field, "referenceable", value)?,
            "x-kong-encrypted" => self.flag(field, "encrypted", value)?,
            "x-kong-shown" => {
                let shown = value.as_object().ok_or_else(|| self.unusable("x-kong-shown", "not an object"))?;
                field.shown.extend(shown.clone());
            }
            "x-kong-kind" => {}
            known if STRUCTURE.contains(&known) || SILENT.contains(&known) => {}
            other => return Err(SchemaError::Keyword { place: self.name(), keyword: other.to_owned() }),
        }
        Ok(())
    }

    fn flag(&self, field: &mut Field, name: &'static str, value: &Value) -> Result<()> {
        if value.as_bool().ok_or_else(|| self.unusable(name, "neither true nor false"))? {
            field.shown.insert(name.into(), true.into());
        }
        Ok(())
    }

    fn match_none(&self, value: &Value) -> Result<Vec<Pattern>> {
        let key = "x-kong-match-none";
        let entries = value.as_array().ok_or_else(|| self.unusable(key, "not a list"))?;
        let parse = |entry: &Value| {
            let text = entry
                .get("pattern")
                .and_then(Value::as_str)
                .ok_or_else(|| self.unusable(key, "an entry has no pattern"))?;
            let pattern = Pattern::parse_lua(text).map_err(|error| self.unusable(key, error))?;
            Ok(entry.get("err").and_then(Value::as_str).map_or(pattern.clone(), |error| pattern.saying(error)))
        };
        entries.iter().map(parse).collect()
    }
}

fn find<'f>(fields: &'f [Field], path: &[Arc<str>]) -> Option<&'f Field> {
    let (first, rest) = path.split_first()?;
    let field = fields.iter().find(|field| field.name == *first)?;
    match &field.kind {
        _ if rest.is_empty() => Some(field),
        Kind::Record(schema) => find(&schema.fields, rest),
        _ => None,
    }
}
