//! What one write does, gathered until its commit. Equal for every database.

use std::{collections::BTreeMap, sync::Arc};

use super::{Changes, Counts, EntityChange, Note, Request, Result, entity};

/// The changes of a write: each entity once, as it was before the write and as it is now.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    touched: BTreeMap<(Arc<str>, Arc<str>), Sides>,
    note: Option<Note>,
}

/// An entity as stored, before and after.
#[derive(Debug)]
struct Sides {
    before: Option<String>,
    after: Option<String>,
}

/// A row of the history: collection, id and the entity before.
pub(super) type Row<'a> = (&'a str, &'a str, Option<&'a str>);

impl Recorder {
    /// Takes a change down. `before` counts for the first change of an entity alone.
    pub(super) fn record(&mut self, collection: &str, id: &str, before: Option<String>, after: Option<String>) {
        match self.touched.get_mut(&(Arc::from(collection), Arc::from(id))) {
            Some(sides) => sides.after = after,
            None => drop(self.touched.insert((collection.into(), id.into()), Sides { before, after })),
        }
    }

    /// Who writes.
    pub(super) fn sign(&mut self, note: Note) {
        self.note = Some(note);
    }

    /// Who writes; without a signature the gateway itself.
    pub(super) fn note(&mut self) -> Note {
        let own = || Note { request: Request::own("upkeep"), entities: serde_json::json!([]) };
        self.note.take().unwrap_or_else(own)
    }

    /// Whether there is nothing to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.rows().next().is_none()
    }

    /// For the history. What ends as it began is left out.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.net().map(|((collection, id), sides)| (&**collection, &**id, sides.before.as_deref()))
    }

    /// Counts, and the first entities.
    pub(super) fn changes(&self, most: usize) -> Result<Changes> {
        let mut entities = Vec::new();
        for ((collection, id), sides) in self.net().take(most) {
            let parse = |text: &Option<String>| text.as_deref().map(|text| entity::parse(collection, text)).transpose();
            let (before, after) = (parse(&sides.before)?, parse(&sides.after)?);
            entities.push(EntityChange { collection: collection.clone(), id: id.clone(), before, after });
        }
        Ok(Changes { counts: self.counts(), entities })
    }

    /// How many entities are new, changed and gone.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (_, sides) in self.net() {
            match (&sides.before, &sides.after) {
                (None, _) => counts.created += 1,
                (_, None) => counts.deleted += 1,
                _ => counts.updated += 1,
            }
        }
        counts
    }

    fn net(&self) -> impl Iterator<Item = (&(Arc<str>, Arc<str>), &Sides)> {
        self.touched.iter().filter(|(_, sides)| sides.before != sides.after)
    }
}
