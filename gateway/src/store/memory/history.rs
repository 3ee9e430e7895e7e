//! What a gateway without a database remembers: its own report, and the last refused writes. Loads leave no history.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::Value;

use super::{MemoryStore, lock};
use crate::store::{
    Counts, Diff, DiffPage, Entry, EntryFilter, EntryPage, Heard, History, NodeReport, Refused, Result, Store, Version,
};

/// Refused writes that are remembered.
const REMEMBERED: usize = 1_000;

/// Kept in memory, and gone with the process.
#[derive(Debug, Default)]
pub(super) struct Memory {
    refused: Mutex<Refusals>,
    nodes: Mutex<Vec<(NodeReport, Instant)>>,
}

#[derive(Debug, Default)]
struct Refusals {
    last: u64,
    entries: VecDeque<Entry>,
}

impl Refusals {
    fn add(&mut self, write: &Refused) {
        self.last += 1;
        self.entries.push_front(Entry {
            seq: self.last,
            at: write.at,
            version: None,
            request: write.request.clone(),
            status: Some(write.status),
            counts: Counts::default(),
            entities: Value::Array(Vec::new()),
        });
        self.entries.truncate(REMEMBERED);
    }
}

/// Only refused writes are here: no version and no entity can be asked for with success.
fn passes(filter: &EntryFilter, entry: &Entry) -> bool {
    filter.committed != Some(true)
        && filter.version.is_none()
        && filter.entity.is_none()
        && filter.actor.as_deref().is_none_or(|actor| *entry.request.actor == *actor)
        && filter.method.as_deref().is_none_or(|method| entry.request.method == method)
        && filter.since.is_none_or(|since| entry.at >= since)
        && filter.until.is_none_or(|until| entry.at < until)
}

#[async_trait]
impl History for MemoryStore {
    async fn oldest(&self) -> Result<Version> {
        self.version().await
    }

    async fn entries(&self, filter: &EntryFilter, page: &EntryPage) -> Result<Vec<Entry>> {
        let refused = lock(&self.memory.refused);
        let before = |entry: &&Entry| page.before.is_none_or(|before| entry.seq < before);
        let found = refused.entries.iter().filter(before).filter(|entry| passes(filter, entry));
        Ok(found.take(page.size).cloned().collect())
    }

    /// The one version that is known does not differ from itself.
    async fn diff(&self, _from: Version, _to: Version, _page: &DiffPage) -> Result<Diff> {
        Ok(Diff::default())
    }

    async fn refused(&self, writes: &[Refused]) -> Result<()> {
        let mut refused = lock(&self.memory.refused);
        writes.iter().for_each(|write| refused.add(write));
        Ok(())
    }

    async fn report(&self, node: &NodeReport) -> Result<()> {
        let mut nodes = lock(&self.memory.nodes);
        nodes.retain(|(known, _)| known.id != node.id);
        nodes.push((node.clone(), Instant::now()));
        Ok(())
    }

    async fn leave(&self, node: &str) -> Result<()> {
        lock(&self.memory.nodes).retain(|(known, _)| known.id != node);
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<Heard>> {
        let age = |at: &Instant| Duration::as_secs_f64(&at.elapsed());
        let nodes = lock(&self.memory.nodes);
        Ok(nodes.iter().map(|(report, at)| Heard { report: report.clone(), age: age(at) }).collect())
    }
}
