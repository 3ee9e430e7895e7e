//! Modules that an operator keeps as files, for gateways without a database: through the same door as an upload.

use std::time::SystemTime;

use super::{accept::examine, upload::Upload};
use crate::{
    admin::{context::Modules, failure::Failure},
    model::{Object, Registry},
};

/// A module that was found usable.
#[derive(Debug)]
pub struct Local {
    /// As an upload would have stored it.
    pub row: Object,
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    /// The component.
    pub component: Vec<u8>,
}

/// Takes a module and what the operator decided about it: `grants`, `failure_policy`, `priority`, limits. Errors: every
/// reason to refuse it.
pub async fn local(
    modules: &dyn Modules,
    registry: &Registry,
    bytes: Vec<u8>,
    settings: Object,
) -> Result<Local, Vec<String>> {
    let candidate = examine(modules, registry, Upload { bytes, settings }).await.map_err(reasons)?;
    let Some(collection) = registry.get("modules") else {
        return Err(vec!["there is no collection of modules".into()]);
    };
    let row = candidate.row(&collection.schema);
    let row = collection.schema.create(row, SystemTime::now()).map_err(|violations| violations.list())?;
    let (digest, component) = (candidate.inspected.digest, candidate.inspected.component);
    Ok(Local { row, digest, component })
}

fn reasons(failure: Failure) -> Vec<String> {
    match failure {
        Failure::Module(reasons) => reasons,
        Failure::Schema(violations) => violations.list(),
        other => vec![other.to_string()],
    }
}
