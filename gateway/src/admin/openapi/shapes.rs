//! Shapes that are not entities: errors, pages, parameters, and what a node says about itself.

use serde_json::{Value, json};

use crate::model::Object;

/// What the answers with a status mean.
pub(super) fn meaning(status: u16) -> &'static str {
    match status {
        200 => "Done",
        201 => "Created",
        204 => "Done; nothing to say",
        304 => "Unchanged",
        400 => "The request is refused: `code`, `name` and `fields` say why, where Kong has a code for it",
        401 => "No valid token or certificate",
        403 => "The token does not allow this",
        404 => "Nothing is there",
        405 => "There is no database to write to",
        408 => "The body came too slowly",
        409 => "Another entity has the same unique values, or the state of old cannot be had again",
        410 => "The history no longer reaches back so far",
        413 => "The body is too large",
        415 => "The media type is not read here",
        429 => "Too many failed attempts from this address",
        501 => "Not built",
        504 => "Committed, but not served by every node in time",
        _ => "Cannot be done now",
    }
}

/// The refusals that operations refer to, by status.
pub(super) fn refusals() -> Object {
    let refusal = |status: u16| {
        let mut response = json!({ "description": meaning(status) });
        // Kong answers 415 without a body.
        if status != 415 {
            let schema = json!({ "$ref": "#/components/schemas/error" });
            response["content"] = json!({ "application/json": { "schema": schema } });
        }
        (status.to_string(), response)
    };
    [400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 429, 503, 504].map(refusal).into_iter().collect()
}

/// The body of a refusal.
pub(super) fn error() -> Value {
    json!({
        "type": "object",
        "required": ["message"],
        "properties": {
            "message": { "type": "string" },
            "code": { "type": "integer", "minimum": 1, "maximum": 19 },
            "name": { "type": "string" },
            "fields": { "type": "object", "description": "What is wrong, by field." },
            "options": { "type": "object", "description": "What is wrong with the query, by argument." },
            "reasons": { "type": "array", "items": { "type": "string" }, "description": "Why a module is refused." },
        },
    })
}

/// Query and header parameters that operations refer to.
pub(super) fn parameters() -> Object {
    let query = |name: &str, description: &str, schema: Value| json!({ "in": "query", "name": name, "description": description, "schema": schema });
    let text = || json!({ "type": "string" });
    let mut parameters = Object::new();
    let mut add = |parameter: Value, key: &str| _ = parameters.insert(key.to_owned(), parameter);
    let size = json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 });
    add(query("size", "Entities of a page.", size), "size");
    add(query("offset", "Where the page begins: `offset` of the page before.", text()), "offset");
    add(
        query("tags", "`a,b` for entities with all of these tags, `a/b` for any of them; at most five.", text()),
        "tags",
    );
    add(query("unit", "Unit of sizes.", json!({ "enum": ["b", "k", "m", "g"], "default": "m" })), "unit");
    add(query("scale", "Digits behind the point.", json!({ "type": "integer", "minimum": 0, "default": 2 })), "scale");
    let seconds = json!({ "type": "number", "minimum": 0, "default": 60 });
    add(query("timeout", "Seconds until the level is as before; 0 for as long as the node runs.", seconds), "timeout");
    add(query("balancer_health", "Whether to show the balancer as a whole.", text()), "balancer_health");
    let version = json!({
        "in": "header", "name": "X-Sandgate-Config-Version", "schema": { "type": "string" },
        "description": "With any value: the answer has the configuration version that the write made, under the same name.",
    });
    add(version, "config-version");
    let applied = json!({ "enum": ["applied"] });
    add(query("wait", "Answer when every live node serves the version.", applied), "wait");
    let seconds = json!({ "type": "number", "minimum": 0, "maximum": 120, "default": 10 });
    add(query("wait_timeout", "Seconds after which waiting ends with 504; the write stands.", seconds), "wait-timeout");
    let tried = json!({ "enum": ["0", "1"], "default": "0" });
    add(query("dry_run", "Check everything and show what would change, but commit nothing.", tried), "dry-run");
    parameters
}

/// What a write that was only tried would change.
pub(super) fn tried() -> Value {
    json!({
        "type": "object",
        "required": ["dry_run", "version", "changes", "data"],
        "properties": {
            "dry_run": { "const": true },
            "version": { "type": "integer" },
            "changes": { "type": "object" },
            "data": { "type": "array", "items": { "type": "object" } },
        },
    })
}

