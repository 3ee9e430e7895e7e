//! `modules`: the code of plugins. The bytes are kept apart, by digest.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Collection,
    schema::{Field, Kind, Schema},
};

pub(super) fn collection() -> Collection {
    let [created, updated] = Field::timestamps();
    let fields = vec![
        Field::id(),
        Field::string("name").required().unique().described("Name of the plugin, from its manifest."),
        Field::string("version").required(),
        Field::string("digest").required().described("SHA-256 of the component."),
        Field::string("source").required().one_of(["builtin", "upload"]),
        Field::integer("size").required(),
        Field::array("phases", Field::string("")).required().default(json!([])),
        Field::array("imports", Field::string("")).required().default(json!([])),
        Field::new("manifest", Kind::Abstract).required(),
        Field::map("grants", Field::string(""), Field::array("", Field::string("")))
            .required()
            .default(json!({}))
            .described("Capabilities granted by the operator, each with its scope."),
        Field::string("failure_policy").one_of(["closed", "open"]),
        Field::integer("priority").between(-2_147_483_648.0, 2_147_483_647.0),
        Field::integer("memory_limit").between(65_536.0, 4_294_967_296.0),
        Field::integer("cpu_limit").between(1.0, 60_000.0),
        Field::boolean("fresh").required().default(false),
        created,
        updated,
    ];
    Collection::core("modules", "modules", Some("name"), Schema::of(fields)).unique(&["name"])
}

/// What a module may do: its requests that were granted, narrowed to the granted scope, and the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Granted: name to scope.
    pub effective: BTreeMap<String, Vec<String>>,
    /// Requested and not granted, or not in full: name to the missing scope.
    pub missing: BTreeMap<String, Vec<String>>,
}

/// Compares what a manifest requests with what the operator granted. `*` in a granted scope means all that is
/// requested; `*` in a requested one, all that is granted.
pub fn capabilities(manifest: &Value, grants: &Value) -> Capabilities {
    let mut found = Capabilities::default();
    for (name, requested) in requested_capabilities(manifest) {
        let Some(granted) = grants.get(&name).map(texts) else {
            found.missing.insert(name, requested);
            continue;
        };
        let all = |scope: &[String]| scope.iter().any(|each| each == "*");
        let (effective, missing): (Vec<_>, Vec<_>) = if requested.is_empty() || all(&granted) {
            (requested, Vec::new())
        } else if all(&requested) {
            (granted, vec!["*".to_owned()])
        } else {
            requested.into_iter().partition(|each| granted.contains(each))
        };
        if !missing.is_empty() {
            found.missing.insert(name.clone(), missing);
        }
        found.effective.insert(name, effective);
    }
    found
}

/// What a manifest requests: name to scope.
pub fn requested_capabilities(manifest: &Value) -> BTreeMap<String, Vec<String>> {
    let requested = manifest.get("capabilities").and_then(Value::as_array);
    let entry = |capability: &Value| {
        let scope = capability.get("scope").map(texts).unwrap_or_default();
        Some((capability.get("name")?.as_str()?.to_owned(), scope))
    };
    requested.into_iter().flatten().filter_map(entry).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
