//! `/config/versions`: what versions there are, what each changed, and how two of them differ.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    answer::Answer,
    call::Call,
    entities::page,
    failure::{Failure, message},
    query, shown,
};
use crate::store::{DiffPage, EntityChange, Entry, EntryFilter, EntryPage, Request, Version};

type Result<T> = std::result::Result<T, Failure>;

/// `GET /config/versions`, newest first.
pub(super) async fn list(call: &Call) -> Result<Answer> {
    let size = query::size(call)?;
    let before = query::offset(call)?.and_then(|place| place.get(0)?.as_u64());
    let filter = EntryFilter { committed: Some(true), ..EntryFilter::default() };
    let mut entries = call.context.store.entries(&filter, &EntryPage { before, size: size + 1 }).await?;
    let more = entries.len() > size;
    entries.truncate(size);
    let next = entries.last().filter(|_| more).map(|last| json!([last.seq]));
    Ok(page(call, entries.iter().map(|found| entry(call, found)).collect(), next, &["size"]))
}

/// `GET /config/versions/{version}`
pub(super) async fn one(call: &Call, version: &str) -> Result<Answer> {
    let version = Known::read(call).await?.version(version)?;
    let filter = EntryFilter { version: Some(version), ..EntryFilter::default() };
    let found = call.context.store.entries(&filter, &EntryPage { before: None, size: 1 }).await?;
    let entry = found.first().map(|found| entry(call, found)).ok_or(Failure::NotFound)?;
    Ok(Answer::ok(entry).at(version))
}

/// `GET /config/versions/{from}/diff/{to}`
pub(super) async fn diff(call: &Call, from: &str, to: &str) -> Result<Answer> {
    let known = Known::read(call).await?;
    let (from, to) = (known.state(from)?, known.state(to)?);
    let size = query::size(call)?;
    let after = query::offset(call)?.and_then(|place| {
        let text = |at: usize| place.get(at)?.as_str().map(str::to_owned);
        Some((text(0)?, text(1)?))
    });
    let found = call.context.store.diff(from.min(to), from.max(to), &DiffPage { after, size }).await?;
    let turn = |change: EntityChange| if from <= to { change } else { reversed(change) };
    let legible = found.entities.into_iter().filter(|change| call.may_read(&change.collection, &change.id));
    let data = legible.map(|change| shown::change(call, &turn(change))).collect();
    let next = found.next.map(|(collection, id)| json!([collection, id]));
    Ok(page(call, data, next, &["size"]))
}

/// Seen from the later version.
pub(super) fn reversed(change: EntityChange) -> EntityChange {
    EntityChange { before: change.after, after: change.before, ..change }
}

/// The versions that can be named.
pub(super) struct Known {
    /// The oldest whose state is known.
    oldest: Version,
    /// The newest.
    pub(super) newest: Version,
}

impl Known {
    pub(super) async fn read(call: &Call) -> Result<Self> {
        let newest = call.context.store.version().await?;
        Ok(Self { oldest: call.context.store.oldest().await?, newest })
    }

    /// A version that was made and is not forgotten: it has an author.
    fn version(&self, text: &str) -> Result<Version> {
        let version = self.number(text)?;
        if version <= self.oldest { Err(self.forgotten(version)) } else { Ok(version) }
    }

    /// A version whose state can be told: the one before the first that is kept, too.
    pub(super) fn state(&self, text: &str) -> Result<Version> {
        let version = self.number(text)?;
        if version < self.oldest { Err(self.forgotten(version)) } else { Ok(version) }
    }

    fn number(&self, text: &str) -> Result<Version> {
        let version = if text == "current" { Some(self.newest) } else { text.parse().ok() };
        version.filter(|version| *version <= self.newest).ok_or(Failure::NotFound)
    }

    fn forgotten(&self, version: Version) -> Failure {
        let text = format!("the history no longer reaches back to version {version}; it begins after {}", self.oldest);
        Failure::Answered(Box::new(message(StatusCode::GONE, &text)))
    }
}

fn entry(call: &Call, entry: &Entry) -> Value {
    let Request { actor, address, method, path } = &entry.request;
    let counts = &entry.counts;
    let parts = [("created", counts.created), ("updated", counts.updated), ("deleted", counts.deleted)];
    let parts = parts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}"));
    let what = format!("{method} {path}");
    let (entities, hidden) = shown::legible(call, &entry.entities);
    json!({
        "version": entry.version,
        "at": entry.at,
        "actor": actor,
        "address": address,
        "summary": format!("{}: {}", what.trim_start(), parts.collect::<Vec<_>>().join(", ")),
        "changes": shown::counts(counts),
        "entities": entities,
        "hidden": hidden,
    })
}
