//! Modules of the configuration, deployed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::state::Typed;
use crate::{
    model,
    plugin::{Catalog, Deployment, FailurePolicy, Grants, Limits, LoadedModule, Manifest, Phases, Terms},
    store::Store,
};

/// What became of each module, by the name of its plugin; shared with the Admin API.
#[derive(Debug, Clone, Default)]
pub struct Deployments(Arc<Mutex<HashMap<Arc<str>, Deployed>>>);

#[derive(Debug, Clone)]
struct Deployed {
    module: Arc<model::Module>,
    outcome: Result<Arc<Deployment>, Arc<str>>,
}

impl Deployments {
    /// The deployment of a plugin, or why there is none. `None`: no such module.
    pub fn get(&self, name: &str) -> Option<Result<Arc<Deployment>, Arc<str>>> {
        self.lock().get(name).map(|deployed| deployed.outcome.clone())
    }

    /// Every deployment there is.
    pub fn all(&self) -> Vec<Arc<Deployment>> {
        self.lock().values().filter_map(|deployed| deployed.outcome.clone().ok()).collect()
    }

    /// Deploys what is new or changed and forgets what is gone. A module that cannot be deployed keeps its reason.
    pub(super) async fn update(
        &self,
        modules: &Typed<model::Module>,
        catalog: &Arc<Catalog>,
        store: &dyn Store,
        defaults: &Limits,
    ) {
        let mut next = HashMap::new();
        for module in modules.values() {
            let known = self.lock().get(&module.name).cloned();
            let deployed = match known {
                Some(known) if Arc::ptr_eq(&known.module, module) => known,
                _ => Deployed { module: module.clone(), outcome: deploy(module, catalog, store, defaults).await },
            };
            next.insert(module.name.clone(), deployed);
        }
        *self.lock() = next;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Deployed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn deploy(
    module: &model::Module,
    catalog: &Arc<Catalog>,
    store: &dyn Store,
    defaults: &Limits,
) -> Result<Arc<Deployment>, Arc<str>> {
    let manifest: Manifest =
        serde_json::from_value(module.manifest.clone()).map_err(|error| format!("its manifest: {error}"))?;
    let code = load(module, catalog, store).await?;
    let terms = terms(module, &manifest, code.phases, defaults);
    Ok(catalog.deploy(code, Arc::new(manifest), terms))
}

async fn load(
    module: &model::Module,
    catalog: &Arc<Catalog>,
    store: &dyn Store,
) -> Result<Arc<LoadedModule>, Arc<str>> {
    if let Some(known) = catalog.known(&module.digest) {
        return Ok(known);
    }
    let code = store.code(&module.digest).await.map_err(|error| format!("its code could not be read: {error}"))?;
    let code = code.ok_or("its code is not in the database")?;
    let refused =
        |reasons: Vec<crate::plugin::Refused>| reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    catalog.load(&module.digest, code).await.map_err(|reasons| refused(reasons).into())
}

fn terms(module: &model::Module, manifest: &Manifest, phases: Phases, defaults: &Limits) -> Terms {
    let policy = match module.failure_policy.as_deref() {
        Some("open") => FailurePolicy::Open,
        Some(_) => FailurePolicy::Closed,
        None if phases.decides() => FailurePolicy::Closed,
        None => FailurePolicy::Open,
    };
    let grants: &BTreeMap<_, _> = &module.grants;
    let memory = module.memory_limit.and_then(|bytes| usize::try_from(bytes).ok());
    Terms {
        grants: Grants::intersect(manifest, grants),
        limits: Limits {
            cpu: module.cpu_limit.map_or(defaults.cpu, Duration::from_millis),
            memory: memory.unwrap_or(defaults.memory),
            fresh: module.fresh,
            ..defaults.clone()
        },
        policy,
        priority: module.priority.unwrap_or(manifest.priority),
    }
}
