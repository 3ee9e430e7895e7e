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

/// Puts environment variables in place of `${{ env "DECK_X" }}`, also of `${{ env "DECK_X" | toInt }}` and the other pipes
/// that decK has. Error: the variable that is not set or not of that kind, or an expression that is more than that.
pub fn substitute(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("${{") {
        out.push_str(before);
        let Some((expression, after)) = after.split_once("}}") else {
            return Err("'${{' without '}}'".to_owned());
        };
        let mut parts = expression.split('|').map(str::trim);
        let name = parts.next().and_then(|part| part.strip_prefix("env")).map(str::trim);
        let name = name.and_then(|name| name.strip_prefix('"')?.strip_suffix('"'));
        let Some(name) = name.filter(|name| name.starts_with("DECK_")) else {
            return Err(format!("'${{{{{expression}}}}}' is not understood: write ${{{{ env \"DECK_…\" }}}}"));
        };
        let value = variable(name).ok_or_else(|| format!("the variable {name} is not set"))?;
        // The value may be a secret, and is not repeated.
        let value = parts.try_fold(value, |value, pipe| piped(pipe, value));
        out.push_str(&value.map_err(|problem| format!("the variable {name} {problem}"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// What a pipe makes of a text. It stands in the file as it is: a number there is a number.
fn piped(pipe: &str, text: String) -> Result<String, String> {
    let (pipe, argument) = pipe.split_once(' ').unwrap_or((pipe, ""));
    let made = match (pipe, argument.trim()) {
        ("toInt", "") => text.parse::<i64>().ok().map(|number| number.to_string()),
        ("toFloat", "") => {
            text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number.to_string())
        }
        ("toBool", "") => match &*text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some("true".to_owned()),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some("false".to_owned()),
            _ => None,
        },
        ("indent", spaces) => match spaces.parse::<u8>() {
            Ok(spaces) => Some(text.replace('\n', &format!("\n{}", " ".repeat(spaces.into())))),
            Err(_) => return Err("is to be indented by no number".to_owned()),
        },
        _ => return Err(format!("goes into '{pipe}', which is none of toInt, toFloat, toBool and indent")),
    };
    made.ok_or_else(|| format!("does not fit {pipe}"))
}
