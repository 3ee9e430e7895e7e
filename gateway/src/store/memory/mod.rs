//! A configuration without a database: what a declarative file says, in memory. A load replaces all of it in one step;
//! single writes are refused.

mod contents;
mod history;
mod read;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::Notify;

use self::{contents::Contents, history::Memory, read::Reading};
use super::{Delta, Filter, Key, Page, Result, Rows, Store, Transaction, Version};
use crate::model::{Collection, Object, Registry};

/// The hash of an empty configuration.
pub const EMPTY_HASH: &str = "00000000000000000000000000000000";

/// The configuration of a gateway that has no database.
#[derive(Debug)]
pub struct MemoryStore {
    contents: ArcSwap<Contents>,
    /// Held by whoever makes the next contents.
    writing: Mutex<()>,
    code: Mutex<HashMap<String, Arc<Vec<u8>>>>,
    once: Mutex<HashMap<String, String>>,
    memory: Memory,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            contents: ArcSwap::from_pointee(Contents::default()),
            writing: Mutex::default(),
            code: Mutex::default(),
            once: Mutex::default(),
            memory: Memory::default(),
        }
    }
}

impl MemoryStore {
    /// Keeps a module: its row, its digest and its code.
    pub fn install(&self, collection: &Collection, row: &Object, digest: &str, code: Vec<u8>) -> Version {
        lock(&self.code).insert(digest.to_owned(), Arc::new(code));
        self.change(|contents| contents.put(collection, row))
    }

    /// Puts these entities in place of all there are, but modules. Entities that only differ in the times of their
    /// writing count as the same. `hash` is that of the text they come from. Answers the version that serves them.
    pub fn replace(&self, entities: &[(Arc<Collection>, Object)], hash: &str) -> Version {
        self.change(|contents| {
            contents.hash = hash.into();
            contents.replace(entities);
        })
    }

    /// The version that is served.
    pub fn contents_version(&self) -> Version {
        self.contents.load().version
    }

    /// Changes from now on make versions that are greater than this one: another process had it.
    pub fn go_on_from(&self, version: Version) {
        let _writing = lock(&self.writing);
        let mut contents = Contents::clone(&self.contents.load());
        contents.go_on_from(version);
        self.contents.store(Arc::new(contents));
    }

    /// What there is came from the text with this hash.
    pub fn set_hash(&self, hash: &str) {
        self.change(|contents| contents.hash = hash.into());
    }

    /// The hash of the text that was loaded last; zeros if there was none.
    pub fn hash(&self) -> Arc<str> {
        self.contents.load().hash.clone()
    }

    /// Removes what has expired. Answers how many entities there were.
    fn expired_sweep(&self) -> usize {
        if !self.contents.load().has_expired() {
            return 0;
        }
        let mut expired = 0;
        self.change(|contents| expired = contents.sweep());
        expired
    }

    /// Makes the next contents, with one more version if anything in them is different.
    fn change(&self, make: impl FnOnce(&mut Contents)) -> Version {
        let _writing = lock(&self.writing);
        let mut contents = Contents::clone(&self.contents.load());
        let version = contents.begin();
        make(&mut contents);
        let version = contents.end(version);
        self.contents.store(Arc::new(contents));
        version
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Store for MemoryStore {
    async fn version(&self) -> Result<Version> {
        Ok(self.contents_version())
    }

    async fn get(&self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        Ok(read::get(&self.contents.load(), collection, key))
    }

    async fn page(&self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows> {
        Ok(read::page(&self.contents.load(), collection, filter, page))
    }

    async fn changes_since(&self, _registry: &Registry, version: Version) -> Result<Delta> {
        Ok(self.contents.load().changes_since(version))
    }

    async fn code(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        let code = lock(&self.code).get(digest).cloned();
        Ok(code.map(Arc::unwrap_or_clone))
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        Ok(Box::new(Reading::of(self.contents.load_full())))
    }

    async fn once(&self, key: &str, make: String) -> Result<String> {
        Ok(lock(&self.once).entry(key.to_owned()).or_insert(make).clone())
    }

    async fn sweep(&self, _registry: &Registry) -> Result<usize> {
        Ok(self.expired_sweep())
    }

    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    /// Who loads gives word.
    async fn watch(&self, _changed: Arc<Notify>) {
        std::future::pending().await
    }

    async fn close(&self) {}
}
