//! What the Admin API asks of the plugin host: inspecting modules, knowing plugins, checking configurations.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use serde_json::Value;

use crate::{
    admin::{Modules, Plugins},
    model::{self, ConfigError, Inspected, ModuleState, Object, PluginInfo, Refusal, Registry},
    plugin::{Catalog, LoadedModule},
    snapshot::Deployments,
    store::Delta,
};

/// Plugins by name, with what it takes to check their configurations.
pub(super) struct Desk {
    catalog: Arc<Catalog>,
    deployments: Deployments,
    known: RwLock<HashMap<Arc<str>, Known>>,
}

#[derive(Clone)]
struct Known {
    id: Arc<str>,
    info: Arc<PluginInfo>,
    digest: Arc<str>,
}

impl Desk {
    pub(super) fn new(catalog: Arc<Catalog>, deployments: Deployments) -> Self {
        Self { catalog, deployments, known: RwLock::default() }
    }

    /// Learns what modules a delta brings and forgets those it takes, with the collections that they declare: another
    /// node may have installed or deleted them.
    pub(super) fn follow(&self, registry: &ArcSwap<Registry>, delta: &Delta) {
        let modules = delta.changes.iter().filter(|change| &*change.collection == "modules");
        let (kept, gone): (Vec<_>, Vec<_>) = modules.partition(|change| change.entity.is_some());
        let kept: Vec<&Object> = kept.iter().filter_map(|change| change.entity.as_ref()).collect();
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let here = |id: &str| kept.iter().any(|row| text(row, "id").is_some_and(|kept| &*kept == id));
        let goes = |id: &str| gone.iter().any(|change| &*change.id == id) || delta.full && !here(id);
        let forgotten: Vec<_> = known.extract_if(|_, known| goes(&known.id)).map(|(name, _)| name).collect();
        drop(known);
        kept.iter().for_each(|row| self.learn(row));
        if !forgotten.is_empty() || !kept.is_empty() {
            registry.rcu(|registry| with_declared(registry, &forgotten, &kept));
        }
    }

    fn learn(&self, row: &Object) {
        let [id, name, digest] = ["id", "name", "digest"].map(|field| text(row, field));
        let (Some(id), Some(name), Some(digest)) = (id, name, digest) else { return };
        match PluginInfo::from_manifest(row.get("manifest").unwrap_or(&Value::Null)) {
            Ok(mut info) => {
                let own = row.get("priority").and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
                info.priority = own.unwrap_or(info.priority);
                let known = Known { id, info: Arc::new(info), digest };
                self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name, known);
            }
            Err(error) => tracing::error!(plugin = &*name, %error, "the schema of a module cannot be used"),
        }
    }

    fn get(&self, name: &str) -> Option<Known> {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(name).cloned()
    }

    /// The code of a known plugin: in memory, since its deployment or its inspection keeps it.
    fn code(&self, known: &Known, name: &str) -> Option<Arc<LoadedModule>> {
        let deployed = || self.deployments.get(name)?.ok().map(|deployment| deployment.code.clone());
        self.catalog.known(&known.digest).or_else(deployed)
    }

    /// The plugin sees references as they are, so what it says of them does not count.
    async fn ask(&self, code: &Arc<LoadedModule>, info: &PluginInfo, config: &Value) -> Result<(), Vec<ConfigError>> {
        let Err(errors) = self.catalog.validate(code, &config.to_string()).await else { return Ok(()) };
        let references = references(info, config);
        let mistake = |(path, message): (String, String)| ConfigError { path, message };
        let counts = |(path, _): &(String, String)| !references.contains(path);
        let errors: Vec<ConfigError> = errors.into_iter().filter(counts).map(mistake).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

fn text(row: &Object, field: &str) -> Option<Arc<str>> {
    row.get(field).and_then(Value::as_str).map(Arc::from)
}

/// The registry without the collections of forgotten modules, and with those of the ones there are.
fn with_declared(registry: &Registry, forgotten: &[Arc<str>], kept: &[&Object]) -> Registry {
    let mut registry = registry.clone();
    let names = kept.iter().filter_map(|row| text(row, "name"));
    forgotten.iter().cloned().chain(names).for_each(|name| registry.remove_declared(&name));
    for row in kept {
        match model::declared_collections(row.get("manifest").unwrap_or(&Value::Null)) {
            Ok(collections) => collections.into_iter().for_each(|collection| registry.add(collection)),
            Err(error) => tracing::error!(%error, "the collections of a module cannot be used"),
        }
    }
    registry
}

/// Places in a configuration that hold references to vaults.
fn references(info: &PluginInfo, config: &Value) -> Vec<String> {
    let (mut object, mut places) = (Object::new(), Vec::new());
    object.insert("config".into(), config.clone());
    info.overrides.each_reference(&mut object, &mut |place, _| {
        places.push(place.trim_start_matches("config.").to_owned());
    });
    places
}

fn unavailable(message: &str) -> Vec<ConfigError> {
    vec![ConfigError { path: String::new(), message: message.into() }]
}

#[async_trait]
impl Plugins for Desk {
    fn schema(&self, name: &str) -> Option<Arc<PluginInfo>> {
        self.get(name).map(|known| known.info)
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).keys().cloned().collect()
    }

    async fn validate(&self, name: &str, config: &Value) -> Result<(), Vec<ConfigError>> {
        let Some(known) = self.get(name) else { return Err(unavailable("there is no such plugin")) };
        match self.code(&known, name) {
            Some(code) => self.ask(&code, &known.info, config).await,
            None => Err(unavailable("the code of the plugin is not loaded on this node")),
        }
    }
}

#[async_trait]
impl Modules for Desk {
    async fn inspect(&self, bytes: Vec<u8>) -> Result<Inspected, Vec<Refusal>> {
        let outcome = self.catalog.inspect(bytes).await;
        let inspected =
            outcome.map_err(|reasons| reasons.iter().map(|reason| Refusal(reason.to_string())).collect::<Vec<_>>())?;
        let manifest = serde_json::to_value(&inspected.manifest).map_err(|error| vec![Refusal(error.to_string())])?;
        Ok(Inspected {
            digest: inspected.digest.to_string(),
            component: Arc::unwrap_or_clone(inspected.component),
            manifest,
            phases: inspected.phases.names().into_iter().map(str::to_owned).collect(),
            imports: inspected.imports,
        })
    }

    async fn validate(&self, candidate: &Inspected, config: &Value) -> Result<(), Vec<ConfigError>> {
        let loaded = self.catalog.load(&candidate.digest, candidate.component.clone()).await;
        let info = PluginInfo::from_manifest(&candidate.manifest);
        match loaded {
            Ok(code) => match info {
                Ok(info) => self.ask(&code, &info, config).await,
                Err(error) => Err(unavailable(&error.to_string())),
            },
            Err(_) => Err(unavailable("the module could not be loaded again")),
        }
    }

    async fn install(&self, module: &Object) {
        self.learn(module);
    }

    async fn remove(&self, name: &str) {
        self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner).remove(name);
    }

    fn state(&self, name: &str) -> ModuleState {
        match self.deployments.get(name) {
            None => ModuleState::default(),
            Some(Err(reason)) => ModuleState { quarantined: Some(reason.to_string()), ..ModuleState::default() },
            Some(Ok(deployment)) => {
                let report = deployment.health.report();
                let circuit = report.open_for.map(|left| if left.is_zero() { "half-open" } else { "open" });
                let open = circuit == Some("open");
                ModuleState {
                    quarantined: report.last_reason.filter(|_| open),
                    circuit: circuit.map(str::to_owned),
                    traps: report.failures,
                }
            }
        }
    }
}
