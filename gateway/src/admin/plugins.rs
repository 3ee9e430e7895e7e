//! `plugins`: the schema depends on the plugin, and the plugin has a say of its own.

use std::sync::Arc;

use serde_json::Value;

use super::{
    context::Context,
    failure::Failure,
    read::children_of,
    write::{Write, core_collection},
};
use crate::{
    model::{
        Collection, ConfigError, Object, OnDelete, Reference,
        schema::{Schema, Violations},
    },
    store::{Filter, Key, Page},
};

/// The schema of the entity for the plugin that the input, or else the stored entity, names.
pub(super) fn schema_for(
    context: &Context,
    plugins: &Collection,
    input: &Object,
    stored: Option<&Object>,
) -> Result<Schema, Failure> {
    let named = input.get("name").or_else(|| stored.and_then(|stored| stored.get("name")));
    let Some(name) = named.and_then(Value::as_str) else { return Ok(plugins.schema.clone()) };
    match context.plugins.schema(name) {
        Some(info) => Ok(plugins.schema.with(&info.overrides)),
        None => {
            let text = format!("plugin '{name}' not enabled; add it to the 'plugins' configuration property");
            Err(Failure::Schema(Violations::one("name", text)))
        }
    }
}

/// What the schema cannot say: the protocols of the route or service, and the plugin's own checks.
pub(super) async fn check(write: &mut Write<'_>, entity: &Object) -> Result<(), Failure> {
    check_protocols(write, entity).await?;
    validate(&write.call.context, entity).await
}

/// The plugin's own checks of a complete entity.
pub(super) async fn validate(context: &Context, entity: &Object) -> Result<(), Failure> {
    let name = entity.get("name").and_then(Value::as_str).unwrap_or_default();
    let config = entity.get("config").unwrap_or(&Value::Null);
    context.plugins.validate(name, config).await.map_err(|errors| Failure::Schema(violations(errors)))
}

/// The mistakes that a plugin found, below `config`.
pub(super) fn violations(errors: Vec<ConfigError>) -> Violations {
    let mut violations = Violations::default();
    for error in errors {
        if error.path.is_empty() {
            violations.entity(&error.message);
        } else {
            violations.set(&format!("config.{}", error.path), error.message.into());
        }
    }
    violations
}

async fn check_protocols(write: &mut Write<'_>, entity: &Object) -> Result<(), Failure> {
    let id = |field: &str| entity.get(field).and_then(|value| value.get("id")).and_then(Value::as_str);
    let routes = core_collection(&write.call.registry, "routes")?;
    if let Some(route) = id("route") {
        let found = write.transaction.get(&routes, Key::Id(route)).await?;
        let fits = found.is_none_or(|route| share(entity, &route));
        return protocols(fits, "must match the associated route's protocols");
    }
    let Some(service) = id("service") else { return Ok(()) };
    let reference =
        Reference { field: "service".into(), to: "services".into(), on_delete: OnDelete::Refuse, nested_path: None };
    let (mut after, mut any) = (None, false);
    loop {
        let page = Page { after, size: 100 };
        let rows = write.transaction.page(&routes, &children_of(&reference, service), &page).await?;
        if rows.rows.iter().any(|route| share(entity, route)) {
            return Ok(());
        }
        any |= !rows.rows.is_empty();
        match rows.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    protocols(!any, "must match the protocols of at least one route pointing to this Plugin's service")
}

fn protocols(fits: bool, message: &str) -> Result<(), Failure> {
    if fits { Ok(()) } else { Err(Failure::Schema(Violations::one("protocols", message))) }
}

fn share(plugin: &Object, route: &Object) -> bool {
    let list = |entity: &Object| entity.get("protocols").and_then(Value::as_array).cloned().unwrap_or_default();
    let of_route = list(route);
    list(plugin).iter().any(|protocol| of_route.contains(protocol))
}

/// Old names of settings, beside the new ones.
pub(super) fn present(context: &Context, entity: &mut Object) {
    if let Some(info) = entity.get("name").and_then(Value::as_str).and_then(|name| context.plugins.schema(name)) {
        info.overrides.present(entity);
    }
}

/// The configurations of a plugin.
pub(super) fn of_plugin(name: &str) -> Filter {
    Filter { equals: Some((Arc::from("name"), name.to_owned())), ..Filter::default() }
}
