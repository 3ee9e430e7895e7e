//! A write on a database that may go away in the middle of it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::{
    model::{Collection, Object, Registry},
    store::{Changes, Filter, Key, Note, Page, Result, Rows, StoreError, Transaction, Version},
};

/// Tells whoever watches the database when the connection fails.
pub(super) struct Guarded {
    write: Box<dyn Transaction>,
    suspicion: Arc<Notify>,
}

impl Guarded {
    pub(super) fn new(write: Box<dyn Transaction>, suspicion: Arc<Notify>) -> Self {
        Self { write, suspicion }
    }

    fn seen<T>(&self, answer: Result<T>) -> Result<T> {
        if matches!(answer, Err(StoreError::Unreachable(_))) {
            self.suspicion.notify_one();
        }
        answer
    }
}

#[async_trait]
impl Transaction for Guarded {
    async fn get(&mut self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        let answer = self.write.get(collection, key).await;
        self.seen(answer)
    }

    async fn page(&mut self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows> {
        let answer = self.write.page(collection, filter, page).await;
        self.seen(answer)
    }

    async fn insert(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        let answer = self.write.insert(collection, entity).await;
        self.seen(answer)
    }

    async fn update(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        let answer = self.write.update(collection, entity).await;
        self.seen(answer)
    }

    async fn delete(&mut self, registry: &Registry, collection: &Collection, id: &str) -> Result<bool> {
        let answer = self.write.delete(registry, collection, id).await;
        self.seen(answer)
    }

    async fn put_code(&mut self, digest: &str, bytes: &[u8]) -> Result<()> {
        let answer = self.write.put_code(digest, bytes).await;
        self.seen(answer)
    }

    fn changes(&self, most: usize) -> Result<Changes> {
        self.write.changes(most)
    }

    fn sign(&mut self, note: Note) {
        self.write.sign(note);
    }

    async fn commit(self: Box<Self>) -> Result<Version> {
        let Self { write, suspicion } = *self;
        match write.commit().await {
            Err(StoreError::Unreachable(reason)) => {
                suspicion.notify_one();
                Err(StoreError::Uncertain(reason))
            }
            answer => answer,
        }
    }
}
