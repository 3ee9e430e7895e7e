//! Accepting an uploaded module, new or in place of another version.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Result, collection, holds_entities, register, taken, text,
    upload::{self, Upload},
    view,
};
use crate::{
    admin::{
        answer::Answer,
        call::{Call, Input},
        context::Modules,
        failure::Failure,
        plugins::{of_plugin, violations},
        read::id_of,
        write::{Fixed, Write, core_collection},
    },
    model::{
        Collection, Inspected, Object, PluginInfo, Reference, Refusal, Registry, Verb, declared_collections,
        schema::{Schema, is_uuid},
    },
    store::Filter,
};

/// A module that was found usable.
pub(super) struct Candidate {
    pub(super) inspected: Inspected,
    info: PluginInfo,
    collections: Vec<Collection>,
    settings: Object,
}

impl Candidate {
    /// The row of the module, its id and times apart.
    pub(super) fn row(&self, schema: &Schema) -> Object {
        let mut object = self.settings.clone();
        upload::typed(schema, &mut object);
        for (field, value) in [
            ("name", json!(self.info.name)),
            ("version", json!(self.info.version)),
            ("digest", json!(self.inspected.digest)),
            ("source", json!("upload")),
            ("size", json!(self.inspected.component.len())),
            ("phases", json!(self.inspected.phases)),
            ("imports", json!(self.inspected.imports)),
            ("manifest", self.inspected.manifest.clone()),
        ] {
            object.insert(field.to_owned(), value);
        }
        object
    }
}

/// `POST /modules`
pub(super) async fn create(call: &mut Call) -> Result<Answer> {
    let candidate = inspect(call).await?;
    let collection = collection(call)?;
    let mut write = begin(call, &collection, &candidate).await?;
    if write.reader().find(&collection, &candidate.info.name).await?.is_some() {
        return Ok(taken(&candidate.info.name));
    }
    let module = store(&mut write, &candidate, None).await?;
    let mut answer = finish(call, write, &candidate, module).await?;
    answer.status = StatusCode::CREATED;
    Ok(answer)
}

/// `PUT /modules/{module}`
pub(super) async fn put(call: &mut Call, key: &str) -> Result<Answer> {
    let candidate = inspect(call).await?;
    let collection = collection(call)?;
    let mut write = begin(call, &collection, &candidate).await?;
    let stored = write.reader().find(&collection, key).await?;
    let expected = match &stored {
        Some(stored) => text(stored, "name"),
        None if is_uuid(key) => return Err(Failure::NotFound),
        None => key,
    };
    let name = &*candidate.info.name;
    if expected != name {
        return Err(Failure::Module(vec![format!("the module calls itself '{name}', not '{expected}'")]));
    }
    if let Some(stored) = &stored {
        fit_configurations(&mut write, &candidate).await?;
        fit_collections(&mut write, &candidate, stored).await?;
    }
    let module = store(&mut write, &candidate, stored.as_ref()).await?;
    finish(call, write, &candidate, module).await
}

/// Begins the write; what another upload took in the meantime is refused here.
async fn begin<'a>(call: &'a Call, collection: &Arc<Collection>, candidate: &Candidate) -> Result<Write<'a>> {
    let write = Write::begin(call, collection).await?;
    let reasons = collisions(&call.context.registry.load(), &candidate.info, &candidate.collections);
    if reasons.is_empty() { Ok(write) } else { Err(Failure::Module(reasons)) }
}

/// Reads the upload and collects every reason to refuse it.
async fn inspect(call: &mut Call) -> Result<Candidate> {
    let upload = upload::read(call).await?;
    if upload::decides(&upload.settings) {
        call.permit(Verb::Grant)?;
    }
    examine(&*call.context.modules, &call.context.registry.load_full(), upload).await
}

/// Collects every reason to refuse a module.
pub(super) async fn examine(modules: &dyn Modules, registry: &Registry, upload: Upload) -> Result<Candidate> {
    let Upload { bytes, mut settings } = upload;
    let refused = |refusals: Vec<Refusal>| Failure::Module(refusals.into_iter().map(|refusal| refusal.0).collect());
    let inspected = modules.inspect(bytes).await.map_err(refused)?;
    let mut reasons = Vec::new();
    let info = PluginInfo::from_manifest(&inspected.manifest).map_err(|error| reasons.push(error.to_string())).ok();
    let collections = declared_collections(&inspected.manifest).map_err(|error| reasons.push(error.to_string()));
    if let (Some(info), Ok(collections)) = (&info, &collections) {
        reasons.extend(collisions(registry, info, collections));
    }
    match (info, collections) {
        (Some(info), Ok(collections)) if reasons.is_empty() => {
            upload::check_settings(&mut settings, &inspected.manifest)?;
            Ok(Candidate { inspected, info, collections, settings })
        }
        _ => Err(Failure::Module(reasons)),
    }
}

/// Names and paths that belong to someone else.
fn collisions(registry: &Registry, info: &PluginInfo, collections: &[Collection]) -> Vec<String> {
    let mut reasons = Vec::new();
    if !is_plugin_name(&info.name) {
        reasons.push(format!("'{}' is no name of a plugin: lower case letters, digits and '-'", info.name));
    }
    let others = || registry.iter().filter(|known| known.declared_by.as_deref() != Some(&*info.name));
    for declared in collections {
        let same = |known: &&Arc<Collection>| known.name == declared.name || known.path == declared.path;
        for known in others().filter(same) {
            let owner = known.declared_by.as_deref().unwrap_or("the gateway");
            reasons.push(format!("the collection '{}' (/{}) belongs to '{owner}'", known.name, known.path));
        }
        let below = |known: &&Arc<Collection>| !same(known) && share_nested_path(known, declared);
        for known in others().filter(below) {
            reasons.push(format!("the nested path of '{}' belongs to '{}'", declared.name, known.name));
        }
        if RESERVED.contains(&&*declared.path) {
            reasons.push(format!("the path /{} belongs to the gateway", declared.path));
        }
    }
    reasons
}

