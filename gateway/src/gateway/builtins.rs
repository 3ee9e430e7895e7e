//! The plugins that come with the gateway. They go through the same door as an upload; what they request they are
//! granted, and the grant is written down in their row like any other.
//!
//! Which of two builds counts is up to the version, so that gateways that share a database come to the same end in
//! whatever order they start. Builds of one version are not told apart: where others share the database the first stays,
//! and they do not take turns at each restart; a database of the gateway's own gets what the binary has, as whoever
//! builds one expects.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::GatewayError;
use crate::{
    model::{Collection, Object, Registry},
    plugin::{Catalog, Inspected, digest_of},
    store::{Key, MemoryStore, Note, Request, Store},
};

include!(concat!(env!("OUT_DIR"), "/builtins.rs"));

/// Whose database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// This gateway's alone.
    Own,
    /// Other gateways may use it, built from something else.
    Shared,
}

/// Installs what is new or has changed since the last start, as one version. A module that an operator put in a
/// built-in's place stays, and so does a later version, which another gateway of the same database brought: while they
/// are being replaced one by one, none takes back what the new ones installed. Of several nodes that start at once, the
/// first installs and the others find it done.
pub(super) async fn install(
    store: &dyn Store,
    core: &Registry,
    catalog: &std::sync::Arc<Catalog>,
    sharing: Sharing,
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
            if stays(known.as_ref(), &inspected, sharing) {
                tell(known.as_ref(), &inspected);
            } else {
                candidates.push(inspected);
            }
        }
    }
    if candidates.is_empty() { Ok(()) } else { write(store, modules, &candidates, sharing).await }
}

/// Whether the row is of an operator, or of these very bytes.
fn is_same(known: Option<&Object>, digest: &str) -> bool {
    known.is_some_and(|row| text(row, "source") != "builtin" || text(row, "digest") == digest)
}

/// Whether the row, if any, need not be written.
fn stays(known: Option<&Object>, own: &Inspected, sharing: Sharing) -> bool {
    outlasts(known, &own.digest, &own.manifest.version, sharing)
}

fn outlasts(known: Option<&Object>, digest: &str, version: &str, sharing: Sharing) -> bool {
    let is_ahead = |row: &Object| match precedence(text(row, "version")).cmp(&precedence(version)) {
        Ordering::Greater => true,
        Ordering::Equal => sharing == Sharing::Shared,
        Ordering::Less => false,
    };
    is_same(known, digest) || known.is_some_and(is_ahead)
}

/// Says that the database has something else than this binary.
fn tell(known: Option<&Object>, own: &Inspected) {
    let Some(row) = known else { return };
    let (plugin, digest, own_digest) = (&own.manifest.name, text(row, "digest"), &*own.digest);
    let (version, own_version) = (text(row, "version"), &*own.manifest.version);
    tracing::warn!(plugin, version, digest, own_version, own_digest, "a built-in plugin of another build stays");
}

fn text<'a>(row: &'a Object, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// What orders versions (semver.org §11); what is no version is older than any.
type Precedence = Option<([u64; 3], bool, Vec<Identifier>)>;

/// A part of what follows the numbers of a version before its release.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Text(String),
}

fn precedence(version: &str) -> Precedence {
    let version = version.split('+').next()?;
    let (release, before) =
        version.split_once('-').map_or((version, None), |(release, before)| (release, Some(before)));
    let numbers: Vec<u64> = release.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    let identifier = |text: &str| text.parse().map_or_else(|_| Identifier::Text(text.to_owned()), Identifier::Number);
    let identifiers = before.into_iter().flat_map(|before| before.split('.')).map(identifier).collect();
    Some((numbers.try_into().ok()?, before.is_none(), identifiers))
}

async fn write(
    store: &dyn Store,
    modules: &Collection,
    candidates: &[Inspected],
    sharing: Sharing,
) -> Result<(), GatewayError> {
    let mut transaction = store.begin().await?;
    let request = Request::own("installing built-in plugins");
    transaction.sign(Note { request, entities: json!([]) });
    let mut installed = Vec::new();
    for inspected in candidates {
        let name = &inspected.manifest.name;
        // Again, now that no other node writes.
        let known = transaction.get(modules, Key::Unique("name", name)).await?;
        if stays(known.as_ref(), inspected, sharing) {
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

/// What a new version of a built-in may: what it asks for, but for what an operator has narrowed or taken from the one before.
fn grants(mut requested: Object, known: Option<&Object>) -> Object {
    let Some(known) = known else { return requested };
    let asked = known.get("manifest").and_then(|manifest| manifest.get("capabilities")).and_then(Value::as_array);
    for wanted in asked.into_iter().flatten() {
        let Some(name) = wanted.get("name").and_then(Value::as_str) else { continue };
        match known.get("grants").and_then(|grants| grants.get(name)) {
            // Nobody has touched it.
            Some(granted) if Some(granted) == wanted.get("scope") => {}
            Some(granted) if requested.contains_key(name) => drop(requested.insert(name.to_owned(), granted.clone())),
            Some(_) => {}
            None => drop(requested.remove(name)),
        }
    }
    requested
}

fn row(inspected: &Inspected, known: Option<&Object>) -> Object {
    let now = crate::clock::unix_now().as_secs();
    let requested = inspected.manifest.capabilities.iter().map(|wanted| (wanted.name.clone(), json!(wanted.scope)));
    let grants = grants(requested.collect(), known);
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
        for (source, digest, version, own, shared) in [
            ("builtin", "a", "1.2.3", true, true),
            ("builtin", "b", "1.2.3", false, true),
            ("builtin", "b", "1.2.3+build.9", false, true),
            ("builtin", "b", "1.2.3-rc.1", false, false),
            ("builtin", "b", "1.2.2", false, false),
            ("builtin", "b", "1.10.0", true, true),
            ("builtin", "b", "2.0.0-rc.1", true, true),
            ("builtin", "b", "no version", false, false),
            ("upload", "b", "0.0.1", true, true),
        ] {
            let row = json!({ "source": source, "digest": digest, "version": version });
            for (sharing, expected) in [(Sharing::Own, own), (Sharing::Shared, shared)] {
                assert_eq!(outlasts(row.as_object(), "a", "1.2.3", sharing), expected, "{sharing:?}: {row}");
            }
        }
        assert!(!outlasts(None, "a", "1.2.3", Sharing::Shared));
    }

    #[test]
    fn what_an_operator_took_from_a_built_in_is_not_given_to_its_next_version() {
        let known = json!({
            "manifest": { "capabilities": [
                { "name": "kept", "scope": ["a"] },
                { "name": "narrowed", "scope": ["a", "b"] },
                { "name": "taken", "scope": null },
                { "name": "no longer asked for", "scope": null },
            ] },
            "grants": { "kept": ["a"], "narrowed": ["a"], "no longer asked for": null },
        });
        let requested = json!({ "kept": ["a", "c"], "narrowed": ["a", "b"], "taken": null, "new": null });
        let requested = requested.as_object().unwrap();
        let expected = json!({ "kept": ["a", "c"], "narrowed": ["a"], "new": null });
        assert_eq!(Value::Object(grants(requested.clone(), known.as_object())), expected);
        assert_eq!(&grants(requested.clone(), None), requested);
    }

    #[test]
    fn versions_have_the_order_of_semver() {
        let ordered = [
            "none",
            "0.9.9",
            "1.0.0-1",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
        ];
        assert!(ordered.windows(2).all(|pair| precedence(pair[0]) < precedence(pair[1])));
        assert_eq!(precedence("1.0.0+a"), precedence("1.0.0+b"));
    }
}
