//! Deleting what a file does not have: children before their parents.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

use super::{
    id,
    identify::{Claim, Name},
    import::called,
};
use crate::{
    model::{Collection, Object, Registry},
    store::{Filter, Page, Result, Transaction},
};

/// What becomes of the entities that a file does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Others {
    /// They stay.
    Keep,
    /// Those that have all of these tags are deleted.
    Delete(Vec<String>),
}

/// Code is no part of files.
const SPARED: &str = "modules";

/// An entity that goes.
pub(super) type Doomed = (Arc<Collection>, Object);

/// What is to be deleted, in the order of it.
pub(super) async fn doomed(
    write: &mut dyn Transaction,
    registry: &Registry,
    others: &Others,
    claims: &[Claim],
) -> Result<Vec<Doomed>> {
    let Others::Delete(tags) = others else { return Ok(Vec::new()) };
    let kept: HashSet<Name> = claims.iter().map(name).collect();
    let collections: Vec<_> = registry.iter().filter(|collection| &*collection.name != SPARED).cloned().collect();
    let mut doomed = Vec::new();
    for collection in collections.into_iter().rev() {
        let mut stored = all(write, &collection).await?;
        let goes = |stored: &Object| {
            !kept.contains(&(collection.name.clone(), id(stored).to_owned())) && has_all(stored, tags)
        };
        stored.retain(goes);
        stored.sort_by_cached_key(|stored| called(&collection, stored));
        doomed.extend(stored.into_iter().map(|stored| (collection.clone(), stored)));
    }
    Ok(doomed)
}

/// Deletes them. Answers with those that were still there: some go with their parents.
pub(super) async fn delete(
    write: &mut dyn Transaction,
    registry: &Registry,
    doomed: Vec<Doomed>,
) -> Result<Vec<(Arc<str>, String)>> {
    let mut deleted = Vec::with_capacity(doomed.len());
    for (collection, stored) in doomed {
        if write.delete(registry, &collection, id(&stored)).await? {
            deleted.push((collection.name.clone(), called(&collection, &stored)));
        }
    }
    Ok(deleted)
}

fn name(claim: &Claim) -> Name {
    (claim.entity.collection.name.clone(), id(&claim.entity.object).to_owned())
}

fn has_all(stored: &Object, tags: &[String]) -> bool {
    let listed = stored.get("tags").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    tags.iter().all(|tag| listed.iter().any(|listed| listed == tag))
}

async fn all(write: &mut dyn Transaction, collection: &Collection) -> Result<Vec<Object>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let rows = write.page(collection, &Filter::default(), &Page { after: after.take(), size: 1000 }).await?;
        found.extend(rows.rows);
        match rows.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}
