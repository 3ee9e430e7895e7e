//! What each resource does, by method. No `_` arm over resources: one that is not described does not compile.

use serde_json::{Value, json};

use super::{
    operation::Operation,
    shapes::{self, changed, list, message, sent, shown},
};
use crate::admin::resource::{Nested, Resource};

/// The operation behind a method of a resource.
pub(super) fn describe(resource: &Resource, method: &str) -> Operation {
    match resource {
        Resource::Root => Operation::read("Who this node is and what it can do", shapes::root()),
        Resource::Status => {
            Operation::read("Connections, memory and database of this node", shapes::status()).with(&["unit", "scale"])
        }
        Resource::Ready => Operation::read("Whether this node takes traffic", message()).answers(503, message()),
        Resource::Metrics => Operation::new("Metrics for Prometheus")
            .sends(200, json!({ "text/plain": { "schema": { "type": "string" } } })),
        Resource::Dns => Operation::new("Statistics of name lookups").answers(501, message()),
        Resource::OpenApi => Operation::read("This document", json!({ "type": "object" })),
        Resource::Endpoints => Operation::read("Every path there is", shapes::texts("data")),
        Resource::EnabledPlugins => Operation::read("Names of the plugins there are", shapes::texts("enabled_plugins")),
        Resource::Timers => Operation::read("Background tasks of this node", json!({ "type": "object" })),
        Resource::Cache => Operation::new("Drop what is cached").empty(204),
        Resource::CacheKey if method == "DELETE" => Operation::new("Drop one thing that is cached").empty(204),
        Resource::CacheKey => Operation::new("Look at one thing that is cached").refused(&[404]),
        Resource::LogLevel => Operation::read("How much this node logs", message()),
        Resource::SetLogLevel(_) => Operation::read("Change how much this node logs, for a while", message())
            .takes(json!({ "type": "object", "properties": { "timeout": { "type": "number", "minimum": 0 } } }))
            .with(&["timeout"])
            .refused(&[405]),
        Resource::ControlPlaneOnly => Operation::new("Data planes of a control plane, which this node is not"),
        Resource::Tags | Resource::Tag(_) => {
            Operation::read("Which entity has which tag", shapes::page(shapes::tag())).with(&["size", "offset"])
        }
        Resource::EntitySchema(_) | Resource::PluginSchema(_) | Resource::PluginConfigSchema(_) => {
            Operation::read("Fields, defaults and checks, in Kong's form", shapes::schema()).refused(&[404])
        }
        Resource::ValidateEntity(_) | Resource::ValidatePlugin => {
            Operation::read("Whether an entity would be accepted", message())
                .takes(json!({ "type": "object" }))
                .refused(&[404])
        }
        Resource::Collection(collection) => collection_operation(&collection.name, &[], method),
        Resource::Entity(collection, _) => entity(&collection.name, method),
        Resource::Children(nested) => collection_operation(&nested.child.name, &[404], method),
        Resource::Child(nested, _) => child(nested, method),
        Resource::Referenced(collection, _, reference) => referenced(&collection.name, &reference.to, method),
        Resource::AllTargets(_) => {
            Operation::read("Every target as it is stored", list("targets")).of("targets").refused(&[404])
        }
        Resource::Health(_) => Operation::read("How the targets of an upstream fare", shapes::health())
            .with(&["balancer_health", "size", "offset"])
            .of("upstreams")
            .refused(&[404]),
        Resource::TargetHealth(_) => {
            Operation::new("Mark a target as healthy or not").empty(204).of("upstreams").refused(&[404])
        }
        Resource::Modules if method == "POST" => upload("Upload a new module").answers(201, shown("modules")),
        Resource::Modules => {
            Operation::read("A page of the modules", list("modules")).with(&["size", "offset"]).of("modules")
        }
        Resource::Module(_) => module(method),
        Resource::ModuleCode(_) => Operation::new("The code of a module")
            .sends(200, json!({ "application/wasm": {} }))
            .empty(304)
            .of("modules")
            .refused(&[404]),
        Resource::Versions
        | Resource::Version(_)
        | Resource::VersionDiff(..)
        | Resource::Rollback(_)
        | Resource::Transactions
        | Resource::Audit
        | Resource::Cluster => of_versions(resource),
    }
}

fn of_versions(resource: &Resource) -> Operation {
    let rows = || shapes::page(json!({ "type": "object" }));
    let tried = |summary: &str| Operation::read(summary, json!({ "type": "object" })).writes().with(&["dry-run"]);
    match resource {
        Resource::Version(_) => {
            let one = Operation::read("What made a version", json!({ "type": "object" }));
            one.with(&["wait", "wait-timeout"]).refused(&[404, 410, 504])
        }
        Resource::VersionDiff(..) => {
            Operation::read("How two versions differ", rows()).with(&["size", "offset"]).refused(&[404, 410])
        }
        Resource::Rollback(_) => tried("A new version with the state of this one").refused(&[404, 409, 410]),
        Resource::Transactions => tried("Many operations as one version, all of them or none")
            .takes(shapes::operations())
            .refused(&[404, 409]),
        Resource::Audit => Operation::read("Who changed what, or tried", rows()).with(&["size", "offset"]),
        Resource::Cluster => Operation::read("Nodes, and what they serve", rows()),
        _ => Operation::read("Versions, newest first", rows()).with(&["size", "offset"]),
    }
    .of("versions")
}

fn collection_operation(name: &str, also: &[u16], method: &str) -> Operation {
    let operation = if method == "POST" {
        Operation::new(format!("Add to {name}")).takes(sent(name)).answers(201, shown(name)).writes().refused(&[409])
    } else {
        Operation::read(format!("A page of {name}"), list(name)).with(&["size", "offset", "tags"])
    };
    operation.of(name).refused(also)
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
fn child(nested: &Nested, method: &str) -> Operation {
    entity(&nested.child.name, method).refused(&[404])
}

fn referenced(name: &str, parent: &str, method: &str) -> Operation {
    let operation = match method {
        "PUT" => Operation::read(format!("Replace the one of {parent} that one of {name} refers to"), shown(parent))
            .takes(sent(parent)),
        "PATCH" => Operation::read(format!("Change the one of {parent} that one of {name} refers to"), shown(parent))
            .takes(changed(parent)),
        _ => {
            return Operation::read(format!("The one of {parent} that one of {name} refers to"), shown(parent))
                .of(parent)
                .refused(&[404]);
        }
    };
    operation.of(parent).writes().refused(&[404, 409])
}

fn module(method: &str) -> Operation {
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

fn upload(summary: &str) -> Operation {
    let bytes = json!({ "type": "string", "contentMediaType": "application/wasm" });
    let parts: Value =
        json!({ "schema": { "type": "object", "properties": { "module": bytes }, "required": ["module"] } });
    let content = json!({ "application/wasm": {}, "multipart/form-data": parts });
    Operation::new(summary).takes_content(content).of("modules").writes().refused(&[409])
}
