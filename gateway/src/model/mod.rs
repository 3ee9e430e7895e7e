//! What operators manage: the description of every entity, its checks and its typed form. No I/O, no async.

mod collection;
mod entities;

pub use collection::{Collection, OnDelete, Reference, Registry};
pub use entities::{Consumer, Id, Module, Plugin, Route, Service, Target, Upstream};

/// An entity as the Admin API, the files and the store have it: every field of its schema, absent ones `null`.
pub type Object = serde_json::Map<String, serde_json::Value>;
