//! Consumers and the entities of plugin-declared collections, indexed for lookups on the request path. A clone shares
//! everything with the original; a change to either copies only what it concerns.

use std::{collections::HashMap, sync::Arc};

use rpds::HashTrieMapSync;

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
#[derive(Debug, Clone)]
pub struct Credential {
    /// Primary key.
    pub id: Arc<str>,
    /// Internal name of the collection.
    pub collection: Arc<str>,
    /// Consumer that owns it.
    pub consumer: Option<Arc<str>>,
    /// Every field of the entity, with the secrets that its references stand for.
    pub data: Object,
    /// Seconds since the epoch from which it counts as gone.
    pub expires: Option<u64>,
}

/// The index.
#[derive(Debug, Default, Clone)]
pub struct Directory {
    by_id: HashTrieMapSync<Arc<str>, Arc<ConsumerEntry>>,
    by_username: HashTrieMapSync<Arc<str>, Arc<ConsumerEntry>>,
    credentials: HashMap<Arc<str>, Credentials>,
}

/// The entities of one collection.
#[derive(Debug, Default, Clone)]
struct Credentials {
    by_key: HashTrieMapSync<Arc<str>, Arc<Credential>>,
    /// Entities of each consumer, the oldest first.
    owned: HashTrieMapSync<Arc<str>, Arc<[Arc<Credential>]>>,
}

impl Directory {
    /// Adds a consumer.
    pub fn add_consumer(&mut self, entry: Arc<ConsumerEntry>) {
        if let Some(username) = &entry.consumer.username {
            self.by_username.insert_mut(username.clone(), entry.clone());
        }
        self.by_id.insert_mut(entry.consumer.id.clone(), entry);
    }

    /// Removes a consumer that was added.
    pub fn remove_consumer(&mut self, entry: &ConsumerEntry) {
        if let Some(username) = &entry.consumer.username {
            self.by_username.remove_mut(username);
        }
        self.by_id.remove_mut(&entry.consumer.id);
    }

    /// Adds an entity under the value of its lookup field, if it has one.
    pub fn add_credential(&mut self, credential: Arc<Credential>, key: Option<&str>) {
        let index = self.credentials.entry(credential.collection.clone()).or_default();
        if let Some(key) = key {
            index.by_key.insert_mut(key.into(), credential.clone());
        }
        if let Some(consumer) = &credential.consumer {
            let mut owned = index.owned.get(consumer).map_or_else(Vec::new, |owned| owned.to_vec());
            let at = owned.partition_point(|other| other.age() <= credential.age());
            owned.insert(at, credential.clone());
            index.owned.insert_mut(consumer.clone(), owned.into());
        }
    }

    /// Removes an entity that was added under this value.
    pub fn remove_credential(&mut self, credential: &Credential, key: Option<&str>) {
        let Some(index) = self.credentials.get_mut(&credential.collection) else { return };
        if let Some(key) = key {
            // Two may have one value when both take it from a vault.
            if index.by_key.get(key).is_some_and(|known| known.id == credential.id) {
                index.by_key.remove_mut(key);
            }
        }
        let Some(consumer) = &credential.consumer else { return };
        let owned = index.owned.get(consumer).into_iter().flat_map(|owned| owned.iter());
        let rest: Vec<_> = owned.filter(|other| other.id != credential.id).cloned().collect();
        if rest.is_empty() {
            index.owned.remove_mut(consumer);
        } else {
            index.owned.insert_mut(consumer.clone(), rest.into());
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
        let found = self.credentials.get(collection)?.by_key.get(key)?;
        match found.expires {
            Some(at) if seconds_now() >= at => None,
            _ => Some(found),
        }
    }

    /// Entities of a collection that a consumer owns.
    pub fn owned(&self, collection: &str, consumer: &str) -> &[Arc<Credential>] {
        let of_collection = self.credentials.get(collection).and_then(|index| index.owned.get(consumer));
        of_collection.map_or(&[], |owned| owned)
    }
}

impl Credential {
    /// What orders the entities of a consumer.
    fn age(&self) -> (u64, &str) {
        let created_at = self.data.get("created_at").and_then(serde_json::Value::as_u64);
        (created_at.unwrap_or_default(), &self.id)
    }
}

fn seconds_now() -> u64 {
    crate::clock::unix_now().as_secs()
}
