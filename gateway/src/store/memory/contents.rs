//! Everything of one moment, with the version in which each entity changed last.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::EMPTY_HASH;
use crate::{
    model::{Collection, Object},
    store::{Change, Delta, Version, entity},
};

/// Deleted entities that are remembered.
const MOST_GONE: usize = 100_000;
/// What a load writes anew even where nothing else is new.
const TIMES: [&str; 2] = ["created_at", "updated_at"];

/// An entity, and when it changed.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) entity: Arc<Object>,
    pub(super) expires_at: Option<f64>,
    changed: Version,
}

impl Kept {
    pub(super) fn is_alive(&self, now: f64) -> bool {
        self.expires_at.is_none_or(|end| end > now)
    }
}

/// A configuration.
#[derive(Debug, Clone)]
pub(super) struct Contents {
    pub(super) version: Version,
    pub(super) hash: Arc<str>,
    /// By collection, then id.
    pub(super) entities: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Kept>>,
    /// What was deleted, and in which version.
    gone: BTreeMap<(Arc<str>, Arc<str>), Version>,
    /// Deletions up to this version are forgotten.
    history_from: Version,
}

impl Default for Contents {
    fn default() -> Self {
        let (entities, gone) = (BTreeMap::new(), BTreeMap::new());
        Self { version: 0, hash: EMPTY_HASH.into(), entities, gone, history_from: 0 }
    }
}

impl Contents {
    /// Skips to this version, unless it is there already. What changed before is not told apart any more.
    pub(super) fn go_on_from(&mut self, version: Version) {
        if version > self.version {
            (self.version, self.history_from) = (version, version);
        }
    }

    /// The version that changes will belong to. Answers the one before.
    pub(super) fn begin(&mut self) -> Version {
        self.version += 1;
        self.version - 1
    }

    /// Takes the new version back if nothing changed, and forgets old deletions if there are too many.
    pub(super) fn end(&mut self, before: Version) -> Version {
        let changed = self.entities.values().flat_map(BTreeMap::values).any(|kept| kept.changed == self.version)
            || self.gone.values().any(|version| *version == self.version);
        if !changed {
            self.version = before;
        }
        if self.gone.len() > MOST_GONE {
            self.gone.clear();
            self.history_from = self.version;
        }
        self.version
    }

    pub(super) fn put(&mut self, collection: &Collection, entity: &Object) {
        let id: Arc<str> = entity::id(entity).into();
        let of_collection = self.entities.entry(collection.name.clone()).or_default();
        if of_collection.get(&id).is_some_and(|known| is_same(&known.entity, entity)) {
            return;
        }
        self.gone.remove(&(collection.name.clone(), id.clone()));
        let expires_at = entity::expires_at(collection, entity);
        of_collection.insert(id, Kept { entity: Arc::new(entity.clone()), expires_at, changed: self.version });
    }

    /// These, and no others but modules.
    pub(super) fn replace(&mut self, entities: &[(Arc<Collection>, Object)]) {
        let kept: HashSet<(&str, &str)> =
            entities.iter().map(|(collection, entity)| (&*collection.name, entity::id(entity))).collect();
        self.remove(|collection, id, _| collection != "modules" && !kept.contains(&(collection, id)));
        entities.iter().for_each(|(collection, entity)| self.put(collection, entity));
    }

    pub(super) fn has_expired(&self) -> bool {
        let now = now();
        self.entities.values().flat_map(BTreeMap::values).any(|kept| !kept.is_alive(now))
    }

    pub(super) fn sweep(&mut self) -> usize {
        let now = now();
        self.remove(|_, _, kept| !kept.is_alive(now))
    }

    fn remove(&mut self, goes: impl Fn(&str, &str, &Kept) -> bool) -> usize {
        let (version, gone) = (self.version, &mut self.gone);
        let before = gone.len();
        for (collection, entities) in &mut self.entities {
            entities.retain(|id, kept| {
                let goes = goes(collection, id, kept);
                if goes {
                    gone.insert((collection.clone(), id.clone()), version);
                }
                !goes
            });
        }
        gone.len() - before
    }

    pub(super) fn changes_since(&self, version: Version) -> Delta {
        let full = version < self.history_from || version > self.version || version == 0;
        let now = now();
        let mut changes = Vec::new();
        for (collection, entities) in &self.entities {
            let newer = entities.iter().filter(|(_, kept)| kept.is_alive(now) && (full || kept.changed > version));
            changes.extend(newer.map(|(id, kept)| Change {
                collection: collection.clone(),
                id: id.clone(),
                entity: Some(Object::clone(&kept.entity)),
            }));
        }
        let gone = self.gone.iter().filter(|(_, at)| !full && **at > version);
        changes.extend(gone.map(|((collection, id), _)| Change {
            collection: collection.clone(),
            id: id.clone(),
            entity: None,
        }));
        Delta { version: self.version, full, changes }
    }
}

/// Unix seconds.
pub(super) fn now() -> f64 {
    crate::clock::unix_now().as_secs_f64()
}

fn is_same(known: &Object, new: &Object) -> bool {
    let rest = |entity: &Object| entity.keys().filter(|name| !TIMES.contains(&name.as_str())).count();
    rest(known) == rest(new)
        && known.iter().filter(|(name, _)| !TIMES.contains(&name.as_str())).all(|(name, value)| {
            // Order counts in lists only.
            new.get(name).unwrap_or(&Value::Null) == value
        })
}
