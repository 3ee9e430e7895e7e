//! A write: what the client sent becomes an entity, checked in the transaction that stores it.

use std::{sync::Arc, time::SystemTime};

use serde_json::{Value, json};

use super::{
    call::{Call, Input},
    commit,
    failure::Failure,
    names, plugins,
    read::{Reader, id_of},
    ttl,
};
use crate::{
    model::{
        Collection, Names, Object, Registry,
        schema::{Kind, Schema, Violations, is_uuid, simplify_numbers},
    },
    store::{Filter, Key, StoreError, Transaction, Version},
};

/// A write to one collection.
pub(super) struct Write<'a> {
    pub(super) call: &'a Call,
    pub(super) collection: Arc<Collection>,
    pub(super) transaction: Box<dyn Transaction>,
    /// Names that the entity at hand is to have; `None` leaves them as they are.
    names: Option<Vec<String>>,
}

/// What the path says about the entity: wins over the body.
pub(super) type Fixed = Vec<(Arc<str>, Value)>;

impl<'a> Write<'a> {
    pub(super) async fn begin(call: &'a Call, collection: &Arc<Collection>) -> Result<Self, Failure> {
        let transaction = commit::begin(call).await?;
        Ok(Self { call, collection: collection.clone(), transaction, names: None })
    }

    pub(super) fn reader(&mut self) -> Reader<'_> {
        Reader::Write(&mut *self.transaction)
    }

    /// Adds a new entity.
    pub(super) async fn create(&mut self, input: Input, fixed: Fixed) -> Result<Object, Failure> {
        let entity = self.entity(input, None, fixed).await?;
        self.transaction.insert(&self.collection, &entity).await?;
        self.set_names(&entity).await?;
        Ok(entity)
    }

    /// Changes parts of a stored entity.
    pub(super) async fn patch(&mut self, stored: &Object, input: Input, mut fixed: Fixed) -> Result<Object, Failure> {
        fixed.push(("id".into(), id_of(stored).into()));
        let entity = self.entity(input, Some(stored), fixed).await?;
        self.transaction.update(&self.collection, &entity).await?;
        self.set_names(&entity).await?;
        Ok(entity)
    }

    /// Replaces a stored entity by a new one of the same id and time of creation.
    pub(super) async fn replace(
        &mut self,
        stored: &Object,
        mut input: Input,
        mut fixed: Fixed,
    ) -> Result<Object, Failure> {
        fixed.push(("id".into(), id_of(stored).into()));
        if let (Some(created), None) = (stored.get("created_at"), input.object.get("created_at")) {
            input.object.insert("created_at".into(), created.clone());
        }
        let entity = self.entity(input, None, fixed).await?;
        self.transaction.update(&self.collection, &entity).await?;
        self.set_names(&entity).await?;
        Ok(entity)
    }

    /// Deletes a stored entity and what cascades from it. Refused while it is listed elsewhere.
    pub(super) async fn delete(&mut self, stored: &Object) -> Result<(), Failure> {
        let (collection, call) = (self.collection.clone(), self.call);
        for listing in &collection.listed_in {
            let Some(other) = call.registry.get(&listing.collection) else { continue };
            let all = self.reader().all(other, &Filter::default()).await?;
            let lists = |entity: &&Object| {
                let listed = entity.get(&*listing.field).and_then(Value::as_array);
                listed.is_some_and(|ids| ids.iter().any(|id| id == id_of(stored)))
            };
            if let Some(by) = all.iter().find(lists) {
                let (what, by) = (collection.name.trim_end_matches('s').replace('_', " "), id_of(by));
                let (id, others) = (id_of(stored), &other.name);
                return Err(Failure::Listed(format!("{what} {id} is still referenced by {others} (id = {by})")));
            }
        }
        self.transaction.delete(&call.registry, &collection, id_of(stored)).await?;
        Ok(())
    }

    async fn set_names(&mut self, entity: &Object) -> Result<(), Failure> {
        let collection = self.collection.clone();
        match (&collection.names, self.names.take()) {
            (Some(names), Some(listed)) => names::set(self, names, id_of(entity), &listed).await,
            _ => Ok(()),
        }
    }

    /// Commits and tells those who serve.
    pub(super) async fn commit(self) -> Result<Version, Failure> {
        commit::commit(self.call, self.transaction).await
    }

    async fn entity(&mut self, mut input: Input, stored: Option<&Object>, fixed: Fixed) -> Result<Object, Failure> {
        let schema = self.schema(&input.object, stored)?;
        read_form(&schema, &mut input);
        for (field, value) in fixed {
            input.object.insert(field.to_string(), value);
        }
        let life = ttl::take(&self.collection, &mut input.object)?;
        self.resolve(&mut input.object).await?;
        let now = SystemTime::now();
        let collection = self.collection.clone();
        let keeps_names = |names: &Names| stored.is_some() && !input.object.contains_key(&*names.field);
        let keeps_names = collection.names.as_ref().is_none_or(keeps_names);
        let made = match stored {
            Some(stored) => schema.patch(&ttl::without(stored), input.object, now),
            None => schema.create(input.object, now),
        };
        let mut entity = made.map_err(Failure::Schema)?;
        lower_id(&mut entity);
        if let Some(names) = &collection.names {
            let listed = names::take(names, &mut entity)?;
            self.names = (!keeps_names).then_some(listed);
        }
        self.check_references(&schema, &entity).await?;
        if &*self.collection.name == "plugins" {
            plugins::check(self, &entity).await?;
        }
        ttl::keep(&self.collection, &mut entity, life, stored, now);
        Ok(entity)
    }

    fn schema(&self, input: &Object, stored: Option<&Object>) -> Result<Schema, Failure> {
        if &*self.collection.name != "plugins" {
            return Ok(self.collection.schema.clone());
        }
        plugins::schema_for(&self.call.context, &self.collection, input, stored)
    }

    /// Puts ids in place of the unique fields by which the client named parents.
    async fn resolve(&mut self, input: &mut Object) -> Result<(), Failure> {
        let mut unresolved = Violations::default();
        for reference in &self.collection.references {
            let Some(given) = input.get_mut(&*reference.field).and_then(Value::as_object_mut) else { continue };
            let Some(parent) = self.call.registry.get(&reference.to) else { continue };
            if given.contains_key("id") {
                continue;
            }
            let Some((field, value)) = unique_field(parent, given) else { continue };
            match self.transaction.get(parent, Key::Unique(&field, &value)).await? {
                Some(found) => *given = id_object(id_of(&found)),
                None => {
                    let to = &reference.to;
                    let text = format!(
                        "the foreign key cannot be resolved with '{{{field}=\"{value}\"}}' for an existing '{to}' entity"
                    );
                    unresolved.set(&format!("{}.{field}", reference.field), text.into());
                }
            }
        }
        unresolved.into_result().map_err(Failure::Unresolved)
    }

    /// Refuses references to what does not exist. The store does so too; this names the first one by field order.
    async fn check_references(&mut self, schema: &Schema, entity: &Object) -> Result<(), Failure> {
        // Without a database the write itself is refused, and with its own words.
        if self.call.context.declarative.is_some() {
            return Ok(());
        }
        for field in &schema.fields {
            let Kind::Foreign(to) = &field.kind else { continue };
            let Some(id) = entity.get(&*field.name).and_then(|value| value.get("id")).and_then(Value::as_str) else {
                continue;
            };
            let exists = match self.call.registry.get(to) {
                Some(parent) => self.transaction.get(parent, Key::Id(id)).await?.is_some(),
                None => false,
            };
            if !exists {
                let value = Value::Object(id_object(id));
                return Err(StoreError::ForeignKey { field: field.name.clone(), to: to.clone(), value }.into());
            }
        }
        Ok(())
    }
}

