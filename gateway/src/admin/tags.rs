//! `/tags`: which entity has which tag, over all collections.

use serde_json::{Value, json};

use super::{
    answer::Answer,
    call::Call,
    entities::{REPEATED, page},
    failure::Failure,
    query,
    read::id_of,
};
use crate::store::{Filter, Page, Tags};

/// Where a page of tags begins: collection, entity after which, tags of the next entity to leave out.
struct Place {
    collection: String,
    after: Option<String>,
    skip: usize,
}

/// `GET /tags` and `GET /tags/{tag}`
pub(super) async fn list(call: &Call, only: Option<&str>) -> Result<Answer, Failure> {
    let size = query::size(call)?;
    let begin = query::offset(call)?.and_then(|place| Place::read(&place));
    let filter = Filter { tags: only.map(|tag| Tags::All(vec![tag.to_owned()])), ..Filter::default() };
    let mut data = Vec::new();
    let mut waiting = begin.as_ref().map(|place| place.collection.clone());
    for collection in call.registry.iter() {
        if waiting.as_deref().is_some_and(|name| name != &*collection.name) {
            continue;
        }
        let resumed = waiting.take().and(begin.as_ref());
        let (mut after, mut skip) = resumed.map_or((None, 0), |place| (place.after.clone(), place.skip));
        loop {
            let rows = call.context.store.page(collection, &filter, &Page { after: after.clone(), size: 1000 }).await?;
            for entity in &rows.rows {
                let tags = entity.get("tags").and_then(Value::as_array).into_iter().flatten();
                let wanted = tags.filter(|tag| only.is_none_or(|only| *tag == only)).enumerate().skip(skip);
                for (at, tag) in wanted {
                    if data.len() == size {
                        let place = json!([collection.name, after, at]);
                        return Ok(page(call, data, Some(place), REPEATED));
                    }
                    data.push(json!({ "tag": tag, "entity_name": collection.name, "entity_id": id_of(entity) }));
                }
                skip = 0;
                after = Some(id_of(entity).to_owned());
            }
            if rows.next.is_none() {
                break;
            }
        }
    }
    Ok(page(call, data, None, REPEATED))
}

impl Place {
    fn read(place: &Value) -> Option<Self> {
        let collection = place.get(0)?.as_str()?.to_owned();
        let after = place.get(1)?.as_str().map(str::to_owned);
        let skip = usize::try_from(place.get(2)?.as_u64()?).ok()?;
        Some(Self { collection, after, skip })
    }
}
