//! The configuration as the store has it, kept up to date by its deltas, with the typed form of what requests need.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    model::{self, AccessRows, Object, VaultReference},
    plugin::{ConsumerEntry, Credential, WORKSPACE},
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
    pub(super) consumers: Typed<ConsumerEntry>,
    pub(super) plugins: Typed<PluginShown>,
    pub(super) upstreams: Typed<model::Upstream>,
    pub(super) targets: Typed<model::Target>,
    /// Ids by what they belong to: a change must not look through everything there is.
    pub(super) members: Members,
    pub(super) certificates: Typed<model::Certificate>,
    pub(super) snis: Typed<model::Sni>,
    pub(super) ca_certificates: Typed<model::CaCertificate>,
    pub(super) modules: Typed<model::Module>,
    pub(super) vaults: Typed<model::Vault>,
    /// Entities of plugin-declared collections: by collection, then id.
    pub(super) declared: BTreeMap<Arc<str>, Typed<Credential>>,
    /// Those of them that may hold references to secrets, as they are written: by collection and id.
    pub(super) referring: BTreeMap<(Arc<str>, Arc<str>), Arc<Credential>>,
    /// Who may use the Admin API.
    pub(super) access: Arc<AccessRows>,
    /// Entities that cannot be read.
    pub(super) unreadable: BTreeMap<(&'static str, Arc<str>), String>,
}

/// Who belongs to whom.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Routes by their service.
    pub(super) routes: Groups,
    /// Services by their host, which may be an upstream's name.
    pub(super) services: Groups,
    /// Targets by their upstream.
    pub(super) targets: Groups,
}

/// Ids by something that they have in common.
#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<Arc<str>, BTreeSet<Arc<str>>>);

impl Groups {
    /// All of a group.
    pub(super) fn of(&self, group: &str) -> impl Iterator<Item = &Arc<str>> {
        self.0.get(group).into_iter().flatten()
    }

    /// Takes an entity out of its group and puts it into another.
    fn turn(&mut self, id: &Arc<str>, before: Option<&Arc<str>>, after: Option<&Arc<str>>) {
        if let Some(group) = before
            && let Some(ids) = self.0.get_mut(group)
        {
            ids.remove(id);
            if ids.is_empty() {
                self.0.remove(group);
            }
        }
        if let Some(group) = after {
            self.0.entry(group.clone()).or_default().insert(id.clone());
        }
    }
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

/// What a delta touched, by id.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Nothing is as it was; the lists are empty then.
    pub(super) everything: bool,
    pub(super) modules: bool,
    pub(super) services: BTreeSet<Arc<str>>,
    pub(super) routes: BTreeSet<Arc<str>>,
    pub(super) plugins: BTreeSet<Arc<str>>,
    /// Also those of which a target was touched.
    pub(super) upstreams: BTreeSet<Arc<str>>,
    pub(super) consumers: Vec<Turn<ConsumerEntry>>,
    pub(super) credentials: Vec<Turn<Credential>>,
    /// Certificates and server names.
    pub(super) certificates: bool,
    pub(super) authorities: BTreeSet<Arc<str>>,
}

/// An entity before a delta and after it.
#[derive(Debug)]
pub(super) struct Turn<T> {
    pub(super) before: Option<Arc<T>>,
    pub(super) after: Option<Arc<T>>,
}

impl<T> Turn<T> {
    /// Something of each of them.
    fn each<'t, U: ?Sized>(&'t self, pick: impl Fn(&'t T) -> Option<&'t U>) -> [Option<&'t U>; 2] {
        [&self.before, &self.after].map(|entity| entity.as_deref().and_then(&pick))
    }
}

impl State {
    /// Takes a delta over.
    pub(super) fn apply(&mut self, delta: Delta) -> Touched {
        let mut touched = Touched::default();
        if delta.full {
            *self = Self::default();
        }
        for change in delta.changes {
            self.change(&change.collection, change.id, change.entity, &mut touched);
        }
        self.version = delta.version;
        if delta.full {
            Touched { everything: true, modules: true, certificates: true, ..Touched::default() }
        } else {
            touched
        }
    }

