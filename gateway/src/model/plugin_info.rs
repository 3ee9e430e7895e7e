//! What a module says about itself, as far as operators meet it: names, phases, capabilities and the schema of its
//! configuration. Built from the manifest (JSON, field names in snake_case) that the host read from the component.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    Object,
    plugin::overrides,
    schema::{Schema, SchemaError},
};

/// A plugin that configurations may name.
#[derive(Debug, Clone)]
pub struct PluginInfo {
    /// Name of the plugin, as in `plugins.name`.
    pub name: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// Effective priority: higher runs earlier.
    pub priority: i32,
    /// What it changes in the schema of the `plugins` entity: `consumer`, `protocols`, `config` and checks. Shown by
    /// `/schemas/plugins/{name}`.
    pub overrides: Arc<Schema>,
}

impl PluginInfo {
    /// Reads the manifest. Fails when its configuration schema cannot be used.
    pub fn from_manifest(manifest: &Value) -> Result<Self, SchemaError> {
        let name = text(manifest, "name")?;
        let protocols = match manifest.get("protocols") {
            Some(Value::Array(listed)) if !listed.is_empty() => Some(Value::Array(listed.clone())),
            _ => None,
        };
        let consumer_scope = manifest.get("consumer_scope").and_then(Value::as_bool).unwrap_or(true);
        let config = parse_embedded(manifest.get("config_schema").unwrap_or(&Value::Null))?;
        Ok(Self {
            name: name.into(),
            version: manifest.get("version").and_then(Value::as_str).unwrap_or("0.0.0").into(),
            priority: manifest.get("priority").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
            overrides: Arc::new(overrides(name, &config, protocols, consumer_scope)?),
        })
    }
}

/// A JSON Schema inside a manifest: as text, as the contract has it, or as an object. Empty: no fields.
pub(crate) fn parse_embedded(schema: &Value) -> Result<Value, SchemaError> {
    match schema {
        Value::String(text) if text.trim().is_empty() => Ok(json!({ "type": "object" })),
        Value::String(text) => serde_json::from_str(text).map_err(SchemaError::Json),
        Value::Null => Ok(json!({ "type": "object" })),
        other => Ok(other.clone()),
    }
}

pub(crate) fn text<'a>(manifest: &'a Value, key: &'static str) -> Result<&'a str, SchemaError> {
    manifest.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or(SchemaError::Missing(key))
}

/// What inspecting an uploaded module found: it can be used.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// SHA-256 of the component, hexadecimal, lower case.
    pub digest: String,
    /// The component; made from the upload if that was a core module.
    pub component: Vec<u8>,
    /// The manifest as `wit/lifecycle.wit` has it, field names in snake_case.
    pub manifest: Value,
    /// Interfaces of phases that it exports.
    pub phases: Vec<String>,
    /// Host interfaces that it imports.
    pub imports: Vec<String>,
}

/// One reason why an uploaded module cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

/// One mistake in a configuration, found by the plugin itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Place in the configuration, dotted: `redis.port`. Empty for the whole.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

/// How a module fares on this node.
#[derive(Debug, Clone, Default)]
pub struct ModuleState {
    /// Why the module is not used; `None` when it is ready.
    pub quarantined: Option<String>,
    /// `closed` (working), `open` (failing, backing off) or `half-open`.
    pub circuit: Option<String>,
    /// Traps since the node started.
    pub traps: u64,
}

impl ModuleState {
    /// As the Admin API shows it.
    pub fn to_object(&self) -> Object {
        let mut object = Map::new();
        object.insert("state".into(), if self.quarantined.is_some() { "quarantined" } else { "ready" }.into());
        object.insert("reason".into(), self.quarantined.clone().into());
        object.insert("circuit".into(), self.circuit.clone().unwrap_or_else(|| "closed".into()).into());
        object.insert("traps".into(), self.traps.into());
        object
    }
}
