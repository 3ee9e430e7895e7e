//! The collections that the gateway has without any module.

use super::{Registry, consumer, module, plugin, route, service, target, upstream};

/// The gateway's own collections, parents before children.
pub fn core_registry() -> Registry {
    let mut registry = Registry::default();
    for collection in [
        service::collection(),
        route::collection(),
        consumer::collection(),
        plugin::collection(),
        upstream::collection(),
        target::collection(),
        module::collection(),
    ] {
        registry.add(collection);
    }
    registry
}