    fn change(&mut self, collection: &Arc<str>, id: Arc<str>, entity: Option<Object>, touched: &mut Touched) {
        let bad = &mut self.unreadable;
        match &**collection {
            "services" => {
                touched.services.insert(id.clone());
                let turn = put(&mut self.services, bad, ("services", id.clone()), entity, shown::<model::Service>);
                let [before, after] = turn.each(|shown| Some(&shown.entity.host));
                self.members.services.turn(&id, before, after);
            }
            "routes" => {
                touched.routes.insert(id.clone());
                let turn = put(&mut self.routes, bad, ("routes", id.clone()), entity, route_shown);
                let [before, after] = turn.each(|shown| shown.route.service.as_ref().map(|service| &service.id));
                self.members.routes.turn(&id, before, after);
            }
            "plugins" => {
                touched.plugins.insert(id.clone());
                put(&mut self.plugins, bad, ("plugins", id), entity, plugin_shown);
            }
            "modules" => {
                touched.modules = true;
                put(&mut self.modules, bad, ("modules", id), entity, plain);
            }
            "vaults" => {
                put(&mut self.vaults, bad, ("vaults", id), entity, plain);
            }
            "consumers" => {
                let turn = put(&mut self.consumers, bad, ("consumers", id), entity, consumer_entry);
                touched.consumers.push(turn);
            }
            "upstreams" => {
                touched.upstreams.insert(id.clone());
                put(&mut self.upstreams, bad, ("upstreams", id), entity, plain);
            }
            "targets" => {
                let turn = put(&mut self.targets, bad, ("targets", id.clone()), entity, plain::<model::Target>);
                let [before, after] = turn.each(|target| Some(&target.upstream.id));
                self.members.targets.turn(&id, before, after);
                let both = turn.before.into_iter().chain(turn.after);
                touched.upstreams.extend(both.map(|target| target.upstream.id.clone()));
            }
            "certificates" => {
                touched.certificates = true;
                put(&mut self.certificates, bad, ("certificates", id), entity, plain);
            }
            "snis" => {
                touched.certificates = true;
                put(&mut self.snis, bad, ("snis", id), entity, plain);
            }
            "ca_certificates" => {
                touched.authorities.insert(id.clone());
                put(&mut self.ca_certificates, bad, ("ca_certificates", id), entity, plain);
            }
            // Nothing that is served depends on them by itself.
            "keys" | "key_sets" => {}
            access if AccessRows::holds(access) => Arc::make_mut(&mut self.access).put(access, id, entity),
            _ => touched.credentials.push(self.change_declared(collection, id, entity)),
        }
    }

    fn change_declared(&mut self, collection: &Arc<str>, id: Arc<str>, entity: Option<Object>) -> Turn<Credential> {
        let of_collection = self.declared.entry(collection.clone()).or_default();
        let after = entity.map(|entity| Arc::new(credential(collection, &id, entity)));
        let name = (collection.clone(), id.clone());
        match after.as_ref().filter(|after| after.data.values().any(may_refer)) {
            Some(after) => drop(self.referring.insert(name, after.clone())),
            None => drop(self.referring.remove(&name)),
        }
        let before = match &after {
            Some(after) => of_collection.insert(id, after.clone()),
            None => of_collection.remove(&id),
        };
        Turn { before, after }
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

/// Whether a value may hold a reference to a secret.
fn may_refer(value: &Value) -> bool {
    match value {
        Value::String(text) => VaultReference::is_meant(text),
        Value::Array(values) => values.iter().any(may_refer),
        Value::Object(fields) => fields.values().any(may_refer),
        _ => false,
    }
}

type Bad = BTreeMap<(&'static str, Arc<str>), String>;

fn put<T>(
    entities: &mut Typed<T>,
    bad: &mut Bad,
    (collection, id): (&'static str, Arc<str>),
    entity: Option<Object>,
    read: fn(Object) -> serde_json::Result<T>,
) -> Turn<T> {
    bad.remove(&(collection, id.clone()));
    let before = entities.remove(&id);
    let after = match entity.map(read) {
        None => None,
        Some(Ok(entity)) => Some(Arc::new(entity)),
        Some(Err(error)) => {
            bad.insert((collection, id), format!("it cannot be read: {error}"));
            return Turn { before, after: None };
        }
    };
    if let Some(after) = &after {
        entities.insert(id, after.clone());
    }
    Turn { before, after }
}

fn plain<T: serde::de::DeserializeOwned>(entity: Object) -> serde_json::Result<T> {
    serde_json::from_value(Value::Object(entity))
}

fn shown<T: serde::de::DeserializeOwned>(entity: Object) -> serde_json::Result<Shown<T>> {
    let json = record_of(&entity, true);
    Ok(Shown { entity: plain(entity)?, json })
}

fn consumer_entry(entity: Object) -> serde_json::Result<ConsumerEntry> {
    let json = record_of(&entity, false);
    Ok(ConsumerEntry { consumer: plain(entity)?, json })
}

fn credential(collection: &Arc<str>, id: &Arc<str>, entity: Object) -> Credential {
    let owner = entity.get("consumer").and_then(|reference| reference.get("id")?.as_str());
    let seconds = |field| entity.get(field).and_then(Value::as_u64);
    Credential {
        id: id.clone(),
        collection: collection.clone(),
        consumer: owner.map(Arc::from),
        expires: seconds("ttl").map(|life| seconds("created_at").unwrap_or_default() + life),
        data: entity,
    }
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
