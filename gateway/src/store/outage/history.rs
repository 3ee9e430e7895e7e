//! Versions, the audit log and the reports of nodes are in the database alone: while it is away nobody can ask for them.

use std::sync::Arc;

use async_trait::async_trait;

use super::Resilient;
use crate::store::{
    Diff, DiffPage, Entry, EntryFilter, EntryPage, Heard, History, NodeReport, Refused, Result, Store, Version,
};

#[async_trait]
impl History for Resilient {
    async fn oldest(&self) -> Result<Version> {
        self.ask(|live| async move { live.oldest().await }, |_| Err(self.read_only())).await
    }

    async fn entries(&self, filter: &EntryFilter, page: &EntryPage) -> Result<Vec<Entry>> {
        let ask = |live: Arc<dyn Store>| async move { live.entries(filter, page).await };
        self.ask(ask, |_| Err(self.read_only())).await
    }

    async fn diff(&self, from: Version, to: Version, page: &DiffPage) -> Result<Diff> {
        let ask = |live: Arc<dyn Store>| async move { live.diff(from, to, page).await };
        self.ask(ask, |_| Err(self.read_only())).await
    }

    async fn refused(&self, writes: &[Refused]) -> Result<()> {
        self.reachable_or_read_only()?.refused(writes).await
    }

    async fn report(&self, node: &NodeReport) -> Result<()> {
        self.reachable_or_read_only()?.report(node).await
    }

    async fn leave(&self, node: &str) -> Result<()> {
        self.reachable_or_read_only()?.leave(node).await
    }

    async fn nodes(&self) -> Result<Vec<Heard>> {
        self.ask(|live| async move { live.nodes().await }, |_| Err(self.read_only())).await
    }
}
