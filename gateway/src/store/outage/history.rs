//! Versions, the audit log and the reports of nodes: the database has them alone.

use async_trait::async_trait;

use super::{Resilient, Verdict};
use crate::store::{
    Diff, DiffPage, Entry, EntryFilter, EntryPage, Heard, History, NodeReport, Refused, Result, Store, Version,
};

impl Resilient {
    /// What the database answered, or that it is away.
    async fn only<T>(&self, answer: Result<T>) -> Result<T> {
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => match self.judge(error).await {
                Verdict::Failed(error) | Verdict::Again(error) => Err(error),
                Verdict::Away => Err(self.read_only()),
            },
        }
    }
}

#[async_trait]
impl History for Resilient {
    async fn oldest(&self) -> Result<Version> {
        self.only(self.reachable_or_read_only()?.oldest().await).await
    }

    async fn entries(&self, filter: &EntryFilter, page: &EntryPage) -> Result<Vec<Entry>> {
        self.only(self.reachable_or_read_only()?.entries(filter, page).await).await
    }

    async fn diff(&self, from: Version, to: Version, page: &DiffPage) -> Result<Diff> {
        self.only(self.reachable_or_read_only()?.diff(from, to, page).await).await
    }

    async fn refused(&self, writes: &[Refused]) -> Result<()> {
        self.only(self.reachable_or_read_only()?.refused(writes).await).await
    }

    async fn report(&self, node: &NodeReport) -> Result<()> {
        self.only(self.reachable_or_read_only()?.report(node).await).await
    }

    async fn leave(&self, node: &str) -> Result<()> {
        self.only(self.reachable_or_read_only()?.leave(node).await).await
    }

    async fn nodes(&self) -> Result<Vec<Heard>> {
        self.only(self.reachable_or_read_only()?.nodes().await).await
    }
}
