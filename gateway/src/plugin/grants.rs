//! Which capabilities a module has: what its manifest requests and the operator grants.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

use super::manifest::Manifest;
use crate::model::{capabilities, covers};

/// Effective capabilities: name to scope, both requested and granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    effective: BTreeMap<String, Vec<String>>,
}

impl Grants {
    /// What the manifest requests and `granted` covers. A module's own collections need no scope.
    pub fn intersect(manifest: &Manifest, granted: &BTreeMap<Arc<str>, Vec<Arc<str>>>) -> Self {
        let requests = json!({ "capabilities": manifest.capabilities });
        let mut effective = capabilities(&requests, &json!(granted)).effective;
        if let Some(scope) = effective.get_mut("consumers") {
            scope.extend(manifest.collections.iter().map(|own| own.name.clone()));
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
}
