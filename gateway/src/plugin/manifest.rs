//! What a module says of itself, as JSON and as bindings.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::bindings::exports::sandgate::plugin::lifecycle as wit;

/// The answer of `describe()`, as the Admin API shows it and the store keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the plugin.
    pub name: String,
    /// Semantic version of the plugin.
    pub version: String,
    /// Higher runs earlier.
    pub priority: i32,
    /// JSON Schema of the configuration.
    pub config_schema: Value,
    /// Request headers handed over with every call.
    pub request_headers: Vec<String>,
    /// Response headers handed over with every call.
    pub response_headers: Vec<String>,
    /// Capabilities it asks for.
    pub capabilities: Vec<Capability>,
    /// Entities that operators manage for it.
    pub collections: Vec<CollectionDeclaration>,
    /// May be limited to one consumer.
    pub consumer_scope: bool,
    /// Default protocols of the plugin entity; empty for the usual four.
    pub protocols: Vec<String>,
}

/// A host interface that a module asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Capability {
    /// Name of the interface.
    pub name: String,
    /// What for.
    pub scope: Vec<String>,
}

/// A kind of entity that a module declares.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CollectionDeclaration {
    /// Internal plural name.
    pub name: String,
    /// Path in the Admin API.
    pub path: String,
    /// Path below the parent.
    pub nested_path: String,
    /// Collection that owns the entities.
    pub parent: String,
    /// JSON Schema of the fields.
    pub schema: Value,
    /// Unique over all entities.
    pub unique_fields: Vec<String>,
    /// Unique within one parent.
    pub unique_in_parent: Vec<String>,
    /// Filled at random when absent.
    pub generated_fields: Vec<String>,
    /// Whether entities may carry a time to live.
    pub ttl: bool,
}

/// Why a manifest cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A name that the Admin API could not show.
    #[error("the name '{0}' is not made of lower-case letters, digits and '-'")]
    Name(String),
    /// A schema that is not JSON.
    #[error("the schema of {what} is not JSON: {source}")]
    Schema {
        /// Configuration or collection.
        what: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A header that cannot exist.
    #[error("'{0}' is not a header name")]
    Header(String),
}

impl Manifest {
    /// Of a module that has not been asked yet.
    pub(super) fn nameless() -> Self {
        Self {
            name: "module".into(),
            version: String::new(),
            priority: 0,
            config_schema: Value::Null,
            request_headers: Vec::new(),
            response_headers: Vec::new(),
            capabilities: Vec::new(),
            collections: Vec::new(),
            consumer_scope: true,
            protocols: Vec::new(),
        }
    }

    pub(super) fn read(raw: wit::Manifest) -> Result<Self, ManifestError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if raw.name.is_empty() || raw.name.len() > 128 || !raw.name.chars().all(plain) {
            return Err(ManifestError::Name(raw.name));
        }
        for name in raw.request_headers.iter().chain(&raw.response_headers) {
            http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| ManifestError::Header(name.clone()))?;
        }
        let config_schema = parse_schema(&raw.config_schema, "the configuration")?;
        let collections = raw.collections.into_iter().map(read_collection).collect::<Result<_, _>>()?;
        let capability = |raw: wit::Capability| Capability { name: raw.name, scope: raw.scope };
        Ok(Self {
            name: raw.name,
            version: raw.version,
            priority: raw.priority,
            config_schema,
            request_headers: raw.request_headers,
            response_headers: raw.response_headers,
            capabilities: raw.capabilities.into_iter().map(capability).collect(),
            collections,
            consumer_scope: raw.consumer_scope,
            protocols: raw.protocols,
        })
    }
}

fn read_collection(raw: wit::Collection) -> Result<CollectionDeclaration, ManifestError> {
    Ok(CollectionDeclaration {
        schema: parse_schema(&raw.schema, &raw.name)?,
        name: raw.name,
        path: raw.path,
        nested_path: raw.nested_path,
        parent: raw.parent,
        unique_fields: raw.unique_fields,
        unique_in_parent: raw.unique_in_parent,
        generated_fields: raw.generated_fields,
        ttl: raw.ttl,
    })
}

fn parse_schema(text: &str, what: &str) -> Result<Value, ManifestError> {
    serde_json::from_str(text).map_err(|source| ManifestError::Schema { what: what.into(), source })
}
