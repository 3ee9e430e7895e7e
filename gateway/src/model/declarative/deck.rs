//! decK's dialect: settings of its own, shared configurations of plugins, references as objects. All of it is brought to
//! what the gateway takes.

use serde_json::Value;

use super::{children, collections, references::foreign};
use crate::model::{Collection, Object, Registry};

/// Top-level settings that tell decK how to work.
const SETTINGS: [&str; 3] = ["_info", "_workspace", "_konnect"];
/// Keys that may call an entity in an object-form reference.
const NAMES: [&str; 5] = ["id", "name", "username", "custom_id", "prefix"];

/// Brings the file to the gateway's own form. Error: what cannot be brought there.
pub(super) fn strip(root: &mut Object, registry: &Registry) -> Result<(), String> {
    SETTINGS.iter().for_each(|key| drop(root.shift_remove(*key)));
    let shared = match root.shift_remove("_plugin_configs") {
        Some(Value::Object(shared)) => shared,
        _ => Object::new(),
    };
    for collection in collections(registry) {
        if let Some(Value::Array(entities)) = root.get_mut(&*collection.name) {
            list(collection, entities, registry, &shared)?;
        }
    }
    Ok(())
}

fn list(collection: &Collection, entities: &mut [Value], registry: &Registry, shared: &Object) -> Result<(), String> {
    for entity in entities.iter_mut().filter_map(Value::as_object_mut) {
        for (field, _) in foreign(collection) {
            if let Some(name) = entity.get(&**field).and_then(Value::as_object).and_then(name_of) {
                entity.insert(field.to_string(), name);
            }
        }
        if &*collection.name == "plugins" {
            share(entity, shared)?;
        }
        for (child, _) in children(registry, &collection.name) {
            if let Some(Value::Array(below)) = entity.get_mut(&*child.name) {
                list(child, below, registry, shared)?;
            }
        }
    }
    Ok(())
}

/// The text of a reference such as `{name: x}`.
fn name_of(reference: &Object) -> Option<Value> {
    NAMES.iter().find_map(|key| reference.get(*key).filter(|value| value.is_string()).cloned())
}

/// Puts the shared configuration that `_config` names below the plugin's own.
fn share(plugin: &mut Object, shared: &Object) -> Result<(), String> {
    let Some(name) = plugin.shift_remove("_config") else { return Ok(()) };
    let Some(Value::Object(common)) = name.as_str().and_then(|name| shared.get(name)) else {
        return Err(format!("_plugin_configs has no entry {name}"));
    };
    let own = plugin.entry("config").or_insert_with(|| Value::Object(Object::new()));
    if let Value::Object(own) = own {
        for (key, value) in common {
            own.entry(key).or_insert_with(|| value.clone());
        }
    }
    Ok(())
}

/// Puts environment variables in place of `${{ env "DECK_X" }}`. Error: the variable that is not set, or an expression that
/// is more than that.
pub fn substitute(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("${{") {
        out.push_str(before);
        let Some((expression, after)) = after.split_once("}}") else {
            return Err("'${{' without '}}'".to_owned());
        };
        let name = expression.trim().strip_prefix("env").map(str::trim);
        let name = name.and_then(|name| name.strip_prefix('"')?.strip_suffix('"'));
        match name.filter(|name| name.starts_with("DECK_")) {
            Some(name) => out.push_str(&variable(name).ok_or_else(|| format!("the variable {name} is not set"))?),
            None => return Err(format!("'${{{{{expression}}}}}' is not understood: write ${{{{ env \"DECK_…\" }}}}")),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}
