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

/// Compares what a manifest requests with what the operator granted. Of each pair of scopes where one covers the other
/// the narrower counts.
pub fn capabilities(manifest: &Value, grants: &Value) -> Capabilities {
    let mut found = Capabilities::default();
    for (name, requested) in requested_capabilities(manifest) {
        let Some(granted) = grants.get(&name).map(texts) else {
            found.missing.insert(name, requested);
            continue;
        };
        let effective = narrow(&requested, &granted);
        let is_met = |wanted: &String| effective.iter().any(|allowed| covers(allowed, wanted));
        let missing: Vec<String> = requested.iter().filter(|wanted| !is_met(wanted)).cloned().collect();
        if !missing.is_empty() {
            found.missing.insert(name.clone(), missing);
        }
        found.effective.insert(name, effective);
    }
    found
}

/// The narrower of each pair of scopes where one covers the other.
fn narrow(requested: &[String], granted: &[String]) -> Vec<String> {
    let mut scope: Vec<String> = Vec::new();
    for (wanted, allowed) in requested.iter().flat_map(|wanted| granted.iter().map(move |allowed| (wanted, allowed))) {
        if covers(allowed, wanted) {
            scope.push(wanted.clone());
        } else if covers(wanted, allowed) {
            scope.push(allowed.clone());
        }
    }
    scope.dedup();
    scope
}

/// Whether a scope of a capability covers `what`: equal to it, or a pattern of it. `*` covers all, `x*` what begins with
/// `x`, and an absolute path what lies below it.
pub fn covers(scope: &str, what: &str) -> bool {
    if let Some(prefix) = scope.strip_suffix('*') {
        return what.starts_with(prefix);
    }
    let Some(rest) = what.strip_prefix(scope) else { return false };
    rest.is_empty()
        || scope.starts_with('/') && !what.contains("/../") && (scope.ends_with('/') || rest.starts_with('/'))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_itself_its_prefix_and_paths_below_it() {
        let rows = [
            ("*", "anything", true),
            ("/var/log", "/var/log", true),
            ("/var/log", "/var/log/a.log", true),
            ("/var/log/", "/var/log/a.log", true),
            ("/var/log", "/var/logs", false),
            ("/var/log", "/var/log/../../etc/passwd", false),
            ("api.example:443", "api.example:443", true),
            ("api.example:443", "api.example:4430", false),
            ("DB_*", "DB_PASSWORD", true),
            ("DB_*", "SHELL", false),
        ];
        for (scope, what, expected) in rows {
            assert_eq!(covers(scope, what), expected, "{scope} covers {what}");
        }
    }

    #[test]
    fn the_narrower_of_request_and_grant_counts() {
        let granted = |scope: &[&str]| scope.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let requested = ["/var/log/app".to_owned()];
        assert_eq!(narrow(&requested, &granted(&["/var/log"])), granted(&["/var/log/app"]));
        assert_eq!(narrow(&["*".to_owned()], &granted(&["/tmp"])), granted(&["/tmp"]));
        assert_eq!(narrow(&requested, &granted(&["/etc"])), granted(&[]));
    }
}
