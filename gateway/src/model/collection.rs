use std::{collections::HashMap, sync::Arc};

/// What one collection of entities is: of the gateway's own, or declared by a plugin's manifest.
#[derive(Debug, Clone)]
pub struct Collection {
    /// Internal plural name: `services`, `keyauth_credentials`.
    pub name: Arc<str>,
    /// First path segment in the Admin API: `services`, `key-auths`, `key-sets`.
    pub path: Arc<str>,
    /// Field that paths may use in place of the id: `name`, `username`, `key`.
    pub endpoint_key: Option<Arc<str>>,
    /// Groups of fields whose values are unique together. A group with a `null` in a plain field does not count; fields
    /// that are references compare by id, `null` included.
    pub unique: Vec<Vec<Arc<str>>>,
    /// Fields that refer to entities of other collections.
    pub references: Vec<Reference>,
    /// Whether entities may carry a time to live (`ttl`, seconds, counted from `created_at`).
    pub ttl: bool,
    /// Name of the plugin that declared it; `None` for the gateway's own.
    pub declared_by: Option<Arc<str>>,
}

/// A foreign key: `{"id": "…"}` or `null` in the entity.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Field of the child: `service`.
    pub field: Arc<str>,
    /// Internal name of the parent's collection: `services`.
    pub to: Arc<str>,
    /// What deleting the parent does.
    pub on_delete: OnDelete,
    /// Path of the children below the parent: `routes` in `/services/{service}/routes`. `None`: not nested.
    pub nested_path: Option<Arc<str>>,
}

/// What deleting a parent does to its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    /// The delete is refused while there are children.
    Refuse,
    /// The children go too.
    Cascade,
}

/// Every collection there is: the gateway's own, then those that modules declare.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    by_name: HashMap<Arc<str>, Arc<Collection>>,
    order: Vec<Arc<Collection>>,
}

impl Registry {
    /// Adds a collection; one of the same name is replaced.
    pub fn add(&mut self, collection: Collection) {
        let collection = Arc::new(collection);
        self.order.retain(|known| known.name != collection.name);
        self.order.push(collection.clone());
        self.by_name.insert(collection.name.clone(), collection);
    }

    /// By internal name.
    pub fn get(&self, name: &str) -> Option<&Arc<Collection>> {
        self.by_name.get(name)
    }

    /// By first path segment.
    pub fn by_path(&self, path: &str) -> Option<&Arc<Collection>> {
        self.order.iter().find(|collection| &*collection.path == path)
    }

    /// All of them, parents before children as far as they were added so.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Collection>> {
        self.order.iter()
    }

    /// The collections that refer to `parent`, with the reference.
    pub fn children<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = (&'a Arc<Collection>, &'a Reference)> {
        self.order
            .iter()
            .flat_map(|child| child.references.iter().map(move |reference| (child, reference)))
            .filter(move |(_, reference)| &*reference.to == parent)
    }
}