/// Reads the texts of a form as the schema says.
pub(super) fn read_form(schema: &Schema, input: &mut Input) {
    if input.form {
        schema.coerce(&mut input.object);
        input.object.values_mut().for_each(simplify_numbers);
    }
}

/// A new entity for `/schemas/…/validate`: nothing is stored, references are not followed.
pub(super) fn dry_run(schema: &Schema, mut input: Input) -> Result<Object, Failure> {
    read_form(schema, &mut input);
    schema.create(input.object, SystemTime::now()).map_err(Failure::Schema)
}

fn unique_field(parent: &Collection, given: &Object) -> Option<(Arc<str>, String)> {
    let single = parent.unique.iter().filter_map(|group| match group.as_slice() {
        [only] => Some(only),
        _ => None,
    });
    let mut named = single.filter_map(|field| Some((field.clone(), given.get(&**field)?.as_str()?.to_owned())));
    named.next()
}

fn id_object(id: &str) -> Object {
    let mut object = Object::new();
    object.insert("id".into(), id.into());
    object
}

/// UUIDs are stored in lower case.
fn lower_id(entity: &mut Object) {
    if let Some(id) = entity.get("id").and_then(Value::as_str).filter(|id| is_uuid(id)).map(str::to_lowercase) {
        entity.insert("id".into(), json!(id));
    }
}

/// The collection of a name that is one of the gateway's own.
pub(super) fn core_collection(registry: &Registry, name: &'static str) -> Result<Arc<Collection>, Failure> {
    registry.get(name).cloned().ok_or_else(|| Failure::NotFoundNamed(format!("No entity named '{name}'")))
}
