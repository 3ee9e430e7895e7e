//! The world of a plugin: `imports`, `lifecycle` and the phases it takes part in, as the custom section that turns a core
//! module into a component.

use wit_parser::Resolve;

/// The phases: interface, method of the trait.
pub(crate) const PHASES: [(&str, &str); 7] = [
    ("request-head", "on_request"),
    ("request-body", "on_request_chunk"),
    ("response-head", "on_response"),
    ("response-body", "on_response_chunk"),
    ("log", "on_log"),
    ("batch", "on_batch"),
    ("timer", "on_timer"),
];

/// Version of the contract this SDK was made for.
pub(crate) const VERSION: &str = "0.1.0";

/// The encoded world with these exports.
pub(crate) fn encode(exports: &[&str]) -> Result<Vec<u8>, String> {
    let mut resolve = Resolve::default();
    let text = |error: &dyn std::fmt::Display| format!("reading the plugin contract: {error}");
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/wit")).map_err(|error| text(&error))?;
    let mut source =
        format!("package sandgate:guest;\nworld plugin {{\n  include sandgate:plugin/imports@{VERSION};\n");
    for export in exports {
        source.push_str(&format!("  export sandgate:plugin/{export}@{VERSION};\n"));
    }
    source.push('}');
    let package = resolve.push_str("plugin.wit", &source).map_err(|error| text(&error))?;
    let world = resolve.select_world(&[package], Some("plugin")).map_err(|error| text(&error))?;
    wit_component::metadata::encode(&resolve, world, wit_component::StringEncoding::UTF8, None)
        .map_err(|error| text(&error))
}
