//! Operations on versions, transactions, the audit log and nodes.

use serde_json::{Value, json};

use super::{
    operation::Operation,
    shapes::{operations, page},
};

pub(super) fn list() -> Operation {
    paged("Versions, newest first")
}

pub(super) fn one() -> Operation {
    let one = Operation::read("What made a version", object()).with(&["wait", "wait-timeout"]);
    one.of("versions").refused(&[404, 410, 504])
}

pub(super) fn diff() -> Operation {
    paged("How two versions differ").refused(&[404, 410])
}

pub(super) fn rollback() -> Operation {
    written("A new version with the state of this one").refused(&[404, 409, 410])
}

pub(super) fn transactions() -> Operation {
    written("Many operations as one version, all of them or none").takes(operations()).refused(&[404, 409])
}

pub(super) fn audit() -> Operation {
    paged("Who changed what, or tried")
}

pub(super) fn cluster() -> Operation {
    Operation::read("Nodes, and what they serve", rows()).of("versions")
}

fn paged(summary: &str) -> Operation {
    Operation::read(summary, rows()).with(&["size", "offset"]).of("versions")
}

fn written(summary: &str) -> Operation {
    Operation::read(summary, object()).writes().of("versions")
}

fn rows() -> Value {
    page(object())
}

fn object() -> Value {
    json!({ "type": "object" })
}
