//! Finding entities, before a write or within it.

use std::sync::Arc;

use serde_json::Value;

use super::{failure::Failure, names, resource::Nested};
use crate::{
    model::{Collection, Object, Reference, normal_target, schema::is_uuid},
    store::{Filter, Key, Page, Rows, Store, Transaction},
};

/// Where to read: the committed configuration, or a write that is under way.
pub(super) enum Reader<'a> {
    Store(&'a dyn Store),
    Write(&'a mut dyn Transaction),
}

impl Reader<'_> {
    pub(super) async fn get(&mut self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>, Failure> {
        Ok(match self {
            Reader::Store(store) => store.get(collection, key).await?,
            Reader::Write(write) => write.get(collection, key).await?,
        })
    }

    pub(super) async fn page(
        &mut self,
        collection: &Collection,
        filter: &Filter,
        page: &Page,
    ) -> Result<Rows, Failure> {
        Ok(match self {
            Reader::Store(store) => store.page(collection, filter, page).await?,
            Reader::Write(write) => write.page(collection, filter, page).await?,
        })
    }

    /// Everything that a filter lets through.
    pub(super) async fn all(&mut self, collection: &Collection, filter: &Filter) -> Result<Vec<Object>, Failure> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let rows = self.page(collection, filter, &Page { after: after.take(), size: 1000 }).await?;
            found.extend(rows.rows);
            match rows.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// By id if the key looks like one, by alternate key otherwise.
    pub(super) async fn find(&mut self, collection: &Collection, key: &str) -> Result<Option<Object>, Failure> {
        if is_uuid(key) {
            return self.get(collection, Key::Id(&key.to_lowercase())).await;
        }
        if let Some(names) = &collection.names {
            return names::find(self, collection, names, key).await;
        }
        let field = collection.endpoint_key.as_deref().ok_or(Failure::PrimaryKey)?;
        self.get(collection, Key::Unique(field, key)).await
    }

    /// A child by id or alternate key; for keys that are only unique within the parent, of this parent.
    pub(super) async fn find_child(
        &mut self,
        nested: &Nested,
        parent: &str,
        key: &str,
    ) -> Result<Option<Object>, Failure> {
        let within = nested.child.key_in_parent().filter(|_| !is_uuid(key));
        let Some(field) = within.filter(|_| !has_unique_endpoint(&nested.child)) else {
            return self.find(&nested.child, key).await;
        };
        let wanted = if &*nested.child.name == "targets" { normal_target(key) } else { None };
        let filter = Filter {
            parent: Some((nested.reference.field.clone(), parent.into())),
            equals: Some((field.clone(), wanted.unwrap_or_else(|| key.to_owned()))),
            tags: None,
        };
        let rows = self.page(&nested.child, &filter, &Page { after: None, size: 1 }).await?;
        Ok(rows.rows.into_iter().next())
    }

    /// The id of the parent, or that it is not found.
    pub(super) async fn parent(&mut self, nested: &Nested) -> Result<Object, Failure> {
        let found = self.find(&nested.parent, &nested.key).await?;
        found.ok_or_else(|| names::missing(&nested.parent, &nested.key).unwrap_or(Failure::NotFound))
    }
}

fn has_unique_endpoint(collection: &Collection) -> bool {
    let key = collection.endpoint_key.as_ref();
    key.is_some_and(|key| collection.unique.iter().any(|group| group.as_slice() == std::slice::from_ref(key)))
}

/// The primary key.
pub(super) fn id_of(entity: &Object) -> &str {
    entity.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// The id that a reference of the entity holds.
pub(super) fn reference_of<'a>(entity: &'a Object, reference: &Reference) -> Option<&'a str> {
    entity.get(&*reference.field)?.get("id")?.as_str()
}

/// Children of a parent.
pub(super) fn children_of(reference: &Reference, parent: &str) -> Filter {
    Filter { parent: Some((reference.field.clone(), Arc::from(parent))), ..Filter::default() }
}
