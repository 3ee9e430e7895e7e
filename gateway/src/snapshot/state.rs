//! The configuration as the store has it, kept up to date by its deltas, with the typed form of what requests need.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::{
    model::{self, Object},
    plugin::WORKSPACE,
    store::{Delta, Version},
};

use super::Quarantined;

/// Entities by id, read.
pub(super) type Typed<T> = BTreeMap<Arc<str>, Arc<T>>;

/// An entity with the text that access records show of it.
#[derive(Debug)]
pub(super) struct Shown<T> {
    pub(super) entity: T,
    pub(super) json: Arc<str>,
}

/// The configuration.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) version: Version,
    pub(super) services: Typed<Shown<model::Service>>,
    pub(super) routes: Typed<RouteShown>,
    pub(super) consumers: Typed<Shown<model::Consumer>>,
    pub(super) plugins: Typed<PluginShown>,
    pub(super) upstreams: Typed<model::Upstream>,
    pub(super) targets: Typed<model::Target>,
    pub(super) modules: Typed<model::Module>,
    pub(super) vaults: Typed<model::Vault>,
    /// Entities of plugin-declared collections: by collection, then id.
    pub(super) declared: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Object>>,
    /// Entities that cannot be read.
    pub(super) unreadable: BTreeMap<(&'static str, Arc<str>), String>,
}

/// A route, with what logs show of it.
#[derive(Debug)]
pub(super) struct RouteShown {
    pub(super) route: Arc<model::Route>,
    pub(super) json: Arc<str>,
}

/// A plugin entity, with its configuration as plugins get it.
#[derive(Debug)]
pub(super) struct PluginShown {
    pub(super) plugin: model::Plugin,
    pub(super) config: Arc<str>,
}

/// Which parts a delta touched.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) people: bool,
    pub(super) upstreams: bool,
}

impl State {
    /// Takes a delta over.
    pub(super) fn apply(&mut self, delta: Delta) -> Touched {
        if delta.full {
            *self = Self::default();
        }
        let mut touched = Touched { people: delta.full, upstreams: delta.full };
        for change in delta.changes {
            self.change(&change.collection, change.id, change.entity, &mut touched);
        }
        self.version = delta.version;
        touched
    }

    fn change(&mut self, collection: &Arc<str>, id: Arc<str>, entity: Option<Object>, touched: &mut Touched) {
        let bad = &mut self.unreadable;
        match &**collection {
            "services" => put(&mut self.services, bad, ("services", id), entity, shown),
            "routes" => put(&mut self.routes, bad, ("routes", id), entity, route_shown),
            "plugins" => put(&mut self.plugins, bad, ("plugins", id), entity, plugin_shown),
            "modules" => put(&mut self.modules, bad, ("modules", id), entity, plain),
            "vaults" => put(&mut self.vaults, bad, ("vaults", id), entity, plain),
            "consumers" => {
                touched.people = true;
                put(&mut self.consumers, bad, ("consumers", id), entity, consumer_shown);
            }
            "upstreams" => {
                touched.upstreams = true;
                put(&mut self.upstreams, bad, ("upstreams", id), entity, plain);
            }
            "targets" => {
                touched.upstreams = true;
                put(&mut self.targets, bad, ("targets", id), entity, plain);
            }
            _ => {
                touched.people = true;
                let of_collection = self.declared.entry(collection.clone()).or_default();
                match entity {
                    Some(entity) => drop(of_collection.insert(id, entity)),
                    None => drop(of_collection.remove(&id)),
                }
            }
        }
    }

    /// What could not be read, for operators.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = Quarantined> {
        let shown = |((collection, id), reason): (&(&'static str, Arc<str>), &String)| Quarantined {
            collection,
            id: id.clone(),
            reason: reason.clone(),
        };
        self.unreadable.iter().map(shown)
    }
}

type Bad = BTreeMap<(&'static str, Arc<str>), String>;

fn put<T>(
    entities: &mut Typed<T>,
    bad: &mut Bad,
    (collection, id): (&'static str, Arc<str>),
    entity: Option<Object>,
    read: fn(Object) -> serde_json::Result<T>,
) {
    bad.remove(&(collection, id.clone()));
    entities.remove(&id);
    match entity.map(read) {
        None => {}
        Some(Ok(entity)) => drop(entities.insert(id, Arc::new(entity))),
        Some(Err(error)) => drop(bad.insert((collection, id), format!("it cannot be read: {error}"))),
    }
}

fn plain<T: serde::de::DeserializeOwned>(entity: Object) -> serde_json::Result<T> {
    serde_json::from_value(Value::Object(entity))
}

fn shown<T: serde::de::DeserializeOwned>(entity: Object) -> serde_json::Result<Shown<T>> {
    let json = record_of(&entity, true);
    Ok(Shown { entity: plain(entity)?, json })
}

fn consumer_shown(entity: Object) -> serde_json::Result<Shown<model::Consumer>> {
    let json = record_of(&entity, false);
    Ok(Shown { entity: plain(entity)?, json })
}

fn route_shown(entity: Object) -> serde_json::Result<RouteShown> {
    let json = record_of(&entity, true);
    Ok(RouteShown { route: Arc::new(plain(entity)?), json })
}

fn plugin_shown(entity: Object) -> serde_json::Result<PluginShown> {
    let plugin: model::Plugin = plain(entity)?;
    let config = serde_json::to_string(&plugin.config)?.into();
    Ok(PluginShown { plugin, config })
}

/// As Kong's loggers show an entity: without nulls, with the workspace where Kong has it.
fn record_of(entity: &Object, with_workspace: bool) -> Arc<str> {
    let mut shown: Object = entity
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if with_workspace {
        shown.insert("ws_id".into(), WORKSPACE.into());
    }
    Value::Object(shown).to_string().into()
}
