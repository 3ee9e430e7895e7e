//! Which table a collection lives in, and which of its fields have a column there. Equal for every database.

use crate::model::Collection;

/// A table that holds entities.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
    /// Shared by all collections that have no table of their own: rows carry the collection and may expire.
    pub(super) shared: bool,
}

/// A column that repeats a field.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) field: &'static str,
    pub(super) name: &'static str,
    /// The collection whose ids the column holds.
    to: Option<&'static str>,
}

/// Where the value of a field is found in a row.
#[derive(Debug)]
pub(super) enum Place {
    /// In this column.
    Column(&'static str),
    /// Inside the JSON, along these names.
    Json(Vec<String>),
}

const fn plain(name: &'static str) -> Column {
    Column { field: name, name, to: None }
}

const fn reference(field: &'static str, name: &'static str, to: &'static str) -> Column {
    Column { field, name, to: Some(to) }
}

const CONSUMER: Column = reference("consumer", "consumer_id", "consumers");
const SERVICE: Column = reference("service", "service_id", "services");
const ROUTE: Column = reference("route", "route_id", "routes");

/// Tables with one collection each, parents before children.
pub(super) const CORE: &[Table] = &[
    core("services", &[plain("name")]),
    core("consumers", &[plain("username"), plain("custom_id")]),
    core("upstreams", &[plain("name")]),
    core("modules", &[plain("name"), plain("digest")]),
    core("routes", &[plain("name"), SERVICE]),
    core("plugins", &[plain("name"), plain("instance_name"), ROUTE, SERVICE, CONSUMER]),
    core("targets", &[plain("target"), reference("upstream", "upstream_id", "upstreams")]),
    core("admin_tokens", &[plain("name"), plain("prefix")]),
    core("admin_certificates", &[plain("name")]),
    core("admin_roles", &[plain("name")]),
];

/// The table of every other collection.
pub(super) const SHARED: Table = Table { name: "entities", columns: &[CONSUMER, SERVICE, ROUTE], shared: true };

const fn core(name: &'static str, columns: &'static [Column]) -> Table {
    Table { name, columns, shared: false }
}

impl Table {
    /// The table of the collection with this internal name.
    pub(super) fn of(collection: &str) -> &'static Self {
        CORE.iter().find(|table| table.name == collection).unwrap_or(&SHARED)
    }

    /// The columns that `collection` fills. A plain field of a plugin's collection that happens to be called like a
    /// parent has none.
    pub(super) fn columns_of<'a>(&'a self, collection: &'a Collection) -> impl Iterator<Item = &'a Column> {
        self.columns.iter().filter(|column| column.to == target(collection, column.field))
    }

    /// Where `field` is found.
    pub(super) fn place(&self, collection: &Collection, field: &str) -> Place {
        if let Some(column) = self.columns_of(collection).find(|column| column.field == field) {
            return Place::Column(column.name);
        }
        let id = target(collection, field).map(|_| "id");
        Place::Json([field].into_iter().chain(id).map(str::to_owned).collect())
    }
}

/// The collection that a field refers to.
fn target<'a>(collection: &'a Collection, field: &str) -> Option<&'a str> {
    collection.references.iter().find(|reference| &*reference.field == field).map(|reference| &*reference.to)
}
