//! Every collection: listings, entities, their children and parents.

use std::{sync::Arc, time::SystemTime};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    access,
    answer::Answer,
    call::Call,
    failure::Failure,
    names, plugins, query,
    read::{Reader, children_of, id_of, reference_of},
    resource::Nested,
    ttl,
    write::{Fixed, Write},
};
use crate::{
    model::{Collection, Object, Reference, normal_target, schema::is_uuid},
    store::{Filter, Page},
};

type Result<T> = std::result::Result<T, Failure>;

/// `/services`
pub(super) async fn collection(call: &mut Call, collection: Arc<Collection>) -> Result<Answer> {
    if call.method == Method::POST {
        let input = call.input().await?;
        let mut write = Write::begin(call, &collection).await?;
        let entity = write.create(input, Fixed::new()).await?;
        return created(call, write, entity).await;
    }
    if let Some(custom_id) = call.argument("custom_id").filter(|_| &*collection.name == "consumers") {
        return by_custom_id(call, &collection, custom_id).await;
    }
    let filter = Filter { tags: query::tags(call)?, ..Filter::default() };
    list(call, &collection, &filter, true).await
}

/// `/services/{service}`
pub(super) async fn entity(call: &mut Call, collection: Arc<Collection>, key: &str) -> Result<Answer> {
    match call.method {
        Method::PUT => {
            let mut input = call.input().await?;
            names::add(&collection, key, &mut input.object);
            let mut write = Write::begin(call, &collection).await?;
            let entity = match write.reader().find(&collection, key).await? {
                Some(stored) => write.replace(&stored, input, named_by(&collection, key)).await?,
                None => write.create(input, named_by(&collection, key)).await?,
            };
            changed(call, write, entity).await
        }
        Method::PATCH => {
            let input = call.input().await?;
            let mut write = Write::begin(call, &collection).await?;
            let Some(stored) = write.reader().find(&collection, key).await? else {
                let named = names::missing(&collection, key);
                return Err(named.unwrap_or_else(|| Failure::Missing(key_object(&collection, key))));
            };
            let entity = write.patch(&stored, input, Fixed::new()).await?;
            changed(call, write, entity).await
        }
        Method::DELETE => {
            let mut write = Write::begin(call, &collection).await?;
            let stored = write.reader().find(&collection, key).await?;
            if let Some(failure) = names::missing(&collection, key).filter(|_| stored.is_none()) {
                return Err(failure);
            }
            delete(write, stored).await
        }
        _ => {
            let found = Reader::Store(&*call.context.store).find(&collection, key).await?;
            let missing = || names::missing(&collection, key).unwrap_or(Failure::NotFound);
            show(call, &collection, found.ok_or_else(missing)?).await
        }
    }
}

/// `/services/{service}/routes`
pub(super) async fn children(call: &mut Call, nested: Nested) -> Result<Answer> {
    if call.method == Method::POST {
        let input = call.input().await?;
        let mut write = Write::begin(call, &nested.child).await?;
        let parent = write.reader().parent(&nested).await?;
        let entity = write.create(input, vec![owner(&nested, id_of(&parent))]).await?;
        return created(call, write, entity).await;
    }
    let parent = Reader::Store(&*call.context.store).parent(&nested).await?;
    list(call, &nested.child, &children_of(&nested.reference, id_of(&parent)), false).await
}

