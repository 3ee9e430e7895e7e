//! From the store's deltas to the next snapshot.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{
    Quarantined, RouteEntry, ServiceEntry, Snapshot, UpstreamEntry, certificates,
    chains::{Row, Rows},
    entries,
    modules::Deployments,
    secrets::Secrets,
    state::{PluginShown, RouteShown, State},
};
use crate::{
    model::{Object, Registry},
    plugin::{Catalog, ConsumerEntry, Credential, Directory, Entity, Limits, Plugin, RouteFacts, prepare},
    router::Rule,
    store::{Delta, Store, StoreError},
    tls::Resolver,
    vault::Vaults,
};

/// Why no snapshot could be built. The one there is stays in use.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration could not be read.
    #[error("reading the configuration")]
    Store(#[from] StoreError),
}

/// Keeps the configuration and what was made of it, and builds snapshots.
pub struct Builder {
    store: Arc<dyn Store>,
    registry: Arc<ArcSwap<Registry>>,
    catalog: Arc<Catalog>,
    limits: Limits,
    deployments: Deployments,
    state: State,
    plugins: HashMap<Arc<str>, Known>,
    upstreams: HashMap<Arc<str>, Arc<UpstreamEntry>>,
    directory: Arc<Directory>,
    secrets: Secrets,
    certificates: certificates::Shelf,
    resolver: Option<Arc<Resolver>>,
    last: Arc<Snapshot>,
    told: Option<Told>,
}

/// Who is told of a delta before anything is built of it.
pub type Told = Arc<dyn Fn(&Delta) + Send + Sync>;

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("version", &self.state.version).finish_non_exhaustive()
    }
}

/// A plugin that was prepared, and for what.
#[derive(Debug)]
struct Known {
    entity: Arc<PluginShown>,
    /// With the secrets in it.
    config: Arc<str>,
    deployment: u64,
    plugin: Arc<Plugin>,
}

impl Builder {
    /// Knows nothing yet. `limits` are the defaults of modules.
    pub fn new(store: Arc<dyn Store>, registry: Arc<ArcSwap<Registry>>, catalog: Arc<Catalog>, limits: Limits) -> Self {
        Self {
            store,
            registry,
            catalog,
            limits,
            deployments: Deployments::default(),
            state: State::default(),
            plugins: HashMap::new(),
            upstreams: HashMap::new(),
            directory: Arc::default(),
            secrets: Secrets::new(Vaults::new(None, Duration::from_secs(60))),
            certificates: certificates::Shelf::default(),
            resolver: None,
            last: Arc::new(Snapshot::empty()),
            told: None,
        }
    }

    /// Tells `told` of each delta before anything is built of it: what it declares must be known by then.
    pub fn tell(mut self, told: Told) -> Self {
        self.told = Some(told);
        self
    }

    /// With these vaults in place of those that know no folder.
    #[must_use]
    pub fn with_vaults(mut self, vaults: Vaults) -> Self {
        self.secrets = Secrets::new(vaults);
        self
    }

    /// With this resolver, which gets the certificates of each configuration.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<Resolver>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// What became of the modules.
    pub fn deployments(&self) -> Deployments {
        self.deployments.clone()
    }

