//! What operators manage: the description of every entity, its checks and its typed form. No I/O, no async.

mod access;
mod ca_certificate;
mod certificate;
mod collection;
mod consumer;
mod core;
pub mod declarative;
mod entities;
mod filter_chain;
mod healthchecks;
pub mod json;
mod key;
mod module;
mod pem;
mod plugin;
mod plugin_info;
mod route;
pub mod schema;
mod service;
mod target;
mod upstream;
mod vault;
mod vault_reference;

pub use access::{
    ADMIN_CERTIFICATES, ADMIN_ROLES, ADMIN_TOKENS, AccessRows, AdminCertificate, AdminToken, Role, Touched, Verb,
};
pub use collection::{Collection, Listing, Names, OnDelete, Reference, Registry, declared_collections};
pub use core::{core_registry, core_registry_of, filter_chains};
pub use entities::{
    CaCertificate, Certificate, Consumer, Endpoint, HashFields, Id, Module, Plugin, Route, Service, Sni, Target,
    Upstream, Vault,
};
pub use healthchecks::{ActiveChecks, Counts, Healthchecks, PassiveChecks};
pub use module::{Capabilities, capabilities, covers, requested_capabilities};
pub use plugin_info::{ConfigError, Inspected, ModuleState, PluginInfo, Refusal};
pub use target::normal_target;
pub use vault::KINDS as VAULT_KINDS;
pub use vault_reference::{ReferenceError, VaultReference};

/// An entity as the Admin API, the files and the store have it: every field of its schema, absent ones `null`.
pub type Object = serde_json::Map<String, serde_json::Value>;