/// The body of a transaction.
pub(super) fn operations() -> Value {
    let operation = json!({
        "type": "object",
        "required": ["method", "path"],
        "additionalProperties": false,
        "properties": {
            "method": { "enum": ["POST", "PUT", "PATCH", "DELETE"] },
            "path": { "type": "string", "minLength": 1 },
            "body": { "type": "object" },
        },
    });
    json!({
        "type": "object",
        "required": ["operations"],
        "additionalProperties": false,
        "properties": {
            "operations": { "type": "array", "minItems": 1, "maxItems": 10_000, "items": operation },
        },
    })
}

/// A parameter of a path, by its name there.
pub(super) fn path_parameter(name: &str) -> Value {
    json!({ "in": "path", "name": name, "required": true, "schema": { "type": "string", "minLength": 1 } })
}

/// A page of such elements.
pub(super) fn page(element: Value) -> Value {
    json!({
        "type": "object",
        "required": ["data", "next"],
        "properties": {
            "data": { "type": "array", "items": element },
            "next": { "type": ["string", "null"], "description": "Path of the next page." },
            "offset": { "type": "string", "description": "Absent on the last page." },
        },
    })
}

/// A page of a collection.
pub(super) fn list(collection: &str) -> Value {
    page(shown(collection))
}

/// An entity in an answer.
pub(super) fn shown(collection: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{collection}") })
}

/// A new entity.
pub(super) fn sent(collection: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{collection}-new") })
}

/// Changes to an entity.
pub(super) fn changed(collection: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{collection}-changes") })
}

/// A message alone.
pub(super) fn message() -> Value {
    json!({ "type": "object", "required": ["message"], "properties": { "message": { "type": "string" } } })
}

/// An object with a list of texts.
pub(super) fn texts(name: &str) -> Value {
    json!({
        "type": "object",
        "required": [name],
        "properties": { name: { "type": "array", "items": { "type": "string" } } },
    })
}

/// A tag with the entity that has it.
pub(super) fn tag() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["tag", "entity_name", "entity_id"],
        "properties": { "tag": text, "entity_name": text, "entity_id": { "type": "string", "format": "uuid" } },
    })
}

/// `/schemas/*`
pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["fields"],
        "properties": {
            "fields": { "type": "array", "items": { "type": "object", "minProperties": 1, "maxProperties": 1 } },
            "entity_checks": { "type": "array", "items": { "type": "object" } },
        },
    })
}

/// `/`
pub(super) fn root() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["version", "hostname", "node_id", "plugins", "configuration", "sandgate"],
        "properties": {
            "tagline": text, "edition": text, "hostname": text,
            "version": { "type": "string", "description": "The version of Kong that clients may take this for." },
            "node_id": { "type": "string", "format": "uuid" },
            "plugins": {
                "type": "object",
                "required": ["available_on_server", "enabled_in_cluster"],
                "properties": {
                    "available_on_server": { "type": "object", "additionalProperties": { "type": "object" } },
                    "enabled_in_cluster": { "type": "array", "items": { "type": "string" } },
                },
            },
            "configuration": { "type": "object" },
            "sandgate": {
                "type": "object",
                "required": ["version", "config_version", "quarantined"],
                "properties": {
                    "version": text,
                    "config_version": { "type": "integer" },
                    "quarantined": { "type": "array", "items": { "type": "object" } },
                },
            },
        },
    })
}

/// `/status`
pub(super) fn status() -> Value {
    json!({
        "type": "object",
        "required": ["server", "memory"],
        "properties": {
            "database": { "type": "object", "properties": { "reachable": { "type": "boolean" } } },
            "sandgate": { "type": "object", "properties": {
                "database": { "type": "object", "properties": { "unreachable_since": { "type": ["integer", "null"] } } },
            } },
            "configuration_hash": { "type": "string" },
            "server": { "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } },
            "memory": { "type": "object" },
        },
    })
}

/// `/upstreams/{upstreams}/health`
pub(super) fn health() -> Value {
    json!({
        "type": "object",
        "required": ["data", "next", "node_id"],
        "properties": { "data": { "type": ["array", "object"] }, "next": { "type": ["string", "null"] } },
    })
}
