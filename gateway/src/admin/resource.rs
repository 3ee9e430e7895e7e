//! Which resource a path names. Collections come from the registry, so those of modules have paths like our own.

use std::sync::Arc;

use http::Method;

use crate::model::{ADMIN_CERTIFICATES, ADMIN_ROLES, ADMIN_TOKENS, Collection, Reference, Registry};

/// What a path names.
#[derive(Debug)]
pub(super) enum Resource {
    Root,
    Status,
    Ready,
    Metrics,
    OpenApi,
    Endpoints,
    Tags,
    Tag(String),
    EnabledPlugins,
    EntitySchema(String),
    PluginSchema(String),
    /// `/plugins/schema/{name}`: the configuration alone.
    PluginConfigSchema(String),
    ValidateEntity(String),
    ValidatePlugin,
    /// `/schemas/vaults/{kind}`
    VaultSchema(String),
    /// `/schemas/filters/{name}`: there are none.
    FilterSchema(String),
    /// What Kong offers where proxy-wasm is on.
    WasmOnly,
    LogLevel,
    /// `/config`: everything, without a database.
    Config,
    SetLogLevel(String),
    Dns,
    Timers,
    Cache,
    CacheKey,
    ControlPlaneOnly,
    Collection(Arc<Collection>),
    Entity(Arc<Collection>, String),
    Children(Nested),
    Child(Nested, String),
    /// The entity that a reference points to.
    Referenced(Arc<Collection>, String, Reference),
    AllTargets(Nested),
    Health(String),
    TargetHealth(Mark),
    /// `/admin-tokens` and its like, in no registry.
    Access(Arc<Collection>),
    AccessOne(Arc<Collection>, String),
    Who,
    Modules,
    Module(String),
    ModuleCode(String),
    /// `/config/versions`
    Versions,
    Version(String),
    VersionDiff(String, String),
    Rollback(String),
    Transactions,
    Audit,
    Cluster,
    /// `/routes/explain`
    Explain,
}

/// `/upstreams/{upstream}/targets/{target}/{address}/healthy`
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) upstream: String,
    pub(super) target: String,
    /// One address of the target, if named.
    pub(super) address: Option<String>,
    pub(super) healthy: bool,
}

impl Mark {
    fn new(upstream: &str, (target, address): (&str, Option<&str>), state: &str) -> Self {
        let (upstream, target, address) = (upstream.to_owned(), target.to_owned(), address.map(str::to_owned));
        Self { upstream, target, address, healthy: state == "healthy" }
    }
}

/// Children of one parent.
#[derive(Debug)]
pub(super) struct Nested {
    pub(super) parent: Arc<Collection>,
    /// Id or alternate key of the parent.
    pub(super) key: String,
    pub(super) child: Arc<Collection>,
    pub(super) reference: Reference,
}

const READ: &[&str] = &["GET", "HEAD", "OPTIONS"];
const LIST: &[&str] = &["GET", "HEAD", "OPTIONS", "POST"];
const ANY: &[&str] = &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
const ONE: &[&str] = &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"];

impl Resource {
    /// The resource at these segments.
    pub(super) fn find(registry: &Registry, segments: &[&str]) -> Option<Self> {
        Self::find_fixed(segments).or_else(|| Self::find_entity(registry, segments))
    }

    fn find_fixed(segments: &[&str]) -> Option<Self> {
        Some(match *segments {
            [] => Resource::Root,
            ["status"] => Resource::Status,
            ["openapi.json"] => Resource::OpenApi,
            ["endpoints"] => Resource::Endpoints,
            ["tags"] => Resource::Tags,
            ["tags", tag] => Resource::Tag(tag.to_owned()),
            ["plugins", "enabled"] => Resource::EnabledPlugins,
            ["plugins", "schema", name] => Resource::PluginConfigSchema(name.to_owned()),
            ["schemas", "plugins", "validate"] => Resource::ValidatePlugin,
            ["schemas", "plugins", name] => Resource::PluginSchema(name.to_owned()),
            ["schemas", "filters", name] => Resource::FilterSchema(name.to_owned()),
            ["schemas", "vaults", kind] if kind != "validate" => Resource::VaultSchema(kind.to_owned()),
            ["schemas", name, "validate"] => Resource::ValidateEntity(name.to_owned()),
            ["schemas", name] => Resource::EntitySchema(name.to_owned()),
            ["debug", "node", "log-level"] => Resource::LogLevel,
            ["config"] => Resource::Config,
            ["debug", "node" | "cluster", "log-level", level] => Resource::SetLogLevel(level.to_owned()),
            ["status", "dns"] => Resource::Dns,
            ["timers"] => Resource::Timers,
            ["cache"] => Resource::Cache,
            ["cache", _] => Resource::CacheKey,
            ["metrics"] => Resource::Metrics,
            ["clustering", "data-planes" | "status"] => Resource::ControlPlaneOnly,
            ["admin-access"] => Resource::Who,
            [path] if access(path).is_some() => Resource::Access(access(path)?),
            [path, key] if access(path).is_some() => Resource::AccessOne(access(path)?, key.to_owned()),
            ["modules"] => Resource::Modules,
            ["modules", key] => Resource::Module(key.to_owned()),
            ["modules", key, "code"] => Resource::ModuleCode(key.to_owned()),
            ["filter-chains"]
            | ["filter-chains", _]
            | ["filter-chains", _, "route" | "service"]
            | ["routes" | "services", _, "filter-chains"]
            | ["routes" | "services", _, "filter-chains", _]
            | ["routes", _, "filters", "all" | "enabled" | "disabled"] => Resource::WasmOnly,
            ["config", "versions"] => Resource::Versions,
            ["config", "versions", version] => Resource::Version(version.to_owned()),
            ["config", "versions", version, "rollback"] => Resource::Rollback(version.to_owned()),
            ["config", "versions", from, "diff", to] => Resource::VersionDiff(from.to_owned(), to.to_owned()),
            ["transactions"] => Resource::Transactions,
            ["audit"] => Resource::Audit,
            ["cluster"] => Resource::Cluster,
            ["routes", "explain"] => Resource::Explain,
            ["upstreams", upstream, "health"] => Resource::Health(upstream.to_owned()),
            ["upstreams", upstream, "targets", target, state @ ("healthy" | "unhealthy")] => {
                Resource::TargetHealth(Mark::new(upstream, (target, None), state))
            }
            ["upstreams", upstream, "targets", target, address, state @ ("healthy" | "unhealthy")] => {
                Resource::TargetHealth(Mark::new(upstream, (target, Some(address)), state))
            }
            _ => return None,
        })
    }

