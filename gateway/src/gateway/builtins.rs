//! The plugins that come with the gateway. They go through the same door as an upload; what they request they are
//! granted, and the grant is written down in their row like any other.

use serde_json::{Value, json};

use super::GatewayError;
use crate::{
    model::{Collection, Object, Registry},
    plugin::{Catalog, Inspected, digest_of},
    store::{Key, MemoryStore, Note, Request, Store},
};

include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// Installs what is new or has changed since the last start, as one version. A module that an operator put in a
/// built-in's place stays. Of several nodes that start at once, the first installs and the others find it done.
pub(super) async fn install(
    store: &dyn Store,
    core: &Registry,
    catalog: &std::sync::Arc<Catalog>,
) -> Result<(), GatewayError> {
    let modules = core.get("modules").expect("the core registry has modules");
    let mut candidates = Vec::new();
    for (name, bytes) in BUILTINS {
        let known = store.get(modules, Key::Unique("name", name)).await?;
        if !stays(known.as_ref(), &digest_of(bytes)) {
            let inspected = catalog.inspect(bytes.to_vec()).await.map_err(|reasons| GatewayError::Module {
                name: (*name).into(),
                reason: reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            })?;
            candidates.push(inspected);
        }
    }
    if candidates.is_empty() { Ok(()) } else { write(store, modules, &candidates).await }
}

/// Whether the row, if any, need not be written.
fn stays(known: Option<&Object>, digest: &str) -> bool {
    let is = |row: &Object, field: &str, value: &str| row.get(field).and_then(Value::as_str) == Some(value);
    known.is_some_and(|row| !is(row, "source", "builtin") || is(row, "digest", digest))
}

async fn write(store: &dyn Store, modules: &Collection, candidates: &[Inspected]) -> Result<(), GatewayError> {
    let mut transaction = store.begin().await?;
    let request = Request::own("installing built-in plugins");
    transaction.sign(Note { request, entities: json!([]) });
    let mut installed = Vec::new();
    for inspected in candidates {
        let name = &inspected.manifest.name;
        // Again, now that no other node writes.
        let known = transaction.get(modules, Key::Unique("name", name)).await?;
        if stays(known.as_ref(), &inspected.digest) {
            continue;
        }
        let row = row(inspected, known.as_ref());
        transaction.put_code(&inspected.digest, &inspected.component).await?;
        match known {
            Some(_) => transaction.update(modules, &row).await?,
            None => transaction.insert(modules, &row).await?,
        }
        installed.push(inspected);
    }
    let version = transaction.commit().await?;
    for inspected in installed {
        let (plugin, digest) = (&inspected.manifest.name, &*inspected.digest);
        tracing::info!(plugin, digest, version, "a built-in plugin was installed");
    }
    Ok(())
}

/// Installs all of them where nothing is kept from one start to the next.
pub(super) async fn install_in_memory(
    store: &MemoryStore,
    core: &Registry,
    catalog: &std::sync::Arc<Catalog>,
) -> Result<(), GatewayError> {
    let modules = core.get("modules").expect("the core registry has modules");
    for (name, bytes) in BUILTINS {
        let inspected = catalog.inspect(bytes.to_vec()).await.map_err(|reasons| GatewayError::Module {
            name: (*name).into(),
            reason: reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        })?;
        let row = row(&inspected, None);
        store.install(modules, &row, &inspected.digest, std::sync::Arc::unwrap_or_clone(inspected.component));
    }
    Ok(())
}

fn row(inspected: &Inspected, known: Option<&Object>) -> Object {
    let now = crate::clock::unix_now().as_secs();
    let requested = inspected.manifest.capabilities.iter();
    let grants: Object = requested.map(|wanted| (wanted.name.clone(), json!(wanted.scope))).collect();
    let before = |field: &str| known.and_then(|row| row.get(field)).cloned();
    let row = json!({
        "id": before("id").unwrap_or_else(|| uuid::Uuid::new_v4().to_string().into()),
        "name": inspected.manifest.name,
        "version": inspected.manifest.version,
        "digest": &*inspected.digest,
        "source": "builtin",
        "size": inspected.component.len(),
        "phases": inspected.phases.names(),
        "imports": inspected.imports,
        "manifest": inspected.manifest,
        "grants": grants,
        "failure_policy": before("failure_policy"),
        "priority": before("priority"),
        "memory_limit": before("memory_limit"),
        "cpu_limit": before("cpu_limit"),
        "fresh": before("fresh").unwrap_or(Value::Bool(false)),
        "created_at": before("created_at").unwrap_or_else(|| now.into()),
        "updated_at": now,
    });
    match row {
        Value::Object(row) => row,
        _ => Object::new(),
    }
}
