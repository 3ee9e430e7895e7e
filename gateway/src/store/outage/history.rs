//! Versions, the audit log, the reports of nodes and marks by hand are in the database alone: while it is away nobody can ask for them.

use std::sync::Arc;

use async_trait::async_trait;

use super::Resilient;
use crate::store::{
    Diff, DiffPage, Entry, EntryFilter, EntryPage, Heard, History, Marks, MarksSince, NodeReport, Refused, Result,
    Store, TargetMark, Version,
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

#[async_trait]
impl Marks for Resilient {
    async fn mark(&self, mark: &TargetMark) -> Result<()> {
        self.ask(|live: Arc<dyn Store>| async move { live.mark(mark).await }, |_| Err(self.read_only())).await
    }

    async fn marks(&self, since: Option<u64>) -> Result<MarksSince> {
        self.ask(|live: Arc<dyn Store>| async move { live.marks(since).await }, |_| Err(self.read_only())).await
    }
}