    fn find_entity(registry: &Registry, segments: &[&str]) -> Option<Self> {
        let (first, rest) = segments.split_first()?;
        let collection = registry.by_path(first).filter(|collection| &*collection.name != "targets")?.clone();
        let nested = |key: &str, path: &str| {
            let below =
                |(_, reference): &(&Arc<Collection>, &Reference)| reference.nested_path.as_deref() == Some(path);
            let (child, reference) = registry.children(&collection.name).find(below)?;
            let (parent, key) = (collection.clone(), key.to_owned());
            Some(Nested { parent, key, child: child.clone(), reference: reference.clone() })
        };
        match *rest {
            [] => Some(Resource::Collection(collection)),
            [key] => Some(Resource::Entity(collection, key.to_owned())),
            [key, path] => match nested(key, path) {
                Some(nested) => Some(Resource::Children(nested)),
                None => {
                    // The certificate of an SNI is only reached by its own path.
                    let followed = |reference: &&Reference| &*reference.field == path && *first != "snis";
                    let reference = collection.references.iter().find(followed)?.clone();
                    Some(Resource::Referenced(collection, key.to_owned(), reference))
                }
            },
            [key, "targets", "all"] if *first == "upstreams" => nested(key, "targets").map(Resource::AllTargets),
            [key, path, child] => nested(key, path).map(|nested| Resource::Child(nested, child.to_owned())),
            _ => None,
        }
    }

    /// The resource that a request with this method is about: a route may be called `explain`, and only a POST asks for
    /// explanations.
    pub(super) fn meant_by(self, method: &Method, registry: &Registry) -> Self {
        match (self, registry.get("routes")) {
            (Resource::Explain, Some(routes)) if !matches!(*method, Method::POST | Method::OPTIONS) => {
                Resource::Entity(routes.clone(), "explain".to_owned())
            }
            (resource, _) => resource,
        }
    }

    /// The methods that its path takes, sorted.
    pub(super) fn allowed(&self) -> &'static [&'static str] {
        if matches!(self, Resource::Explain) { ANY } else { self.methods() }
    }

    /// What the Status API has.
    pub(super) fn find_status(segments: &[&str]) -> Option<Self> {
        match *segments {
            ["status"] => Some(Resource::Status),
            ["status", "ready"] => Some(Resource::Ready),
            ["status", "dns"] => Some(Resource::Dns),
            ["metrics"] => Some(Resource::Metrics),
            _ => None,
        }
    }

    /// The methods it takes, sorted.
    pub(super) fn methods(&self) -> &'static [&'static str] {
        match self {
            Resource::Collection(_)
            | Resource::Children(_)
            | Resource::Modules
            | Resource::Config
            | Resource::Access(_) => LIST,
            // A token is made by POST alone, which shows it.
            Resource::AccessOne(collection, _) if *collection.name == *ADMIN_TOKENS.name => {
                &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH"]
            }
            Resource::Entity(..) | Resource::Child(..) | Resource::Module(_) | Resource::AccessOne(..) => ONE,
            Resource::Referenced(..) => &["GET", "HEAD", "OPTIONS", "PATCH", "PUT"],
            Resource::ValidateEntity(_)
            | Resource::ValidatePlugin
            | Resource::Rollback(_)
            | Resource::Transactions
            | Resource::Explain => &["OPTIONS", "POST"],
            Resource::WasmOnly => ANY,
            Resource::SetLogLevel(_) => &["OPTIONS", "PUT"],
            Resource::Cache => &["DELETE", "OPTIONS"],
            Resource::CacheKey => &["DELETE", "GET", "HEAD", "OPTIONS"],
            Resource::TargetHealth(_) => &["OPTIONS", "POST", "PUT"],
            _ => READ,
        }
    }

    /// Whether it takes this method.
    pub(super) fn takes(&self, method: &Method) -> bool {
        self.methods().contains(&method.as_str())
    }

    /// Whether its writes are entities: part of the configuration, and of a transaction if need be.
    pub(super) fn is_entity(&self) -> bool {
        use Resource::{Child, Children, Collection, Entity, Referenced};
        matches!(self, Collection(_) | Entity(..) | Children(_) | Child(..) | Referenced(..))
    }

    /// Whether its writes make versions of the configuration.
    pub(super) fn makes_versions(&self) -> bool {
        use Resource::{Module, Modules, Rollback, Transactions};
        self.is_entity() || matches!(self, Modules | Module(_) | Rollback(_) | Transactions)
    }
}

/// The collection about access at a path.
fn access(path: &str) -> Option<Arc<Collection>> {
    let all = [&ADMIN_TOKENS, &ADMIN_CERTIFICATES, &ADMIN_ROLES];
    all.into_iter().find(|collection| *collection.path == *path).map(|collection| Arc::clone(collection))
}
