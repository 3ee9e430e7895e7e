//! Operations on entities and what is made of them.

use serde_json::json;

use super::{
    operation::Operation,
    shapes::{self, changed, list, message, sent, shown},
};
use crate::{admin::resource::Nested, model::Collection};

pub(super) fn tags() -> Operation {
    Operation::read("Which entity has which tag", shapes::page(shapes::tag())).with(&["size", "offset"])
}

pub(super) fn schema() -> Operation {
    Operation::read("Fields, defaults and checks, in Kong's form", shapes::schema()).refused(&[404])
}

pub(super) fn validate() -> Operation {
    Operation::read("Whether an entity would be accepted", message()).takes(json!({ "type": "object" })).refused(&[404])
}

/// A collection; `also` is what it may refuse with besides.
pub(super) fn collection(name: &str, also: &[u16], method: &str) -> Operation {
    let operation = match method {
        "POST" => Operation::new(format!("Add to {name}"))
            .takes(sent(name))
            .answers(201, shown(name))
            .writes()
            .refused(&[409]),
        _ => Operation::read(format!("A page of {name}"), list(name)).with(&["size", "offset", "tags"]),
    };
    operation.of(name).refused(also)
}

/// A name in the path that nothing has is told, even to one who deletes.
pub(super) fn one(collection: &Collection, method: &str) -> Operation {
    let operation = entity(&collection.name, method);
    if collection.names.is_some() { operation.refused(&[404]) } else { operation }
}

fn entity(name: &str, method: &str) -> Operation {
    let operation = match method {
        "PUT" => {
            Operation::read(format!("Create or replace one of {name}"), shown(name)).takes(sent(name)).refused(&[409])
        }
        "PATCH" => {
            Operation::read(format!("Change one of {name}"), shown(name)).takes(changed(name)).refused(&[404, 409])
        }
        "DELETE" => Operation::new(format!("Delete one of {name}")).empty(204),
        _ => return Operation::read(format!("One of {name}"), shown(name)).of(name).refused(&[404]),
    };
    operation.of(name).writes()
}

/// As the entity itself, except that the parent may be missing, and who owns the child is said by the path.
pub(super) fn child(nested: &Nested, method: &str) -> Operation {
    entity(&nested.child.name, method).refused(&[404])
}

/// The parent that one of `name` refers to.
pub(super) fn referenced(name: &str, parent: &str, method: &str) -> Operation {
    let which = format!("the one of {parent} that one of {name} refers to");
    let operation = match method {
        "PUT" => Operation::read(format!("Replace {which}"), shown(parent)).takes(sent(parent)),
        "PATCH" => Operation::read(format!("Change {which}"), shown(parent)).takes(changed(parent)),
        _ => return Operation::read(format!("Show {which}"), shown(parent)).of(parent).refused(&[404]),
    };
    operation.of(parent).writes().refused(&[404, 409])
}

pub(super) fn all_targets() -> Operation {
    Operation::read("Every target as it is stored", list("targets")).of("targets").refused(&[404])
}

pub(super) fn health() -> Operation {
    let parameters = &["balancer_health", "size", "offset"];
    let operation = Operation::read("How the targets of an upstream fare", shapes::health()).with(parameters);
    operation.of("upstreams").refused(&[404])
}

pub(super) fn set_health() -> Operation {
    let operation = Operation::new("Mark a target as healthy or not").empty(204).answers(202, message());
    operation.of("upstreams").refused(&[400, 404])
}

pub(super) fn modules(method: &str) -> Operation {
    match method {
        "POST" => upload("Upload a new module").answers(201, shown("modules")),
        _ => Operation::read("A page of the modules", list("modules")).with(&["size", "offset"]).of("modules"),
    }
}

pub(super) fn module(method: &str) -> Operation {
    match method {
        "PUT" => {
            upload("Upload another version of a module, or a new one").answers(200, shown("modules")).refused(&[404])
        }
        "PATCH" => Operation::read("Change grants, limits or the failure policy of a module", shown("modules"))
            .takes(json!({ "$ref": "#/components/schemas/modules-settings" }))
            .of("modules")
            .writes()
            .refused(&[404]),
        "DELETE" => Operation::new("Delete a module").empty(204).of("modules").writes(),
        _ => Operation::read("A module", shown("modules")).of("modules").refused(&[404]),
    }
}

pub(super) fn module_code() -> Operation {
    let content = json!({ "application/wasm": {} });
    Operation::new("The code of a module").sends(200, content).empty(304).of("modules").refused(&[404])
}

fn upload(summary: &str) -> Operation {
    let bytes = json!({ "type": "string", "contentMediaType": "application/wasm" });
    let parts = json!({ "type": "object", "properties": { "module": bytes }, "required": ["module"] });
    let content = json!({ "application/wasm": {}, "multipart/form-data": { "schema": parts } });
    Operation::new(summary).takes_content(content).of("modules").writes().refused(&[409])
}
