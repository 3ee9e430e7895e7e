//! Room for what an import writes: names and keys may pass from one entity to another, also in a circle.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

use super::{
    id,
    identify::{Claim, Name, holder},
};
use crate::{
    model::{Collection, Object},
    store::{Result, Transaction},
};

/// Entities that can be asked to make room.
pub(super) struct Room {
    /// Those that are not as the file has them yet, or go.
    movable: HashSet<Name>,
    /// Those that gave their values away, and have none of their own until they are written.
    parked: HashSet<Name>,
}

impl Room {
    pub(super) fn new(claims: &[Claim], doomed: &[(Arc<Collection>, Object)]) -> Self {
        let claimed = claims.iter().filter_map(|claim| Some((&claim.entity.collection, claim.known.as_ref()?)));
        let doomed = doomed.iter().map(|(collection, stored)| (collection, stored));
        let movable = claimed.chain(doomed).map(|(collection, stored)| name(collection, stored)).collect();
        Self { movable, parked: HashSet::new() }
    }

    /// Frees the unique values that an entity is to have.
    pub(super) async fn make(
        &mut self,
        write: &mut dyn Transaction,
        collection: &Collection,
        object: &Object,
    ) -> Result<()> {
        self.movable.remove(&name(collection, object));
        for group in &collection.unique {
            // Whoever is not to be moved stays, and the store refuses the write with its name.
            if let Some(other) = holder(write, collection, group, object, id(object)).await?
                && self.movable.contains(&name(collection, &other))
                && let Some(parked) = parked(group, &other)
            {
                write.update(collection, &parked).await?;
                self.parked.insert(name(collection, &other));
            }
        }
        Ok(())
    }

    /// Whether an entity must be written, be it as it was.
    pub(super) fn is_parked(&self, collection: &Collection, object: &Object) -> bool {
        self.parked.contains(&name(collection, object))
    }
}

fn name(collection: &Collection, object: &Object) -> Name {
    (collection.name.clone(), id(object).to_owned())
}

/// The entity with other values in a unique group; none where it has no text to change.
fn parked(group: &[Arc<str>], stored: &Object) -> Option<Object> {
    let mut parked = stored.clone();
    let own = format!("parked {}", id(stored));
    for field in group {
        if let Some(Value::String(text)) = parked.get_mut(&**field) {
            text.clone_from(&own);
        }
    }
    (parked != *stored).then_some(parked)
}
