//! `/audit`: who changed what, when and from where; also who tried and was refused.

use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;
use serde_json::{Value, json};

use super::{answer::Answer, call::Call, entities::page, failure::Failure, query, shown};
use crate::store::{Changes, Entry, EntryFilter, EntryPage, Note, Refused, Request};

/// Entities of one write that the log names; the counts tell how many there were.
pub(super) const MOST: usize = 50;

/// What the log keeps about a write that is about to be committed.
pub(super) fn note(call: &Call, changes: &Changes) -> Note {
    let entities = changes.entities.iter().map(|change| shown::brief(call, change)).collect();
    Note { request: request(call), entities: Value::Array(entities) }
}

fn request(call: &Call) -> Request {
    Request {
        actor: call.actor.clone(),
        address: Some(call.peer()),
        method: call.method.to_string(),
        path: call.path.clone(),
    }
}

/// Takes down a write that access control refused.
pub(super) fn refused(call: &Call, status: StatusCode) {
    if !call.is_write() || ![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status) {
        return;
    }
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let refused = Refused { at, request: request(call), status: status.as_u16() };
    if call.context.refusals.try_send(refused).is_err() {
        tracing::warn!(actor = &*call.actor, method = %call.method, path = call.path, "a refused write is not audited: too many of them");
    }
}

/// `GET /audit`
pub(super) async fn list(call: &Call) -> Result<Answer, Failure> {
    let size = query::size(call)?;
    let before = query::offset(call)?.and_then(|place| place.get(0)?.as_u64());
    let filter = filter(call)?;
    let mut entries = call.context.store.entries(&filter, &EntryPage { before, size: size + 1 }).await?;
    let more = entries.len() > size;
    entries.truncate(size);
    let next = entries.last().filter(|_| more).map(|last| json!([last.seq]));
    let data = entries.iter().map(|found| entry(call, found)).collect();
    Ok(page(call, data, next, &[&["size"], FILTERS].concat()))
}

/// Arguments that narrow the listing.
const FILTERS: &[&str] = &["actor", "method", "version", "outcome", "collection", "id", "since", "until"];

fn filter(call: &Call) -> Result<EntryFilter, Failure> {
    let text = |name: &str| call.argument(name).map(str::to_owned);
    let number = |name: &str| match call.argument(name).map(str::parse::<f64>) {
        None => Ok(None),
        Some(Ok(number)) if number.is_finite() => Ok(Some(number)),
        Some(_) => Err(Failure::Bad(format!("{name} must be a number of Unix seconds"))),
    };
    let committed = match call.argument("outcome") {
        None => None,
        Some("committed") => Some(true),
        Some("refused") => Some(false),
        Some(_) => return Err(Failure::Bad("outcome must be 'committed' or 'refused'".to_owned())),
    };
    let entity = match (text("collection"), text("id")) {
        (Some(collection), Some(id)) => {
            call.permit_reading(&collection, &id)?;
            Some((collection, id))
        }
        (None, None) => None,
        _ => return Err(Failure::Bad("collection and id belong together".to_owned())),
    };
    let version = match call.argument("version").map(str::parse::<u32>) {
        None => None,
        Some(Ok(version)) => Some(version.into()),
        Some(Err(_)) => return Err(Failure::Bad("version must be a number".to_owned())),
    };
    let method = text("method").map(|method| method.to_ascii_uppercase());
    let (since, until) = (number("since")?, number("until")?);
    Ok(EntryFilter { committed, actor: text("actor"), method, version, entity, since, until })
}

fn entry(call: &Call, entry: &Entry) -> Value {
    let Request { actor, address, method, path } = &entry.request;
    let outcome = if entry.version.is_some() { "committed" } else { "refused" };
    let (entities, hidden) = shown::legible(call, &entry.entities);
    json!({
        "id": entry.seq,
        "at": entry.at,
        "outcome": outcome,
        "version": entry.version,
        "status": entry.status,
        "actor": actor,
        "address": address,
        "method": method,
        "path": path,
        "changes": shown::counts(&entry.counts),
        "entities": entities,
        "hidden": hidden,
    })
}
