//! `plugins`: a plugin's configuration at a scope. What stands in `config` is the plugin's to say.

use serde_json::{Value, json};

use super::{
    Collection, OnDelete,
    schema::{Field, Schema, SchemaError, TextKind},
    service::PROTOCOLS,
};

const HTTP_PROTOCOLS: [&str; 4] = ["grpc", "grpcs", "http", "https"];

pub(super) fn collection() -> Collection {
    let scope = |name, to| Field::foreign(name, to).default(Value::Null).show("on_delete", "cascade".into());
    let [created, updated] = Field::timestamps();
    let fields = vec![
        Field::id(),
        Field::string("name").required(),
        Field::text("instance_name", TextKind::Name).unique(),
        created,
        updated,
        scope("route", "routes"),
        scope("service", "services"),
        scope("consumer", "consumers"),
        Field::new("config", super::schema::Kind::Abstract),
        Field::set("protocols", Field::string("").one_of(PROTOCOLS)).required().default(json!(HTTP_PROTOCOLS)),
        Field::boolean("enabled").required().default(true),
        Field::tags(),
    ];
    Collection::core("plugins", "plugins", Some("instance_name"), Schema::of(fields))
        .unique(&["instance_name"])
        .unique(&["name", "route", "service", "consumer"])
        .reference("route", "routes", OnDelete::Cascade, Some("plugins"))
        .reference("service", "services", OnDelete::Cascade, Some("plugins"))
        .reference("consumer", "consumers", OnDelete::Cascade, Some("plugins"))
}

/// What a plugin changes in the schema of this entity: whether a consumer may be named, the protocols, and `config`.
pub(super) fn overrides(
    plugin: &str,
    config: &Value,
    protocols: Option<Value>,
    consumer_scope: bool,
) -> Result<Schema, SchemaError> {
    let mut record = Schema::from_config_schema(plugin, config)?;
    let checks = std::mem::take(&mut record.checks);
    let all = config.get("x-kong-protocols").is_some_and(|which| which == "all");
    let stream = |listed: &Value| {
        listed.as_array().into_iter().flatten().any(|each| !HTTP_PROTOCOLS.iter().any(|http| each == http))
    };
    let element = Field::string("").required();
    let element = if all || protocols.as_ref().is_some_and(stream) {
        element.one_of(PROTOCOLS)
    } else {
        element.one_of(HTTP_PROTOCOLS)
    };
    let mut fields = Vec::new();
    if !consumer_scope {
        fields.push(Field::foreign("consumer", "consumers").rule(super::schema::Rule::Eq(Value::Null)));
    }
    fields
        .push(Field::set("protocols", element).required().default(protocols.unwrap_or_else(|| json!(HTTP_PROTOCOLS))));
    fields.push(Field::record("config", record).required());
    Ok(Schema { fields, checks, ..Schema::default() })
}
