//! The plugins that come with the gateway. They go through the same door as an upload; what they request they are
//! granted, and the grant is written down in their row like any other.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::GatewayError;
use crate::{
    model::{Collection, Object, Registry},
    plugin::{Catalog, Inspected, digest_of},
    store::{Key, MemoryStore, Note, Request, Store},
};

include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// Installs what is new or has changed since the last start, as one version. A module that an operator put in a
/// built-in's place stays, and so does a later version, which another gateway of the same database brought: while they
/// are being replaced one by one, none takes back what the new ones installed. Of several nodes that start at once, the first installs and the others find it done.
pub(super) async fn install(
    store: &dyn Store,
    core: &Registry,
    catalog: &std::sync::Arc<Catalog>,
) -> Result<(), GatewayError> {
    let modules = core.get("modules").expect("the core registry has modules");
    let mut candidates = Vec::new();
    for (name, bytes) in BUILTINS {
        let known = store.get(modules, Key::Unique("name", name)).await?;
        if !is_same(known.as_ref(), &digest_of(bytes)) {
            let inspected = catalog.inspect(bytes.to_vec()).await.map_err(|reasons| GatewayError::Module {
                name: (*name).into(),
                reason: reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            })?;
            if !stays(known.as_ref(), &inspected.digest, &inspected.manifest.version) {
                candidates.push(inspected);
            }
        }
    }
    if candidates.is_empty() { Ok(()) } else { write(store, modules, &candidates).await }
}

/// Whether the row is of an operator, or of these very bytes.
fn is_same(known: Option<&Object>, digest: &str) -> bool {
    known.is_some_and(|row| text(row, "source") != "builtin" || text(row, "digest") == digest)
}

/// Whether the row, if any, need not be written.
fn stays(known: Option<&Object>, digest: &str, version: &str) -> bool {
    is_same(known, digest) || known.is_some_and(|row| release(text(row, "version")) > release(version))
}

fn text<'a>(row: &'a Object, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The numbers of a version; what is no version is older than any.
fn release(version: &str) -> Option<[u64; 3]> {
    let numbers = version.split(['-', '+']).next()?.split('.').map(str::parse);
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
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
        if stays(known.as_ref(), &inspected.digest, &inspected.manifest.version) {
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
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_an_operators_module_nor_a_later_version_is_replaced() {
        for (source, digest, version, expected) in [
            ("builtin", "a", "1.2.3", true),
            ("builtin", "b", "1.2.3", false),
            ("builtin", "b", "1.2.2", false),
            ("builtin", "b", "1.10.0", true),
            ("builtin", "b", "2.0.0-rc.1", true),
            ("builtin", "b", "no version", false),
            ("upload", "b", "0.0.1", true),
        ] {
            let row = json!({ "source": source, "digest": digest, "version": version });
            assert_eq!(stays(row.as_object(), "a", "1.2.3"), expected, "{row}");
        }
        assert!(!stays(None, "a", "1.2.3"));
    }
}