/// `/services/{service}/routes/{route}`
pub(super) async fn child(call: &mut Call, nested: Nested, key: &str) -> Result<Answer> {
    if call.method == Method::GET || call.method == Method::HEAD {
        let mut reader = Reader::Store(&*call.context.store);
        let parent = reader.parent(&nested).await?;
        let found = reader.find_child(&nested, id_of(&parent), key).await?;
        let child = found.filter(|child| belongs(child, &nested, &parent)).ok_or(Failure::NotFound)?;
        return show(call, &nested.child, child).await;
    }
    let input = if call.method == Method::DELETE { None } else { Some(call.input().await?) };
    let mut write = Write::begin(call, &nested.child).await?;
    let parent = write.reader().parent(&nested).await?;
    let found = write.reader().find_child(&nested, id_of(&parent), key).await?;
    let Some(input) = input else {
        let child = found.filter(|child| belongs(child, &nested, &parent)).ok_or(Failure::NotFound)?;
        return delete(write, Some(child)).await;
    };
    if call.method == Method::PATCH {
        let child = found.filter(|child| belongs(child, &nested, &parent)).ok_or(Failure::NotFound)?;
        let entity = write.patch(&child, input, Fixed::new()).await?;
        return changed(call, write, entity).await;
    }
    let mut fixed = child_named_by(&nested.child, key);
    fixed.push(owner(&nested, id_of(&parent)));
    let entity = match found {
        Some(stored) => write.replace(&stored, input, fixed).await?,
        // Targets are only made by POST.
        None if &*nested.child.name == "targets" => return Err(Failure::NotFound),
        None => write.create(input, fixed).await?,
    };
    changed(call, write, entity).await
}

/// `/routes/{route}/service`
pub(super) async fn referenced(
    call: &mut Call,
    collection: Arc<Collection>,
    key: &str,
    reference: Reference,
) -> Result<Answer> {
    let parents = call.registry.get(&reference.to).cloned().ok_or(Failure::NotFound)?;
    if matches!(call.method, Method::GET | Method::HEAD | Method::DELETE) {
        let mut reader = Reader::Store(&*call.context.store);
        let child = reader.find(&collection, key).await?.ok_or(Failure::NotFound)?;
        let id = reference_of(&child, &reference).ok_or(Failure::NotFound)?;
        let parent = reader.find(&parents, id).await?.ok_or(Failure::NotFound)?;
        if call.method == Method::DELETE {
            return Err(Failure::Method);
        }
        return show(call, &parents, parent).await;
    }
    let input = call.input().await?;
    let mut write = Write::begin(call, &parents).await?;
    let child = write.reader().find(&collection, key).await?.ok_or(Failure::NotFound)?;
    let stored = match reference_of(&child, &reference) {
        Some(id) => write.reader().find(&parents, id).await?,
        None => None,
    };
    let entity = match stored {
        Some(stored) if call.method == Method::PATCH => write.patch(&stored, input, Fixed::new()).await?,
        Some(stored) => write.replace(&stored, input, Fixed::new()).await?,
        None if call.method == Method::PATCH => return Err(Failure::NotFound),
        None => {
            let parent = write.create(input, Fixed::new()).await?;
            let mut linked = child;
            linked.insert(reference.field.to_string(), json!({ "id": id_of(&parent) }));
            write.transaction.update(&collection, &linked).await?;
            parent
        }
    };
    changed(call, write, entity).await
}

/// A page of a collection. Arguments are repeated in `next` for top-level collections alone.
async fn list(call: &Call, collection: &Collection, filter: &Filter, repeat: bool) -> Result<Answer> {
    let size = query::size(call)?;
    let after = query::offset(call)?.and_then(|place| Some(place.get(0)?.as_str()?.to_owned()));
    let mut rows = call.context.store.page(collection, filter, &Page { after, size }).await?;
    names::show(&mut Reader::Store(&*call.context.store), collection, &mut rows.rows).await?;
    let data: Vec<Value> = rows.rows.into_iter().map(|entity| present(call, collection, entity)).collect();
    Ok(page(call, data, rows.next.map(|next| json!([next])), if repeat { REPEATED } else { &[] }))
}

/// Arguments of a listing that the link to its next page has again.
pub(super) const REPEATED: &[&str] = &["tags", "size"];

/// The answer with a page; `place` is where the next one begins. Its link repeats these arguments.
pub(super) fn page(call: &Call, data: Vec<Value>, place: Option<Value>, repeat: &[&str]) -> Answer {
    Answer::ok(page_object(call, data, place, repeat))
}

