//! The store as everybody uses it: the database while it is there, what it told last while it is away.

use std::{sync::Arc, time::SystemTime};

use async_trait::async_trait;
use tokio::{sync::Notify, task::spawn_blocking};

use super::{ALL, Resilient, Verdict, transaction::Guarded};
use crate::{
    model::{Collection, Object, Registry},
    store::{Delta, Filter, Key, Page, Result, Rows, Store, StoreError, Transaction, Version},
};

#[async_trait]
impl Store for Resilient {
    async fn version(&self) -> Result<Version> {
        self.ask(|live| async move { live.version().await }, |image| Ok(image.version)).await
    }

    async fn get(&self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        let ask = |live: Arc<dyn Store>| async move { live.get(collection, key).await };
        self.ask(ask, |image| image.get(collection, key)).await
    }

    async fn page(&self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows> {
        let ask = |live: Arc<dyn Store>| async move { live.page(collection, filter, page).await };
        self.ask(ask, |image| image.page(collection, filter, page)).await
    }

    async fn changes_since(&self, registry: &Registry, version: Version) -> Result<Delta> {
        let mut again = false;
        while let Some(live) = self.reachable() {
            let stale = self.is_stale(&**live);
            match live.changes_since(registry, if stale { ALL } else { version }).await {
                Ok(full) if stale => return Ok(self.catch_up(&**live, full, version).await),
                Ok(delta) => {
                    self.take(&delta, version);
                    return Ok(delta);
                }
                Err(error) if again => return Err(error),
                Err(error) => match self.judge(error).await {
                    Verdict::Again => again = true,
                    Verdict::Away => break,
                    Verdict::Failed(error) => return Err(error),
                },
            }
        }
        self.last(version)
    }

    async fn code(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        if self.reachable().is_some() {
            let ask = |live: Arc<dyn Store>| async move { live.code(digest).await };
            match self.ask(ask, |_| Ok(None)).await {
                Ok(None) if self.reachable().is_none() => {}
                answer => return answer,
            }
        }
        let (disk, digest) = (self.disk.clone(), digest.to_owned());
        Ok(spawn_blocking(move || disk.code(&digest)).await.ok().flatten())
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        let live = self.reachable_or_read_only()?;
        let begun = match live.begin().await {
            Ok(begun) => begun,
            Err(busy @ StoreError::Busy(_)) => return Err(busy),
            Err(error) => match self.judge(error).await {
                Verdict::Again => live.begin().await?,
                Verdict::Away => return Err(self.read_only()),
                Verdict::Failed(error) => return Err(error),
            },
        };
        Ok(Box::new(Guarded::new(begun, self.suspicion.clone())))
    }

    async fn once(&self, key: &str, make: String) -> Result<String> {
        if let Some(live) = self.reachable() {
            let text = live.once(key, make).await?;
            self.write().image.values.insert(key.to_owned(), text.clone());
            return Ok(text);
        }
        self.read().image.values.get(key).cloned().ok_or_else(|| self.read_only())
    }

    async fn sweep(&self, registry: &Registry) -> Result<usize> {
        let Some(live) = self.reachable() else { return Ok(0) };
        match live.sweep(registry).await {
            Err(error) => match self.judge(error).await {
                Verdict::Again | Verdict::Away => Ok(0),
                Verdict::Failed(error) => Err(error),
            },
            swept => swept,
        }
    }

    async fn prepare(&self) -> Result<()> {
        self.reachable_or_read_only()?.prepare().await
    }

    async fn watch(&self, changed: Arc<Notify>) {
        let listen = async {
            let mut away = self.away.subscribe();
            // It ends with the gateway: without a sender there is nobody to watch for.
            _ = away.wait_for(|_| self.live.get().is_some()).await;
            if let Some(live) = self.live.get() {
                live.watch(changed.clone()).await;
            }
        };
        tokio::join!(listen, self.guard(&changed));
    }

    async fn close(&self) {
        if let Some(live) = self.live.get() {
            live.close().await;
        }
    }

    fn unreachable_since(&self) -> Option<SystemTime> {
        *self.away.borrow()
    }
}
