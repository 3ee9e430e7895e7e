//! Settings: parsed from JSON, described as JSON Schema. Both come from one `#[derive(Config)]`.

mod field;
mod reader;
mod schema;

use serde_json::Value;

pub use self::{
    field::{Field, Map, Set},
    reader::{Object, Reader, Rule},
    schema::{member, quoted},
};
pub use crate::bindings::exports::sandgate::plugin::lifecycle::ConfigError;

/// A record that operators write. Derive it.
pub trait Config: Field {
    /// JSON Schema (2020-12), members in the order of the fields.
    fn schema() -> String {
        let mut out = String::from("{");
        Self::keywords(&mut out, "");
        out.push('}');
        out
    }
}

/// A kind of entity that operators manage for the plugin. `#[derive(Config)]` with `#[collection(…)]` implements it.
pub trait Collection: Config {
    /// As the manifest declares it.
    fn declaration() -> crate::plugin::Collection;
}

/// Parses settings. Errors: every mistake, each with its place.
pub fn from_json<T: Config>(text: &str) -> Result<T, Vec<ConfigError>> {
    let mut reader = Reader::default();
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return Err(vec![error("", "the configuration is not JSON")]);
    };
    match T::read(value, &Rule::NONE, &mut reader) {
        Some(settings) if reader.is_clean() => Ok(settings),
        _ => Err(reader.into_errors()),
    }
}

/// A mistake in the configuration at `path` (dotted; empty for the whole).
pub fn error(path: &str, message: &str) -> ConfigError {
    ConfigError { path: path.into(), message: message.into() }
}
