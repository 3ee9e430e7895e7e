//! Operations on the node itself.

use serde_json::json;

use super::{
    operation::Operation,
    shapes::{self, message},
};

pub(super) fn root() -> Operation {
    Operation::read("Who this node is and what it can do", shapes::root())
}

pub(super) fn status() -> Operation {
    Operation::read("Connections, memory and database of this node", shapes::status()).with(&["unit", "scale"])
}

pub(super) fn ready() -> Operation {
    Operation::read("Whether this node takes traffic", message()).answers(503, message())
}

pub(super) fn metrics() -> Operation {
    let text = json!({ "text/plain": { "schema": { "type": "string" } } });
    Operation::new("Metrics for Prometheus").sends(200, text)
}

pub(super) fn dns() -> Operation {
    Operation::new("Statistics of name lookups").answers(501, message())
}

pub(super) fn document() -> Operation {
    Operation::read("This document", json!({ "type": "object" }))
}

pub(super) fn endpoints() -> Operation {
    Operation::read("Every path there is", shapes::texts("data"))
}

pub(super) fn enabled_plugins() -> Operation {
    Operation::read("Names of the plugins there are", shapes::texts("enabled_plugins"))
}

pub(super) fn timers() -> Operation {
    Operation::read("Background tasks of this node", json!({ "type": "object" }))
}

pub(super) fn explain() -> Operation {
    let text = || json!({ "type": "string" });
    let values = json!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] });
    let asked = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "method": text(),
            "url": text(),
            "host": text(),
            "path": text(),
            "headers": { "type": "object", "additionalProperties": values },
            "protocol": { "type": "string", "enum": ["http", "https", "grpc", "grpcs"] },
            "http_version": { "type": "string", "enum": ["1.0", "1.1", "2"] },
            "sni": text(),
            "client_ip": text(),
            "port": { "type": "integer", "minimum": 0, "maximum": 65535 },
            "consumer": text(),
        },
    });
    Operation::read("Which route a request would take, and why", json!({ "type": "object" })).takes(asked).of("routes")
}

pub(super) fn who() -> Operation {
    Operation::read("Who this node takes the client for", json!({ "type": "object" }))
}

pub(super) fn cache() -> Operation {
    Operation::new("Drop what is cached").empty(204)
}

pub(super) fn cache_key(method: &str) -> Operation {
    match method {
        "DELETE" => Operation::new("Drop one thing that is cached").empty(204),
        _ => Operation::new("Look at one thing that is cached").refused(&[404]),
    }
}

pub(super) fn log_level() -> Operation {
    Operation::read("How much this node logs", message())
}

pub(super) fn set_log_level() -> Operation {
    let seconds = json!({ "type": "number", "minimum": 0 });
    Operation::read("Change how much this node logs, for a while", message())
        .takes(json!({ "type": "object", "properties": { "timeout": seconds } }))
        .with(&["timeout"])
        .refused(&[405])
}

pub(super) fn wasm_only() -> Operation {
    Operation::new("Filters of proxy-wasm, which are off")
}

pub(super) fn control_plane_only() -> Operation {
    Operation::new("Data planes of a control plane, which this node is not")
}

/// Everything at once, which only a gateway without a database takes.
pub(super) fn config(method: &str) -> Operation {
    let text = json!({ "type": "object", "properties": { "config": { "type": "string" } } });
    if method != "POST" {
        return Operation::read("The configuration as a declarative file, without a database", text);
    }
    let shape = json!({ "type": "object" });
    let content = json!({
        "application/json": { "schema": shape }, "application/yaml": {}, "text/yaml": {},
        "application/x-www-form-urlencoded": { "schema": text }, "multipart/form-data": { "schema": text },
    });
    Operation::new("Replace the configuration by a declarative one, without a database")
        .takes_content(content)
        .answers(201, shape)
        .empty(304)
        .answers(429, message())
}
