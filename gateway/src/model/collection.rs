use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use super::{
    plugin_info::{parse_embedded, text},
    schema::{Auto, Field, Schema, SchemaError},
};

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
    /// The children by whose names its entities are known too.
    pub names: Option<Names>,
    /// Lists of ids elsewhere; an entity that is in one cannot be deleted.
    pub listed_in: Vec<Listing>,
    /// Whether entities may carry a time to live (`ttl`, seconds, counted from `created_at`).
    pub ttl: bool,
    /// Name of the plugin that declared it; `None` for the gateway's own.
    pub declared_by: Option<Arc<str>>,
    /// Fields, defaults and checks of its entities.
    pub schema: Schema,
}

impl Collection {
    /// One of the gateway's own.
    pub(super) fn core(name: &str, path: &str, endpoint_key: Option<&str>, schema: Schema) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            endpoint_key: endpoint_key.map(Into::into),
            unique: Vec::new(),
            references: Vec::new(),
            names: None,
            listed_in: Vec::new(),
            ttl: false,
            declared_by: None,
            schema,
        }
    }

    /// With a group of fields that are unique together.
    #[must_use]
    pub(super) fn unique(mut self, fields: &[&str]) -> Self {
        self.unique.push(fields.iter().map(|field| (*field).into()).collect());
        self
    }

    /// With a reference to a parent.
    #[must_use]
    pub(super) fn reference(mut self, field: &str, to: &str, on_delete: OnDelete, nested_path: Option<&str>) -> Self {
        let nested_path = nested_path.map(Into::into);
        self.references.push(Reference { field: field.into(), to: to.into(), on_delete, nested_path });
        self
    }

    /// A collection as a manifest declares it: `id`, `created_at`, the parent and `tags` are added to its own fields.
    pub fn declared(plugin: &str, declaration: &Value) -> Result<Self, SchemaError> {
        let own = Schema::from_json_schema(&parse_embedded(declaration.get("schema").unwrap_or(&Value::Null))?)?;
        let (unique, in_parent) = (names(declaration, "unique_fields"), names(declaration, "unique_in_parent"));
        let generated = names(declaration, "generated_fields");
        let parent = text(declaration, "parent")?;
        let parent_field = match parent {
            "consumers" | "services" | "routes" => parent.trim_end_matches('s'),
            other => return Err(SchemaError::Manifest(format!("a collection cannot belong to {other}"))),
        };
        let path = text(declaration, "path")?;
        let nested = declaration.get("nested_path").and_then(Value::as_str).filter(|nested| !nested.is_empty());
        if [path, nested.unwrap_or(path)].iter().any(|path| !is_segment(path)) {
            return Err(SchemaError::Manifest(format!("{path} is not one path segment")));
        }
        let [created, _] = Field::timestamps();
        let owner = Field::foreign(parent_field, parent).required().show("on_delete", "cascade".into());
        let mut fields = vec![Field::id(), created, owner];
        for mut field in own.fields {
            if fields.iter().any(|known| known.name == field.name) || &*field.name == "tags" || &*field.name == "ttl" {
                return Err(SchemaError::Manifest(format!("the gateway adds the field {} itself", field.name)));
            }
            if generated.contains(&&*field.name) {
                field.auto = Some(Auto::Random);
            }
            fields.push(if unique.contains(&&*field.name) { field.unique() } else { field });
        }
        fields.push(Field::tags());
        for named in unique.iter().chain(&in_parent).chain(&generated) {
            if !fields.iter().any(|field| &*field.name == *named) {
                return Err(SchemaError::Manifest(format!("{named} is not a field of {path}")));
            }
        }
        let schema = Schema { fields, checks: own.checks, ..Schema::default() };
        let mut collection = Self::core(text(declaration, "name")?, path, unique.first().copied(), schema).reference(
            parent_field,
            parent,
            OnDelete::Cascade,
            nested,
        );
        for field in unique {
            collection = collection.unique(&[field]);
        }
        if !in_parent.is_empty() {
            let group: Vec<&str> = std::iter::once(parent_field).chain(in_parent).collect();
            collection = collection.unique(&group);
        }
        collection.ttl = declaration.get("ttl").and_then(Value::as_bool).unwrap_or(false);
        collection.declared_by = Some(plugin.into());
        Ok(collection)
    }

    /// The field that tells the children of one parent apart, when it is not unique over all entities: `group` of acls,
    /// `target` of targets.
    pub fn key_in_parent(&self) -> Option<&Arc<str>> {
        let is_reference = |field: &Arc<str>| self.references.iter().any(|reference| reference.field == *field);
        let group = self.unique.iter().find(|group| group.len() == 2 && group.iter().any(is_reference))?;
        group.iter().find(|field| !is_reference(field))
    }
}

/// The collections that a manifest declares.
pub fn declared_collections(manifest: &Value) -> Result<Vec<Collection>, SchemaError> {
    let plugin = text(manifest, "name")?;
    let declarations = manifest.get("collections").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    declarations.iter().map(|declaration| Collection::declared(plugin, declaration)).collect()
}

fn names<'a>(declaration: &'a Value, key: &str) -> Vec<&'a str> {
    declaration.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn is_segment(path: &str) -> bool {
    !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
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

/// Children whose names stand for their parent. The parent has a field that lists them: it is shown, sets them when it is
/// sent, and is no part of the stored entity.
#[derive(Debug, Clone)]
pub struct Names {
    /// Field of the parent: `snis`.
    pub field: Arc<str>,
    /// The children.
    pub children: Arc<Collection>,
    /// Their field that is the name.
    pub key: Arc<str>,
    /// Their field that refers to the parent.
    pub reference: Arc<str>,
    /// Said of a name that is not there.
    pub missing: &'static str,
}

/// A field, elsewhere, that lists ids of these entities without being a reference.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Collection that has the field.
    pub collection: Arc<str>,
    /// The field.
    pub field: Arc<str>,
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
    /// Adds a collection; one of the same name is replaced. Those that modules declare are in the order of their names,
    /// whichever module came first: exports of one configuration are the same on every node.
    pub fn add(&mut self, collection: Collection) {
        let collection = Arc::new(collection);
        self.order.retain(|known| known.name != collection.name);
        let follows = |known: &Arc<Collection>| known.declared_by.is_some() && known.name > collection.name;
        let place = self.order.iter().position(follows).filter(|_| collection.declared_by.is_some());
        self.order.insert(place.unwrap_or(self.order.len()), collection.clone());
        self.by_name.insert(collection.name.clone(), collection);
    }

    /// Forgets the collections that a plugin declared.
    pub fn remove_declared(&mut self, plugin: &str) {
        self.order.retain(|known| known.declared_by.as_deref() != Some(plugin));
        self.by_name.retain(|_, known| known.declared_by.as_deref() != Some(plugin));
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