/// The object of a page.
pub(super) fn page_object(call: &Call, data: Vec<Value>, place: Option<Value>, repeat: &[&str]) -> Object {
    let mut page = Object::new();
    page.insert("data".into(), data.into());
    let Some(place) = place else {
        page.insert("next".into(), Value::Null);
        return page;
    };
    let offset = query::token(&place);
    let mut next = format!("{}?offset={offset}", call.path);
    for name in repeat {
        if let Some(value) = call.argument(name) {
            let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            next.push_str(&format!("&{name}={encoded}"));
        }
    }
    page.insert("next".into(), next.into());
    page.insert("offset".into(), offset.into());
    page
}

async fn by_custom_id(call: &Call, collection: &Collection, custom_id: &str) -> Result<Answer> {
    if custom_id.is_empty() {
        return Err(Failure::Bad("invalid custom_id: ''".to_owned()));
    }
    let key = crate::store::Key::Unique("custom_id", custom_id);
    let found = call.context.store.get(collection, key).await?;
    let data: Vec<Value> = found.into_iter().map(|entity| present(call, collection, entity)).collect();
    Ok(Answer::ok(json!({ "data": data, "next": null })))
}

async fn created(call: &Call, write: Write<'_>, entity: Object) -> Result<Answer> {
    let mut answer = changed(call, write, entity).await?;
    answer.status = StatusCode::CREATED;
    Ok(answer)
}

async fn changed(call: &Call, mut write: Write<'_>, mut entity: Object) -> Result<Answer> {
    let collection = write.collection.clone();
    names::show(&mut write.reader(), &collection, std::slice::from_mut(&mut entity)).await?;
    let version = write.commit().await?;
    Ok(Answer::ok(present(call, &collection, entity)).at(version))
}

async fn delete(mut write: Write<'_>, stored: Option<Object>) -> Result<Answer> {
    let Some(stored) = stored else { return Ok(Answer::empty(StatusCode::NO_CONTENT)) };
    write.delete(&stored).await?;
    let version = write.commit().await?;
    Ok(Answer::empty(StatusCode::NO_CONTENT).at(version))
}

async fn show(call: &Call, collection: &Collection, mut entity: Object) -> Result<Answer> {
    let reader = &mut Reader::Store(&*call.context.store);
    names::show(reader, collection, std::slice::from_mut(&mut entity)).await?;
    Ok(Answer::ok(present(call, collection, entity)))
}

/// An entity as answers show it.
pub(super) fn present(call: &Call, collection: &Collection, mut entity: Object) -> Value {
    if &*collection.name == "plugins" {
        plugins::present(&call.context, &mut entity);
    }
    access::present(collection, &mut entity);
    ttl::present(collection, &mut entity, SystemTime::now());
    Value::Object(entity)
}

/// What a key in the path says about the entity.
fn named_by(collection: &Collection, key: &str) -> Fixed {
    match &collection.endpoint_key {
        _ if is_uuid(key) => vec![("id".into(), key.to_lowercase().into())],
        Some(field) => vec![(field.clone(), key.into())],
        None => Vec::new(),
    }
}

fn child_named_by(child: &Collection, key: &str) -> Fixed {
    match child.key_in_parent() {
        Some(field) if !is_uuid(key) && child.endpoint_key.as_ref().is_none_or(|endpoint| endpoint == field) => {
            let normal = if &*child.name == "targets" { normal_target(key) } else { None };
            vec![(field.clone(), normal.unwrap_or_else(|| key.to_owned()).into())]
        }
        _ => named_by(child, key),
    }
}

fn key_object(collection: &Collection, key: &str) -> Value {
    Value::Object(named_by(collection, key).into_iter().map(|(field, value)| (field.to_string(), value)).collect())
}

fn owner(nested: &Nested, parent: &str) -> (Arc<str>, Value) {
    (nested.reference.field.clone(), json!({ "id": parent }))
}

fn belongs(child: &Object, nested: &Nested, parent: &Object) -> bool {
    reference_of(child, &nested.reference) == Some(id_of(parent))
}
