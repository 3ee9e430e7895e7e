//! What a request needs to be allowed: verbs and what they touch.

use http::Method;

use super::super::resource::Resource;
use crate::model::{Collection, Touched, Verb};

/// One thing that must be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::admin) struct Demand<'a> {
    pub(in crate::admin) verb: Verb,
    pub(in crate::admin) touched: Touched<'a>,
}

/// Everything that a request needs to be allowed. Resources that are not collections go by the first segment of their
/// path, so that a new one is covered before anybody thinks of it.
pub(in crate::admin) fn demands<'a>(
    method: &Method,
    resource: &'a Resource,
    segments: &'a [&'a str],
) -> Vec<Demand<'a>> {
    let first = segments.first().copied().unwrap_or_default();
    let of = |collection: &'a Collection| [&*collection.name, &*collection.path];
    let names = match resource {
        Resource::Collection(collection) | Resource::Entity(collection, _) => of(collection),
        Resource::Children(nested) | Resource::Child(nested, _) | Resource::AllTargets(nested) => of(&nested.child),
        Resource::Health(_) | Resource::TargetHealth(_) => ["targets", "targets"],
        Resource::Referenced(_, _, reference) => [&*reference.to, &*reference.to],
        _ => [first, first],
    };
    let demand = |verb, names| Demand { verb, touched: Touched { names, segments } };
    if matches!(resource, Resource::Explain) {
        // It changes nothing, and tells of all of these.
        return ["routes", "services", "plugins", "consumers"].map(|name| demand(Verb::Read, [name, name])).into();
    }
    let mut demands: Vec<_> = verbs(method, first).iter().map(|verb| demand(*verb, names)).collect();
    if let Resource::Referenced(child, ..) = resource
        && *method == Method::PUT
    {
        // Where there is no parent yet, one is made and the child refers to it from then on.
        demands.extend([demand(Verb::Create, names), demand(Verb::Update, of(child))]);
    }
    demands
}

fn verbs(method: &Method, first: &str) -> &'static [Verb] {
    if first == "admin-access" {
        // Who one is, one may know.
        return &[];
    }
    if *method == Method::GET || *method == Method::HEAD {
        return &[Verb::Read];
    }
    match first {
        "modules" if *method == Method::PATCH => &[Verb::Grant],
        "modules" => &[Verb::Upload],
        "admin-tokens" | "admin-certificates" | "admin-roles" => &[Verb::Administer],

        // Validation stores nothing.
        "schemas" => &[Verb::Read],
        // Each of these can do everything that the other verbs can.
        "config" | "transactions" => &[Verb::Create, Verb::Update, Verb::Delete],
        _ if *method == Method::POST => &[Verb::Create],
        _ if *method == Method::DELETE => &[Verb::Delete],
        _ => &[Verb::Update],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::core_registry;

    #[test]
    fn a_request_demands_a_verb_on_what_it_touches() {
        let registry = core_registry();
        for (method, path, verb, name) in [
            ("GET", "", Verb::Read, ""),
            ("HEAD", "services", Verb::Read, "services"),
            ("POST", "services", Verb::Create, "services"),
            ("PUT", "services/a", Verb::Update, "services"),
            ("PATCH", "services/a", Verb::Update, "services"),
            ("DELETE", "services/a", Verb::Delete, "services"),
            ("POST", "services/a/plugins", Verb::Create, "plugins"),
            ("DELETE", "services/a/routes/b", Verb::Delete, "routes"),
            ("GET", "routes/a/service", Verb::Read, "services"),
            ("PATCH", "routes/a/service", Verb::Update, "services"),
            ("GET", "upstreams/a/health", Verb::Read, "targets"),
            ("PUT", "upstreams/a/targets/b/healthy", Verb::Update, "targets"),
            ("POST", "modules", Verb::Upload, "modules"),
            ("PUT", "modules/a", Verb::Upload, "modules"),
            ("DELETE", "modules/a", Verb::Upload, "modules"),
            ("PATCH", "modules/a", Verb::Grant, "modules"),
            ("GET", "modules/a/code", Verb::Read, "modules"),
            ("POST", "schemas/services/validate", Verb::Read, "schemas"),
            ("GET", "admin-tokens", Verb::Read, "admin-tokens"),
            ("POST", "admin-tokens", Verb::Administer, "admin-tokens"),
            ("DELETE", "admin-roles/a", Verb::Administer, "admin-roles"),
        ] {
            let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
            let resource = Resource::find(&registry, &segments).unwrap_or_else(|| panic!("{path}"));
            let demands = demands(&Method::try_from(method).unwrap(), &resource, &segments);
            let found: Vec<_> = demands.iter().map(|demand| (demand.verb, demand.touched.names[0])).collect();
            assert_eq!(found, [(verb, name)], "{method} {path}");
        }
    }

    #[test]
    fn an_explanation_reads_all_that_it_tells_of() {
        let (registry, segments) = (core_registry(), ["routes", "explain"]);
        let resource = Resource::find(&registry, &segments).unwrap();
        let demands = demands(&Method::POST, &resource, &segments);
        let found: Vec<_> = demands.iter().map(|demand| (demand.verb, demand.touched.names[0])).collect();
        assert_eq!(found, ["routes", "services", "plugins", "consumers"].map(|name| (Verb::Read, name)));
    }

    #[test]
    fn putting_a_parent_also_changes_the_child() {
        let (registry, segments) = (core_registry(), ["routes", "a", "service"]);
        let resource = Resource::find(&registry, &segments).unwrap();
        let demands = demands(&Method::PUT, &resource, &segments);
        let found: Vec<_> = demands.iter().map(|demand| (demand.verb, demand.touched.names[0])).collect();
        assert_eq!(found, [(Verb::Update, "services"), (Verb::Create, "services"), (Verb::Update, "routes")]);
    }
}
