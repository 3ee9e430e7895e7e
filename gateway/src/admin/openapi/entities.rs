//! The schemas of entities: of each collection as answers show it, as clients send it, and as they change it.

use serde_json::{Value, json};

use super::shapes;
use crate::{
    admin::{access, call::Call, modules::SETTINGS},
    model::{
        ADMIN_CERTIFICATES, ADMIN_ROLES, ADMIN_TOKENS, Collection, Object,
        schema::{Form, Schema},
    },
};

/// `components/schemas`
pub(super) fn schemas(call: &Call) -> Object {
    let mut schemas = Object::new();
    schemas.insert("error".into(), shapes::error());
    for collection in call.registry.iter() {
        for (form, suffix) in [(Form::Shown, ""), (Form::Sent, "-new"), (Form::Changed, "-changes")] {
            let name = format!("{}{suffix}", collection.name);
            if &*collection.name == "plugins" && form != Form::Changed {
                plugins(call, collection, form, &name, &mut schemas);
            } else {
                schemas.insert(name, shape(collection, &collection.schema, form));
            }
        }
    }
    for collection in [&ADMIN_TOKENS, &ADMIN_CERTIFICATES, &ADMIN_ROLES] {
        for (form, suffix) in [(Form::Shown, ""), (Form::Sent, "-new"), (Form::Changed, "-changes")] {
            schemas.insert(format!("{}{suffix}", collection.name), access(collection, form));
        }
    }
    if let Some(modules) = call.registry.get("modules") {
        schemas.insert("modules-settings".into(), settings(&modules.schema));
    }
    schemas
}

fn shape(collection: &Collection, schema: &Schema, form: Form) -> Value {
    let mut shape = schema.shape(form);
    if collection.ttl {
        shape["properties"]["ttl"] = json!({
            "type": ["integer", "null"], "minimum": 0, "maximum": 100_000_000,
            "description": "Seconds until the entity ceases to exist.",
        });
    }
    shape
}

/// What clients see and say of who may use this API: nothing of the hash.
fn access(collection: &Collection, form: Form) -> Value {
    let mut shape = collection.schema.shape(form);
    for hidden in access::hidden(form == Form::Shown) {
        if let Some(properties) = shape["properties"].as_object_mut() {
            properties.remove(*hidden);
        }
        if let Some(required) = shape.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| name != hidden);
        }
    }
    if collection.schema.field("expires_at").is_some() && form != Form::Shown {
        shape["properties"]["ttl"] = json!({
            "type": "integer", "minimum": 1, "maximum": u32::MAX, "description": "Seconds until it expires.",
        });
    }
    shape
}

/// One schema for each plugin, and one for whichever it is.
fn plugins(call: &Call, collection: &Collection, form: Form, name: &str, schemas: &mut Object) {
    let mut names = call.context.plugins.names();
    names.sort();
    let mut choices = Object::new();
    for plugin in names {
        let Some(info) = call.context.plugins.schema(&plugin) else { continue };
        let mut shape = shape(collection, &collection.schema.with(&info.overrides), form);
        shape["properties"]["name"] = json!({ "const": &*plugin });
        schemas.insert(format!("{name}-{plugin}"), shape);
        choices.insert(plugin.to_string(), format!("#/components/schemas/{name}-{plugin}").into());
    }
    let any = if choices.is_empty() {
        shape(collection, &collection.schema, form)
    } else {
        let one_of: Vec<Value> = choices.values().map(|choice| json!({ "$ref": choice })).collect();
        json!({ "oneOf": one_of, "discriminator": { "propertyName": "name", "mapping": choices } })
    };
    schemas.insert(name.to_owned(), any);
}

/// What operators may change of a module.
fn settings(schema: &Schema) -> Value {
    let mut shape = schema.shape(Form::Changed);
    if let Some(properties) = shape["properties"].as_object_mut() {
        properties.retain(|name, _| SETTINGS.contains(&name.as_str()));
    }
    shape
}