fn share_nested_path(one: &Collection, other: &Collection) -> bool {
    let taken = |reference: &Reference| {
        let same = |known: &Reference| known.to == reference.to && known.nested_path == reference.nested_path;
        reference.nested_path.is_some() && one.references.iter().any(same)
    };
    other.references.iter().any(taken)
}

/// First segments of paths that are no collections.
const RESERVED: [&str; 17] = [
    "admin-access",
    "admin-certificates",
    "admin-roles",
    "admin-tokens",
    "status",
    "endpoints",
    "tags",
    "schemas",
    "debug",
    "clustering",
    "config",
    "cache",
    "timers",
    "metrics",
    "transactions",
    "cluster",
    "audit",
];

fn is_plugin_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Checks every configuration of the plugin against the new version, and stores it with the new defaults.
async fn fit_configurations(write: &mut Write<'_>, candidate: &Candidate) -> Result<()> {
    let name = &candidate.info.name;
    let plugins = core_collection(&write.call.registry, "plugins")?;
    let schema = plugins.schema.with(&candidate.info.overrides);
    let mut reasons = Vec::new();
    for stored in write.reader().all(&plugins, &of_plugin(name)).await? {
        let mut entity = stored.clone();
        schema.complete(&mut entity);
        let config = entity.get("config").unwrap_or(&Value::Null);
        let found = match schema.validate(&entity) {
            Err(found) => Some(found),
            Ok(()) => write.call.context.modules.validate(&candidate.inspected, config).await.err().map(violations),
        };
        match found {
            Some(found) => {
                let id = id_of(&stored);
                reasons.push(format!("the configuration of plugin {id} does not fit: {}", found.list().join("; ")));
            }
            None if entity != stored => write.transaction.update(&plugins, &entity).await?,
            None => {}
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(Failure::Module(reasons)) }
}

/// Refuses a version that drops a collection which holds entities, or that takes other ones.
async fn fit_collections(write: &mut Write<'_>, candidate: &Candidate, stored: &Object) -> Result<()> {
    let manifest = stored.get("manifest").unwrap_or(&Value::Null);
    if manifest["collections"] == candidate.inspected.manifest["collections"] {
        return Ok(());
    }
    let mut reasons = Vec::new();
    for old in declared_collections(manifest).unwrap_or_default() {
        match candidate.collections.iter().find(|new| new.name == old.name && new.path == old.path) {
            Some(new) => reasons.extend(fit_entities(write, &old, new).await?),
            None if holds_entities(write, &old).await? => {
                reasons.push(format!("the collection '{}' has entities and would be gone", old.name));
            }
            None => {}
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(Failure::Module(reasons)) }
}

/// Entities that a refusal names.
const MOST: usize = 50;

/// Checks the entities of a collection against its new description, and stores them with the new defaults.
/// The reasons name them by id: their own names may be secrets.
async fn fit_entities(write: &mut Write<'_>, old: &Collection, new: &Collection) -> Result<Vec<String>> {
    let mut reasons = Vec::new();
    let keys = |collection: &Collection| {
        let owners = collection.references.iter().map(|reference| (reference.field.clone(), reference.to.clone()));
        (collection.unique.clone(), owners.collect::<Vec<_>>())
    };
    if keys(old) != keys(new) && holds_entities(write, old).await? {
        return Ok(vec![format!("the collection '{}' has entities and would get other keys or owners", old.name)]);
    }
    let misfit = |id: &str, why: &str| format!("{id} of the collection '{}' does not fit: {why}", new.name);
    for stored in write.reader().all(old, &Filter::default()).await? {
        let mut entity = stored.clone();
        new.schema.complete(&mut entity);
        if let Err(found) = new.schema.validate(&entity) {
            reasons.push(misfit(id_of(&stored), &found.list().join("; ")));
        } else if entity != stored {
            write.transaction.update(new, &entity).await?;
        }
    }
    let more = reasons.len().saturating_sub(MOST);
    reasons.truncate(MOST);
    if more > 0 {
        reasons.push(format!("{more} more of the collection '{}' do not fit", new.name));
    }
    Ok(reasons)
}

/// Puts bytes and row into the transaction.
async fn store(write: &mut Write<'_>, candidate: &Candidate, stored: Option<&Object>) -> Result<Object> {
    let inspected = &candidate.inspected;
    write.transaction.put_code(&inspected.digest, &inspected.component).await?;
    let object = candidate.row(&write.collection.schema);
    let input = Input { object, form: false };
    match stored {
        // What the operator decided stays unless the upload says otherwise.
        Some(stored) => write.patch(stored, input, Fixed::new()).await,
        None => write.create(input, Fixed::new()).await,
    }
}

async fn finish(call: &Call, write: Write<'_>, candidate: &Candidate, module: Object) -> Result<Answer> {
    let version = write.commit().await?;
    register(&call.context, &candidate.info.name, &candidate.collections);
    call.context.modules.install(&module).await;
    Ok(Answer::ok(view(&call.context, &module)).at(version))
}
