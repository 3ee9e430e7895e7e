//! What each resource does, by method. No `_` arm over resources: one that is not described does not compile.

use super::{entity_operations as entities, node, operation::Operation, versions};
use crate::admin::resource::Resource;

/// The operation behind a method of a resource. One line a resource.
pub(super) fn describe(resource: &Resource, method: &str) -> Operation {
    match resource {
        Resource::Root => node::root(),
        Resource::Status => node::status(),
        Resource::Ready => node::ready(),
        Resource::Metrics => node::metrics(),
        Resource::Dns => node::dns(),
        Resource::OpenApi => node::document(),
        Resource::Endpoints => node::endpoints(),
        Resource::EnabledPlugins => node::enabled_plugins(),
        Resource::Timers => node::timers(),
        Resource::Cache => node::cache(),
        Resource::CacheKey => node::cache_key(method),
        Resource::LogLevel => node::log_level(),
        Resource::SetLogLevel(_) => node::set_log_level(),
        Resource::Config => node::config(method),
        Resource::ControlPlaneOnly => node::control_plane_only(),
        Resource::WasmOnly => node::wasm_only(),
        Resource::Tags | Resource::Tag(_) => entities::tags(),
        Resource::EntitySchema(_) | Resource::PluginSchema(_) | Resource::PluginConfigSchema(_) => entities::schema(),
        Resource::VaultSchema(_) | Resource::FilterSchema(_) => entities::schema(),
        Resource::ValidateEntity(_) | Resource::ValidatePlugin => entities::validate(),
        Resource::Collection(collection) => entities::collection(&collection.name, &[], method),
        Resource::Entity(collection, _) => entities::one(collection, method),
        Resource::Children(nested) => entities::collection(&nested.child.name, &[404], method),
        Resource::Child(nested, _) => entities::child(nested, method),
        Resource::Referenced(collection, _, reference) => entities::referenced(&collection.name, &reference.to, method),
        Resource::AllTargets(_) => entities::all_targets(),
        Resource::Health(_) => entities::health(),
        Resource::TargetHealth(_) => entities::set_health(),
        Resource::Access(collection) => entities::collection(&collection.name, &[], method),
        Resource::AccessOne(collection, _) => entities::one(collection, method).refused(&[404]),
        Resource::Who => node::who(),
        Resource::Modules => entities::modules(method),
        Resource::Module(_) => entities::module(method),
        Resource::ModuleCode(_) => entities::module_code(),
        Resource::Versions => versions::list(),
        Resource::Version(_) => versions::one(),
        Resource::VersionDiff(..) => versions::diff(),
        Resource::Rollback(_) => versions::rollback(),
        Resource::Transactions => versions::transactions(),
        Resource::Audit => versions::audit(),
        Resource::Cluster => versions::cluster(),
        Resource::Explain => node::explain(),
    }
}
