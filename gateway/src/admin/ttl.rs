//! Time to live. Clients say and see the seconds that are left; the store counts from `created_at`.

use std::time::SystemTime;

use serde_json::Value;

use super::failure::Failure;
use crate::model::{Collection, Object, schema::Violations};

const LONGEST: u64 = 100_000_000;

/// Takes `ttl` out of the input of an entity that may have one. `None`: nothing was said. Zero stands for no end.
pub(super) fn take(collection: &Collection, input: &mut Object) -> Result<Option<Option<u64>>, Failure> {
    if !collection.ttl {
        return Ok(None);
    }
    let Some(value) = input.remove("ttl") else { return Ok(None) };
    let seconds = match &value {
        Value::Null => Some(0),
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    match seconds {
        Some(0) => Ok(Some(None)),
        Some(seconds) if seconds <= LONGEST => Ok(Some(Some(seconds))),
        _ => Err(Failure::Options(Violations::one("ttl", format!("must be an integer between 0 and {LONGEST}")))),
    }
}

/// The stored entity as its schema has it.
pub(super) fn without(stored: &Object) -> Object {
    let mut entity = stored.clone();
    entity.remove("ttl");
    entity
}

/// Puts the time to live into the entity to be stored.
pub(super) fn keep(
    collection: &Collection,
    entity: &mut Object,
    life: Option<Option<u64>>,
    stored: Option<&Object>,
    now: SystemTime,
) {
    if !collection.ttl {
        return;
    }
    let age = seconds(now).saturating_sub(created(entity));
    let kept = stored.and_then(|stored| stored.get("ttl")).cloned().unwrap_or(Value::Null);
    let value = life.map_or(kept, |life| life.map(|seconds| seconds + age).into());
    entity.insert("ttl".into(), value);
}

/// The seconds that are left, for an answer.
pub(super) fn present(collection: &Collection, entity: &mut Object, now: SystemTime) {
    if !collection.ttl {
        return;
    }
    let age = seconds(now).saturating_sub(created(entity));
    let left = entity.get("ttl").and_then(Value::as_u64).map(|life| life.saturating_sub(age));
    entity.insert("ttl".into(), left.into());
}

fn created(entity: &Object) -> u64 {
    entity.get("created_at").and_then(Value::as_u64).unwrap_or_default()
}

fn seconds(now: SystemTime) -> u64 {
    crate::clock::unix(now).as_secs()
}
