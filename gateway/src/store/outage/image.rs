//! The configuration as the database had it last: what is served from while the database is away, and what is kept on
//! disk. Entities are texts, parsed when somebody asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use rpds::RedBlackTreeMapSync;
use serde_json::{Value, value::RawValue};

use crate::{
    model::{Collection, Object},
    store::{Change, Delta, Filter, Key, Page, Result, Rows, Tags, Version, entity},
};

/// Every entity of one version. Copies share everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) version: Version,
    /// Identity of the database; empty: unknown.
    pub(super) cluster: String,
    /// Texts of [`Store::once`](crate::store::Store::once) that were asked for.
    pub(super) values: BTreeMap<String, String>,
    pub(super) entities: BTreeMap<Arc<str>, RedBlackTreeMapSync<Arc<str>, Arc<str>>>,
}

/// Text of an entity as it stands on disk.
type Text<'a> = (&'a str, &'a str, &'a RawValue);

impl Image {
    /// Takes over what the database told. True when it was not what was known.
    pub(super) fn apply(&mut self, delta: &Delta) -> bool {
        let changed = delta.full || self.version != delta.version || !delta.changes.is_empty();
        if delta.full {
            self.entities.clear();
        }
        delta.changes.iter().for_each(|change| self.change(change));
        self.version = delta.version;
        changed
    }

    fn change(&mut self, change: &Change) {
        let text = change.entity.as_ref().and_then(|entity| serde_json::to_string(entity).ok());
        match text {
            Some(text) => self.put(change.collection.clone(), change.id.clone(), text.into()),
            None => {
                if let Some(entities) = self.entities.get_mut(&change.collection) {
                    entities.remove_mut(&change.id);
                }
            }
        }
    }

    fn put(&mut self, collection: Arc<str>, id: Arc<str>, text: Arc<str>) {
        self.entities.entry(collection).or_default().insert_mut(id, text);
    }

    /// All of it.
    pub(super) fn everything(&self) -> Result<Delta> {
        let mut changes = Vec::new();
        for (collection, entities) in &self.entities {
            for (id, text) in entities {
                let entity = Some(entity::parse(collection, text)?);
                changes.push(Change { collection: collection.clone(), id: id.clone(), entity });
            }
        }
        Ok(Delta { version: self.version, full: true, changes })
    }

    /// What leads from `self` to `full`, which holds every entity there is.
    pub(super) fn difference(&self, full: Delta) -> Delta {
        let mut gone: BTreeSet<(Arc<str>, Arc<str>)> = BTreeSet::new();
        for (collection, entities) in &self.entities {
            gone.extend(entities.keys().map(|id| (collection.clone(), id.clone())));
        }
        let mut changes = Vec::new();
        for change in full.changes {
            gone.remove(&(change.collection.clone(), change.id.clone()));
            let known = self.entities.get(&change.collection).and_then(|entities| entities.get(&change.id));
            let text = change.entity.as_ref().and_then(|entity| serde_json::to_string(entity).ok());
            if known.map(|known| &**known) != text.as_deref() {
                changes.push(change);
            }
        }
        changes.extend(gone.into_iter().map(|(collection, id)| Change { collection, id, entity: None }));
        Delta { version: full.version, full: false, changes }
    }

    /// One entity.
    pub(super) fn get(&self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        let Some(entities) = self.entities.get(&collection.name) else { return Ok(None) };
        match key {
            Key::Id(id) => {
                let found = entities.get(id).map(|text| entity::parse(&collection.name, text)).transpose()?;
                Ok(found.filter(|entity| is_living(collection, entity)))
            }
            Key::Unique(field, value) => {
                for text in entities.values() {
                    let entity = entity::parse(&collection.name, text)?;
                    if is(&entity, field, value) && is_living(collection, &entity) {
                        return Ok(Some(entity));
                    }
                }
                Ok(None)
            }
        }
    }