    /// The newest snapshot: the last one if nothing changed, else a new one.
    pub async fn refresh(&mut self) -> Result<Arc<Snapshot>, BuildError> {
        let delta = self.store.changes_since(&self.registry.load(), self.state.version).await?;
        let unchanged = delta.version == self.state.version && !delta.full && delta.changes.is_empty();
        if unchanged && !self.secrets.rotate().await {
            return Ok(self.last.clone());
        }
        if let Some(told) = &self.told {
            told(&delta);
        }
        let touched = self.state.apply(delta);
        self.secrets.configure(&self.state);
        self.deployments.update(&self.state.modules, &self.catalog, &*self.store, &self.limits).await;
        let mut quarantined: Vec<Quarantined> = self.state.quarantined().collect();
        let rows = self.rows(&mut quarantined).await;
        let certificates = self.certificates.build(&self.state, &mut self.secrets, &mut quarantined).await;
        if let Some(resolver) = &self.resolver {
            resolver.replace(certificates);
        }
        self.secrets.end_build();
        if touched.upstreams {
            self.upstreams = entries::upstreams(&self.state, &self.upstreams);
        }
        if touched.people {
            self.directory = Arc::new(directory(&self.state, &self.registry.load()));
        }
        let services = self.services(&mut quarantined);
        let routes = self.routes(&rows, &services);
        let (router, rejected) = self.last.router.rebuild(routes);
        let rejected = rejected.into_iter().map(|rejected| Quarantined {
            collection: "routes",
            id: rejected.id,
            reason: rejected.reason.to_string(),
        });
        quarantined.extend(rejected);
        self.last = Arc::new(Snapshot {
            version: self.state.version,
            router,
            global: rows.global(),
            directory: self.directory.clone(),
            quarantined,
        });
        Ok(self.last.clone())
    }

    /// Plugin entities that are enabled, ready or quarantined.
    async fn rows(&mut self, quarantined: &mut Vec<Quarantined>) -> Rows {
        let mut rows = Vec::with_capacity(self.state.plugins.len());
        let mut known = HashMap::with_capacity(self.state.plugins.len());
        for entity in self.state.plugins.values().filter(|entity| entity.plugin.enabled) {
            let id = &entity.plugin.id;
            let deployment = self.deployments.get(&entity.plugin.name);
            let priority = match &deployment {
                Some(Ok(deployment)) => deployment.priority,
                // It refuses; better before the others have worked.
                _ => i32::MAX,
            };
            let kept = self.plugins.remove(id);
            let manifest = deployment.as_ref().and_then(|deployment| Some(&*deployment.as_ref().ok()?.manifest));
            let config = self.secrets.config(entity, manifest).await;
            let (number, plugin) = ready(entity, &config, deployment, kept).await;
            if let Some(reason) = plugin.quarantine() {
                quarantined.push(Quarantined { collection: "plugins", id: id.clone(), reason: reason.to_string() });
            }
            rows.push(row(entity, priority, plugin.clone()));
            known.insert(id.clone(), Known { entity: entity.clone(), config, deployment: number, plugin });
        }
        self.plugins = known;
        Rows::new(rows)
    }

    fn services(&self, quarantined: &mut Vec<Quarantined>) -> BTreeMap<Arc<str>, Arc<ServiceEntry>> {
        let mut services = BTreeMap::new();
        for (id, shown) in &self.state.services {
            match entries::service(shown, &self.upstreams) {
                Ok(entry) => drop(services.insert(id.clone(), Arc::new(entry))),
                Err(reason) => quarantined.push(reason),
            }
        }
        services
    }

    fn routes(&self, rows: &Rows, services: &BTreeMap<Arc<str>, Arc<ServiceEntry>>) -> Vec<(Rule, Arc<RouteEntry>)> {
        let build = |shown: &Arc<RouteShown>| {
            let service = match &shown.route.service {
                Some(reference) => Some(services.get(&reference.id).filter(|service| service.service.enabled)?.clone()),
                None => None,
            };
            Some((rule(shown), Arc::new(route_entry(shown, service, rows))))
        };
        self.state.routes.values().filter_map(build).collect()
    }
}

