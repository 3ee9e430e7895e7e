//! `/config/versions/{version}/rollback`: a new version with the state of an old one.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::{
    answer::Answer,
    call::Call,
    commit,
    failure::Failure,
    modules::{register, unregister},
    plugins, shown, ttl,
    versions::{Known, reversed},
};
use crate::{
    model::{AccessRows, Collection, Object, Registry, Verb, declared_collections},
    store::{DiffPage, EntityChange, Key, Transaction, Version},
};

type Result<T> = std::result::Result<T, Failure>;

/// Entities a look at the history.
const PAGE: usize = 1000;

/// Fields of a module that the binary decides when the module is built in.
const OF_BINARY: [&str; 7] = ["digest", "version", "manifest", "phases", "imports", "size", "updated_at"];

/// `POST /config/versions/{version}/rollback`
pub(super) async fn run(call: &Call, version: &str) -> Result<Answer> {
    // Nobody else writes from here on, so the history that is read is that of the newest version.
    let mut transaction = commit::begin(call).await?;
    let known = Known::read(call).await?;
    let version = known.state(version)?;
    let plan = Plan::read(call, version, known.newest).await?;
    if plan.modules().next().is_some() {
        call.permit(Verb::Upload)?;
        call.permit(Verb::Grant)?;
    }
    plan.check(call).await?;
    plan.apply(&mut *transaction).await?;
    let changes = transaction.changes(commit::SHOWN)?;
    let data: Vec<Value> = changes.entities.iter().map(|change| shown::change(call, change)).collect();
    let made = commit::commit(call, transaction).await?;
    plan.settle(call).await;
    let body = json!({
        "version": made, "rolled_back_to": version, "changes": shown::counts(&changes.counts), "data": data,
    });
    Ok(Answer::ok(body).at(made))
}

/// What has to change: `before` is how it is, `after` how it was.
struct Plan {
    steps: Vec<EntityChange>,
    /// Collections of the present and of the old version.
    registry: Registry,
}