    /// A page of a listing.
    pub(super) fn page(&self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows> {
        let Some(entities) = self.entities.get(&collection.name) else { return Ok(Rows::default()) };
        let after = page.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = Rows::default();
        let mut last = None;
        for (id, text) in entities.range::<str, _>((after, Bound::Unbounded)) {
            let entity = entity::parse(&collection.name, text)?;
            if !passes(filter, &entity) || !is_living(collection, &entity) {
                continue;
            }
            if rows.rows.len() == page.size {
                rows.next = last;
                break;
            }
            last = Some(id.to_string());
            rows.rows.push(entity);
        }
        Ok(rows)
    }

    /// Digests of the modules.
    pub(super) fn digests(&self) -> BTreeSet<String> {
        let modules = self.entities.get("modules").into_iter().flat_map(RedBlackTreeMapSync::values);
        let digest = |text: &Arc<str>| {
            let module: Value = serde_json::from_str(text).ok()?;
            Some(module.get("digest")?.as_str()?.to_owned())
        };
        modules.filter_map(digest).collect()
    }

    /// Its entities, a line each.
    pub(super) fn lines(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        for (collection, entities) in &self.entities {
            for (id, text) in entities {
                let entity: &RawValue = serde_json::from_str(text)?;
                serde_json::to_writer(&mut *out, &(&**collection, &**id, entity))?;
                out.push(b'\n');
            }
        }
        Ok(())
    }

    /// Adds what [`Image::lines`] wrote.
    pub(super) fn read_lines(&mut self, lines: &str) -> serde_json::Result<()> {
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        for line in lines.lines() {
            let (collection, id, text): Text<'_> = serde_json::from_str(line)?;
            let name = match names.get(collection) {
                Some(name) => name.clone(),
                None => Arc::from(collection),
            };
            names.insert(name.clone());
            self.put(name, id.into(), text.get().into());
        }
        Ok(())
    }
}

fn is(entity: &Object, field: &str, value: &str) -> bool {
    entity::text(entity, field).as_deref() == Some(value)
}

fn passes(filter: &Filter, entity: &Object) -> bool {
    let of_parent = filter.parent.as_ref().is_none_or(|(field, id)| is(entity, field, id));
    let equal = filter.equals.as_ref().is_none_or(|(field, value)| is(entity, field, value));
    let tagged = filter.tags.as_ref().is_none_or(|tags| {
        let own = entity::tags(entity);
        match tags {
            Tags::All(wanted) => wanted.iter().all(|tag| own.contains(&tag.as_str())),
            Tags::Any(wanted) => wanted.iter().any(|tag| own.contains(&tag.as_str())),
        }
    });
    of_parent && equal && tagged
}

/// Whether its time to live is not over.
fn is_living(collection: &Collection, entity: &Object) -> bool {
    let now = crate::clock::unix_now().as_secs_f64();
    entity::expires_at(collection, entity).is_none_or(|end| end > now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::core_registry;

    fn change(collection: &str, entity: Value) -> Change {
        let id = entity["id"].as_str().unwrap().into();
        Change { collection: collection.into(), id, entity: entity.as_object().cloned() }
    }

    fn of(version: Version, names: &[(&str, &str)]) -> Delta {
        let consumer =
            |(id, name): &(&str, &str)| change("consumers", json!({ "id": id, "username": name, "tags": [name] }));
        Delta { version, full: true, changes: names.iter().map(consumer).collect() }
    }

    fn image(version: Version, names: &[(&str, &str)]) -> Image {
        let mut image = Image::default();
        image.apply(&of(version, names));
        image
    }

    #[test]
    fn it_answers_as_a_database_does() {
        let (image, registry) = (image(3, &[("a", "x"), ("b", "y"), ("c", "x2")]), core_registry());
        let consumers = registry.get("consumers").unwrap();
        assert_eq!(image.get(consumers, Key::Id("b")).unwrap().unwrap()["username"], "y");
        assert_eq!(image.get(consumers, Key::Unique("username", "x")).unwrap().unwrap()["id"], "a");
        assert!(image.get(consumers, Key::Unique("username", "z")).unwrap().is_none());
        let first = image.page(consumers, &Filter::default(), &Page { after: None, size: 2 }).unwrap();
        assert_eq!((first.rows.len(), first.next.as_deref()), (2, Some("b")));
        let second = image.page(consumers, &Filter::default(), &Page { after: first.next, size: 2 }).unwrap();
        assert_eq!((second.rows.len(), second.next), (1, None));
        let tagged = Filter { tags: Some(Tags::Any(vec!["y".into(), "x2".into()])), ..Filter::default() };
        assert_eq!(image.page(consumers, &tagged, &Page { after: None, size: 9 }).unwrap().rows.len(), 2);
    }

    #[test]
    fn the_difference_to_a_whole_leads_there() {
        let before = image(5, &[("a", "x"), ("b", "y"), ("c", "z")]);
        let target = of(3, &[("a", "x"), ("b", "changed"), ("d", "new")]);
        let difference = before.difference(target.clone());
        let touched: Vec<_> = difference.changes.iter().map(|change| (&*change.id, change.entity.is_some())).collect();
        assert_eq!(touched, [("b", true), ("d", true), ("c", false)]);
        let (mut reached, mut wanted) = (before, Image::default());
        reached.apply(&difference);
        wanted.apply(&target);
        assert_eq!(reached.everything().unwrap().changes.len(), 3);
        assert!(reached.get(core_registry().get("consumers").unwrap(), Key::Id("c")).unwrap().is_none());
        assert_eq!(reached.version, 3);
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let before = image(7, &[("a", "x\n\"é"), ("b", "y")]);
        let mut bytes = Vec::new();
        before.lines(&mut bytes).unwrap();
        let mut after = Image { version: 7, ..Image::default() };
        after.read_lines(std::str::from_utf8(&bytes).unwrap()).unwrap();
        assert_eq!(after, before);
    }
}