/// The plugin of an entity: the one there is if nothing changed, else a new one.
async fn ready(
    entity: &Arc<PluginShown>,
    config: &Arc<str>,
    deployment: Option<Result<Arc<crate::plugin::Deployment>, Arc<str>>>,
    kept: Option<Known>,
) -> (u64, Arc<Plugin>) {
    let plugin = &entity.plugin;
    let broken = |reason: Arc<str>| Arc::new(Plugin::quarantined(plugin.id.clone(), plugin.name.clone(), reason));
    let deployment = match deployment {
        Some(Ok(deployment)) => deployment,
        Some(Err(reason)) => return (0, broken(reason)),
        None => return (0, broken("there is no module of this name".into())),
    };
    if let Some(kept) = kept
        && kept.deployment == deployment.id
        && kept.config == *config
        && Arc::ptr_eq(&kept.entity, entity)
    {
        return (kept.deployment, kept.plugin);
    }
    let id = |reference: &Option<crate::model::Id>| reference.as_ref().map(|reference| reference.id.clone());
    let configured = Entity {
        id: plugin.id.clone(),
        config: config.clone(),
        route: id(&plugin.route),
        service: id(&plugin.service),
        consumer: id(&plugin.consumer),
    };
    (deployment.id, prepare(&deployment, configured).await)
}

fn row(entity: &PluginShown, priority: i32, ready: Arc<Plugin>) -> Row {
    let plugin = &entity.plugin;
    let id = |reference: &Option<crate::model::Id>| reference.as_ref().map(|reference| reference.id.clone());
    Row {
        name: plugin.name.clone(),
        priority,
        route: id(&plugin.route),
        service: id(&plugin.service),
        consumer: id(&plugin.consumer),
        plugin: ready,
    }
}

fn rule(shown: &RouteShown) -> Rule {
    let route = &shown.route;
    Rule {
        id: route.id.clone(),
        protocols: route.protocols.clone(),
        methods: route.methods.clone().unwrap_or_default(),
        hosts: route.hosts.clone(),
        paths: route.paths.clone().unwrap_or_default(),
        headers: route.headers.clone().unwrap_or_default(),
        snis: route.snis.clone().unwrap_or_default(),
        regex_priority: route.regex_priority.unwrap_or(0),
    }
}

fn route_entry(shown: &RouteShown, service: Option<Arc<ServiceEntry>>, rows: &Rows) -> RouteEntry {
    let route = &shown.route;
    let of_service = service.as_ref().map(|entry| &entry.service);
    let facts = RouteFacts {
        route_id: Some(route.id.clone()),
        route_name: route.name.clone(),
        service_id: of_service.map(|service| service.id.clone()),
        service_name: of_service.and_then(|service| service.name.clone()),
        route_json: Some(shown.json.clone()),
        service_json: service.as_ref().map(|entry| entry.json.clone()),
    };
    let chain = rows.of_route(&route.id, of_service.map(|service| &*service.id));
    RouteEntry { route: route.clone(), facts: Arc::new(facts), service, chain }
}

/// Consumers and the entities of plugin-declared collections, indexed.
fn directory(state: &State, registry: &Registry) -> Directory {
    let mut directory = Directory::default();
    for shown in state.consumers.values() {
        directory.add_consumer(ConsumerEntry { consumer: shown.entity.clone(), json: shown.json.clone() });
    }
    for (name, entities) in &state.declared {
        let Some(collection) = registry.get(name) else { continue };
        let key = collection.endpoint_key.clone();
        let mut credentials: Vec<Arc<Credential>> =
            entities.iter().map(|(id, entity)| Arc::new(credential(name, id, entity))).collect();
        credentials.sort_by_key(|credential| created_at(&credential.data));
        for credential in credentials {
            let text = key.as_ref().and_then(|key| credential.data.get(&**key)?.as_str()).map(str::to_owned);
            directory.add_credential(credential, text.as_deref());
        }
    }
    directory
}

fn created_at(entity: &Object) -> u64 {
    entity.get("created_at").and_then(serde_json::Value::as_u64).unwrap_or_default()
}

fn credential(collection: &Arc<str>, id: &Arc<str>, entity: &Object) -> Credential {
    let owner = entity.get("consumer").and_then(|reference| reference.get("id")?.as_str());
    let life = entity.get("ttl").and_then(serde_json::Value::as_u64);
    Credential {
        id: id.clone(),
        collection: collection.clone(),
        consumer: owner.map(Arc::from),
        data: entity.clone(),
        expires: life.map(|life| created_at(entity) + life),
    }
}
