//! Consumers and the entities of plugin-declared collections, indexed for lookups on the request path. Immutable: a part
//! of the snapshot.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::model::{Consumer, Object};

/// A consumer, and what logs say of it.
#[derive(Debug)]
pub struct ConsumerEntry {
    /// The consumer.
    pub consumer: Consumer,
    /// The entity as JSON.
    pub json: Arc<str>,
}

/// An entity of a plugin-declared collection.
#[derive(Debug)]
pub struct Credential {
    /// Primary key.
    pub id: Arc<str>,
    /// Internal name of the collection.
    pub collection: Arc<str>,
    /// Consumer that owns it.
    pub consumer: Option<Arc<str>>,
    /// Every field of the entity.
    pub data: Object,
    /// Seconds since the epoch from which it counts as gone.
    pub expires: Option<u64>,
}

/// Entities of each consumer.
type Owned = HashMap<Arc<str>, Vec<Arc<Credential>>>;

/// The index.
#[derive(Debug, Default)]
pub struct Directory {
    by_id: HashMap<Arc<str>, Arc<ConsumerEntry>>,
    by_username: HashMap<Arc<str>, Arc<ConsumerEntry>>,
    by_key: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Credential>>>,
    /// By collection.
    owned: HashMap<Arc<str>, Owned>,
}

impl Directory {
    /// Adds a consumer.
    pub fn add_consumer(&mut self, entry: ConsumerEntry) {
        let entry = Arc::new(entry);
        if let Some(username) = &entry.consumer.username {
            self.by_username.insert(username.clone(), entry.clone());
        }
        self.by_id.insert(entry.consumer.id.clone(), entry);
    }

    /// Adds an entity under the value of its lookup field, if it has one.
    pub fn add_credential(&mut self, credential: Arc<Credential>, key: Option<&str>) {
        if let Some(key) = key {
            let index = self.by_key.entry(credential.collection.clone()).or_default();
            index.insert(key.into(), credential.clone());
        }
        if let Some(consumer) = &credential.consumer {
            let index = self.owned.entry(credential.collection.clone()).or_default();
            index.entry(consumer.clone()).or_default().push(credential.clone());
        }
    }

    /// A consumer by id.
    pub fn consumer(&self, id: &str) -> Option<&Arc<ConsumerEntry>> {
        self.by_id.get(id)
    }

    /// A consumer by id or username.
    pub fn consumer_named(&self, id_or_username: &str) -> Option<&Arc<ConsumerEntry>> {
        self.by_id.get(id_or_username).or_else(|| self.by_username.get(id_or_username))
    }

    /// The entity of a collection whose lookup field has this value, unless its time to live is over.
    pub fn credential(&self, collection: &str, key: &str) -> Option<&Arc<Credential>> {
        let found = self.by_key.get(collection)?.get(key)?;
        match found.expires {
            Some(at) if seconds_now() >= at => None,
            _ => Some(found),
        }
    }

    /// Entities of a collection that a consumer owns.
    pub fn owned(&self, collection: &str, consumer: &str) -> &[Arc<Credential>] {
        let of_collection = self.owned.get(collection).and_then(|owners| owners.get(consumer));
        of_collection.map_or(&[], Vec::as_slice)
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
