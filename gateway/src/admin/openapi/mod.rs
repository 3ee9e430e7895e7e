//! `GET /openapi.json`: the Admin API described in OpenAPI 3.1. Nothing is written twice: paths and methods come from the
//! resource table, entities from their schemas, plugins and their collections from the manifests of the modules that are
//! there at this moment.

mod entities;
mod entity_operations;
mod node;
mod operation;
mod resources;
mod shapes;
mod versions;

use serde_json::{Value, json};

use super::{answer::Answer, call::Call, info, resource::Resource};
use crate::model::{Object, Registry};

/// `GET /openapi.json`
pub(super) fn document(call: &Call) -> Answer {
    let (schemas, registry) = (entities::schemas(call), &call.registry);
    let tags: Vec<Value> = registry.iter().map(|collection| json!({ "name": &*collection.name })).collect();
    Answer::ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sandgate Admin API",
            "version": call.context.node.version,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": ABOUT,
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "token": [] }],
        "tags": tags,
        "paths": paths(registry),
        "components": {
            "schemas": schemas,
            "parameters": shapes::parameters(),
            "responses": shapes::refusals(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    }))
}

const ABOUT: &str = "Every path that takes GET takes HEAD, and every path takes OPTIONS. Bodies may be JSON or forms; \
    `{key}` is an id or, where the entity has one, its name. Checks that span fields are in `/schemas/*`. \
    With `dry_run=1` a write of the configuration is checked and compared, not committed, and answers 200.";

/// Every path there is, with the resource that it names.
pub(super) fn resources(registry: &Registry) -> impl Iterator<Item = (String, Resource)> {
    info::paths(registry).into_iter().filter_map(|path| {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let resource = Resource::find(registry, &segments)?;
        Some((path, resource))
    })
}

fn paths(registry: &Registry) -> Object {
    resources(registry).map(|(path, resource)| (path.clone(), item(&path, &resource))).collect()
}

fn item(path: &str, resource: &Resource) -> Value {
    let mut item = Object::new();
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = names.map(shapes::path_parameter).collect();
    if !parameters.is_empty() {
        item.insert("parameters".into(), parameters.into());
    }
    for method in resource.methods().iter().filter(|method| !matches!(**method, "HEAD" | "OPTIONS")) {
        let operation = resources::describe(resource, method);
        let tries = *method != "GET" && resource.makes_versions();
        let operation = if tries { operation.tried() } else { operation };
        item.insert(method.to_ascii_lowercase(), operation.finish(method, path));
    }
    Value::Object(item)
}