impl Plan {
    async fn read(call: &Call, version: Version, newest: Version) -> Result<Self> {
        let (mut steps, mut after) = (Vec::new(), None);
        loop {
            let page = DiffPage { after: after.take(), size: PAGE };
            let found = call.context.store.diff(version, newest, &page).await?;
            // Who may use the Admin API is no matter of the past: a token that was revoked stays so.
            let entities = found.entities.into_iter().filter(|change| !AccessRows::holds(&change.collection));
            steps.extend(entities.map(reversed).filter_map(own_builtin));
            match found.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        let mut registry = (*call.registry).clone();
        for module in steps.iter().filter(|step| is_module(step)).filter_map(|step| step.after.as_ref()) {
            for declared in collections(module) {
                if registry.get(&declared.name).is_none() {
                    registry.add(declared);
                }
            }
        }
        // Parents before children.
        let mut depths = Vec::new();
        steps.sort_by_cached_key(|step| depth(&registry, &step.collection, &mut depths));
        Ok(Self { steps, registry })
    }

    /// Every reason why the old state cannot be had again.
    async fn check(&self, call: &Call) -> Result<()> {
        let mut reasons = Vec::new();
        let swapped: BTreeSet<&str> = self.modules().filter_map(|(_, step)| name_of(step)).collect();
        for step in &self.steps {
            let Some(entity) = &step.after else { continue };
            let Some(collection) = self.registry.get(&step.collection) else {
                reasons.push(format!("there is no collection '{}' any more", step.collection));
                continue;
            };
            if let Err(reason) = fits(call, collection, entity, &swapped).await? {
                reasons.push(format!("{} {}: {reason}", step.collection, step.id));
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(Failure::Rollback(reasons)) }
    }

    /// New entities first, then changed ones, then those that go: no reference ever leads to nothing. Values that are
    /// unique are freed before, as two entities may have swapped them.
    async fn apply(&self, transaction: &mut dyn Transaction) -> Result<()> {
        for step in &self.steps {
            let collection = self.collection(step)?;
            let Some(parked) = parked(collection, step) else { continue };
            if transaction.get(collection, Key::Id(&step.id)).await?.is_some() {
                transaction.update(collection, &parked).await?;
            }
        }
        for step in self.steps.iter().filter(|step| step.before.is_none()) {
            if let Some(entity) = &step.after {
                transaction.insert(self.collection(step)?, entity).await?;
            }
        }
        for step in self.steps.iter().filter(|step| step.before.is_some()) {
            let (Some(entity), collection) = (&step.after, self.collection(step)?) else { continue };
            // An expired entity may be gone by now.
            match transaction.get(collection, Key::Id(&step.id)).await? {
                Some(_) => transaction.update(collection, entity).await?,
                None => transaction.insert(collection, entity).await?,
            }
        }
        for step in self.steps.iter().rev().filter(|step| step.after.is_none()) {
            transaction.delete(&self.registry, self.collection(step)?, &step.id).await?;
        }
        Ok(())
    }

    /// Makes this node know the modules that it has now.
    async fn settle(&self, call: &Call) {
        for (now, step) in self.modules() {
            let Some(name) = name_of(step) else { continue };
            match now {
                Some(module) => {
                    register(&call.context, name, &collections(module));
                    call.context.modules.install(module).await;
                }
                None => {
                    unregister(&call.context, name);
                    call.context.modules.remove(name).await;
                }
            }
        }
    }

    /// Modules, as they are after the rollback.
    fn modules(&self) -> impl Iterator<Item = (Option<&Object>, &EntityChange)> {
        self.steps.iter().filter(|step| is_module(step)).map(|step| (step.after.as_ref(), step))
    }

    fn collection(&self, step: &EntityChange) -> Result<&Arc<Collection>> {
        let gone = || Failure::Rollback(vec![format!("there is no collection '{}' any more", step.collection)]);
        self.registry.get(&step.collection).ok_or_else(gone)
    }
}

/// Whether an entity of the past is still good: by its schema, its plugin, or the code it needs.
async fn fits(
    call: &Call,
    collection: &Collection,
    entity: &Object,
    swapped: &BTreeSet<&str>,
) -> Result<std::result::Result<(), String>> {
    let text = |field: &str| entity.get(field).and_then(Value::as_str).unwrap_or_default();
    let schema = match &*collection.name {
        "modules" if call.context.store.code(text("digest")).await?.is_none() => {
            return Ok(Err(format!("the code {} of '{}' is gone", text("digest"), text("name"))));
        }
        // Its module changes too: it was checked against that version when it was written.
        "plugins" if swapped.contains(text("name")) => return Ok(Ok(())),
        "plugins" => plugins::schema_for(&call.context, collection, entity, None),
        _ => Ok(collection.schema.clone()),
    };
    let checked = match schema {
        Ok(schema) => schema.validate(&ttl::without(entity)).map_err(Failure::Schema),
        Err(failure) => Err(failure),
    };
    let checked = match checked {
        Ok(()) if &*collection.name == "plugins" => plugins::validate(&call.context, entity).await,
        other => other,
    };
    match checked {
        Ok(()) => Ok(Ok(())),
        Err(Failure::Schema(violations)) => Ok(Err(violations.list().join("; "))),
        Err(failure) => Err(failure),
    }
}

/// The entity as it is, with other values where those it has are unique and about to change.
fn parked(collection: &Collection, step: &EntityChange) -> Option<Object> {
    let before = step.before.as_ref()?;
    let stays = |field: &Arc<str>| step.after.as_ref().is_some_and(|after| after.get(&**field) == before.get(&**field));
    let changing = collection.unique.iter().filter(|group| !group.iter().all(stays));
    let mut parked = before.clone();
    for field in changing.flatten() {
        if let Some(Value::String(text)) = parked.get_mut(&**field) {
            *text = format!("parked {}", step.id);
        }
    }
    (parked != *before).then_some(parked)
}

/// How many collections stand above this one.
fn depth(registry: &Registry, collection: &str, above: &mut Vec<Arc<str>>) -> usize {
    let Some(found) = registry.get(collection) else { return 0 };
    if above.contains(&found.name) {
        return 0;
    }
    above.push(found.name.clone());
    let depths = found.references.iter().map(|reference| depth(registry, &reference.to, above) + 1);
    let deepest = depths.max().unwrap_or(0);
    above.pop();
    deepest
}

/// Modules that are built in belong to the binary: they stay, and so does their code; what operators decided about them
/// is rolled back.
fn own_builtin(step: EntityChange) -> Option<EntityChange> {
    let builtin = |entity: &Object| entity.get("source").is_some_and(|source| source == "builtin");
    match (&step.before, &step.after) {
        (Some(before), None) if is_module(&step) && builtin(before) => None,
        (Some(before), Some(after)) if is_module(&step) && builtin(before) && builtin(after) => {
            let mut merged = after.clone();
            for field in OF_BINARY {
                merged.insert(field.to_owned(), before.get(field).cloned().unwrap_or_default());
            }
            (merged != *before).then(|| EntityChange { after: Some(merged), ..step.clone() })
        }
        _ => Some(step),
    }
}

fn is_module(step: &EntityChange) -> bool {
    &*step.collection == "modules"
}

fn name_of(step: &EntityChange) -> Option<&str> {
    step.after.as_ref().or(step.before.as_ref())?.get("name")?.as_str()
}

fn collections(module: &Object) -> Vec<Collection> {
    declared_collections(module.get("manifest").unwrap_or(&Value::Null)).unwrap_or_default()
}
