//! Which capabilities a module has: what its manifest requests and the operator grants.

use std::{collections::BTreeMap, sync::Arc};

use super::manifest::Manifest;

/// Interfaces that are capabilities; all others are every plugin's.
pub const CAPABILITIES: [&str; 9] =
    ["consumers", "counters", "key-value", "metrics", "queue", "sinks", "outbound-http", "crypto", "secrets"];

/// Effective capabilities: name to scope, both requested and granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    effective: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

impl Grants {
    /// What the manifest requests and `granted` covers. A module's own collections need no scope.
    pub fn intersect(manifest: &Manifest, granted: &BTreeMap<Arc<str>, Vec<Arc<str>>>) -> Self {
        let mut effective = BTreeMap::new();
        for requested in &manifest.capabilities {
            let Some(allowed) = granted.get(requested.name.as_str()) else { continue };
            let mut scope = narrow(&requested.scope, allowed);
            if requested.name == "consumers" {
                scope.extend(manifest.collections.iter().map(|own| Arc::from(own.name.as_str())));
            }
            effective.insert(Arc::from(requested.name.as_str()), scope);
        }
        Self { effective }
    }

    /// Whether the interface may be used at all.
    pub fn has(&self, capability: &str) -> bool {
        self.effective.contains_key(capability)
    }

    /// Whether the interface may be used for this.
    pub fn covers(&self, capability: &str, what: &str) -> bool {
        self.effective.get(capability).is_some_and(|scope| scope.iter().any(|allowed| covers(allowed, what)))
    }

    /// Name to scope, for the Admin API.
    pub fn effective(&self) -> &BTreeMap<Arc<str>, Vec<Arc<str>>> {
        &self.effective
    }
}

/// The narrower of each pair of scopes where one covers the other.
fn narrow(requested: &[String], granted: &[Arc<str>]) -> Vec<Arc<str>> {
    let mut scope: Vec<Arc<str>> = Vec::new();
    for (wanted, allowed) in requested.iter().flat_map(|wanted| granted.iter().map(move |allowed| (wanted, allowed))) {
        if covers(allowed, wanted) {
            scope.push(wanted.as_str().into());
        } else if covers(wanted, allowed) {
            scope.push(allowed.clone());
        }
    }
    scope.dedup();
    scope
}

/// Equal, or within: `*` covers all, `x*` what begins with `x`, and a path what lies below it.
fn covers(scope: &str, what: &str) -> bool {
    if let Some(prefix) = scope.strip_suffix('*') {
        return what.starts_with(prefix);
    }
    let Some(rest) = what.strip_prefix(scope) else { return false };
    rest.is_empty() || scope.starts_with('/') && !what.contains("/../") && (scope.ends_with('/') || rest.starts_with('/'))
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
        let granted = |scope: &[&str]| scope.iter().map(|text| Arc::from(*text)).collect::<Vec<Arc<str>>>();
        let requested = ["/var/log/app".to_owned()];
        assert_eq!(narrow(&requested, &granted(&["/var/log"])), granted(&["/var/log/app"]));
        assert_eq!(narrow(&["*".to_owned()], &granted(&["/tmp"])), granted(&["/tmp"]));
        assert_eq!(narrow(&requested, &granted(&["/etc"])), granted(&[]));
    }
}
