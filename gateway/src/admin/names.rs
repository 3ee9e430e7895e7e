//! Entities that are known by the names of their children: certificates by those of their SNIs. The names are found in
//! paths, shown in a field of the entity, and set by that field.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use serde_json::{Value, json};

use super::{
    failure::Failure,
    read::{Reader, id_of},
    write::Write,
};
use crate::{
    model::{
        Collection, Names, Object,
        schema::{Violations, is_uuid},
    },
    store::{Filter, Key},
};

/// The entity that a name in a path stands for.
pub(super) async fn find(
    reader: &mut Reader<'_>,
    collection: &Collection,
    names: &Names,
    name: &str,
) -> Result<Option<Object>, Failure> {
    let child = reader.get(&names.children, Key::Unique(&names.key, name)).await?;
    let Some(parent) = child.as_ref().and_then(|child| parent_of(names, child)) else { return Ok(None) };
    reader.get(collection, Key::Id(parent)).await
}

/// That nothing is at a key, in the words for keys of this collection.
pub(super) fn missing(collection: &Collection, key: &str) -> Option<Failure> {
    let names = collection.names.as_ref().filter(|_| !is_uuid(key))?;
    Some(Failure::NotFoundNamed(names.missing.to_owned()))
}

/// A name in the path of a PUT is one of the entity's, whatever the body lists.
pub(super) fn add(collection: &Collection, key: &str, input: &mut Object) {
    let Some(names) = collection.names.as_ref().filter(|_| !is_uuid(key)) else { return };
    let listed = input.entry(names.field.to_string()).or_insert(Value::Null);
    match listed {
        Value::Null => *listed = json!([key]),
        Value::String(other) if other != key => *listed = json!([other, key]),
        Value::Array(listed) if !listed.iter().any(|name| name == key) => listed.push(key.into()),
        _ => {}
    }
}

/// Takes the names out of an entity that is to be stored, in order. Fails when one is there twice.
pub(super) fn take(names: &Names, entity: &mut Object) -> Result<Vec<String>, Failure> {
    let listed = entity.remove(&*names.field);
    let listed = listed.as_ref().and_then(Value::as_array).into_iter().flatten();
    let mut listed: Vec<String> = listed.filter_map(Value::as_str).map(str::to_owned).collect();
    let mut seen = HashSet::new();
    if let Some(again) = listed.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(Failure::Schema(Violations::one(&names.field, format!("{again} is duplicated"))));
    }
    listed.sort_unstable();
    Ok(listed)
}

/// Makes these the names of a stored entity, which keeps the children that have one of them already.
pub(super) async fn set(write: &mut Write<'_>, names: &Names, owner: &str, listed: &[String]) -> Result<(), Failure> {
    let known = write.reader().all(&names.children, &of(names, owner)).await?;
    let call = write.call;
    for child in known.iter().filter(|child| !listed.iter().any(|name| name == name_of(names, child))) {
        write.transaction.delete(&call.registry, &names.children, id_of(child)).await?;
    }
    for name in listed.iter().filter(|name| !known.iter().any(|child| name_of(names, child) == name.as_str())) {
        if let Some(taken) = write.transaction.get(&names.children, Key::Unique(&names.key, name)).await? {
            let other = parent_of(names, &taken).unwrap_or_default();
            let text = format!("{name} already associated with existing certificate '{other}'");
            return Err(Failure::Schema(Violations::one(&names.field, text)));
        }
        let mut child = Object::new();
        child.insert(names.key.to_string(), name.as_str().into());
        child.insert(names.reference.to_string(), json!({ "id": owner }));
        let child = names.children.schema.create(child, SystemTime::now()).map_err(Failure::Schema)?;
        write.transaction.insert(&names.children, &child).await?;
    }
    Ok(())
}

/// Puts the names into entities that are shown.
pub(super) async fn show(
    reader: &mut Reader<'_>,
    collection: &Collection,
    entities: &mut [Object],
) -> Result<(), Failure> {
    let Some(names) = &collection.names else { return Ok(()) };
    let filter = match entities {
        [] => return Ok(()),
        [only] => of(names, id_of(only)),
        // One question for all of them instead of one for each.
        _ => Filter::default(),
    };
    let mut by_owner: HashMap<String, Vec<String>> = HashMap::new();
    for child in reader.all(&names.children, &filter).await? {
        if let Some(owner) = parent_of(names, &child) {
            by_owner.entry(owner.to_owned()).or_default().push(name_of(names, &child).to_owned());
        }
    }
    for entity in entities {
        let mut own = by_owner.remove(id_of(entity)).unwrap_or_default();
        own.sort_unstable();
        entity.insert(names.field.to_string(), own.into());
    }
    Ok(())
}

fn of(names: &Names, owner: &str) -> Filter {
    Filter { parent: Some((names.reference.clone(), Arc::from(owner))), ..Filter::default() }
}

fn name_of<'a>(names: &Names, child: &'a Object) -> &'a str {
    child.get(&*names.key).and_then(Value::as_str).unwrap_or_default()
}

fn parent_of<'a>(names: &Names, child: &'a Object) -> Option<&'a str> {
    child.get(&*names.reference)?.get("id")?.as_str()
}
