//! The collections that the gateway has without any module.

use super::{
    Collection, Registry, ca_certificate, certificate, consumer, filter_chain, key, module, plugin, route, service,
    target, upstream, vault,
};

use crate::router::Flavor;

/// The gateway's own collections, parents before children, with routes of the default flavor.
pub fn core_registry() -> Registry {
    core_registry_of(Flavor::default())
}

/// The gateway's own collections, parents before children.
pub fn core_registry_of(flavor: Flavor) -> Registry {
    let mut registry = Registry::default();
    for collection in [
        certificate::collection(),
        certificate::snis(),
        ca_certificate::collection(),
        service::collection(),
        route::collection(flavor),
        consumer::collection(),
        plugin::collection(),
        upstream::collection(),
        target::collection(),
        vault::collection(),
        key::sets(),
        key::collection(),
        module::collection(),
    ] {
        registry.add(collection);
    }
    registry
}

/// `filter_chains`, which has a schema and nothing else here; it is in no registry.
pub fn filter_chains() -> Collection {
    filter_chain::collection()
}
