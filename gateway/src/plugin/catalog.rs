//! Loaded modules by digest: bytes in, compiled code and a manifest out. Compilation runs on a thread of its own.

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use aws_lc_rs::digest::{SHA256, digest};
use wasmtime::{
    Engine,
    component::{
        Component, InstancePre,
        types::{ComponentExtern, ComponentItem},
    },
};

use super::{
    bindings::{direct::exports::sandgate::plugin as direct, exports::sandgate::plugin as wit},
    deployment::{Deployment, FailurePolicy, Terms},
    engine::{Bounds, Linkers, engine},
    grants::Grants,
    host::Services,
    instance::{HostState, Instance},
    limits::Limits,
    manifest::Manifest,
    phases::Phases,
};
use crate::shutdown::QuietThread;

/// Package of the contract, and the version this gateway serves.
const PACKAGE: &str = "sandgate:plugin/";
const CONTRACT: &str = "0.1.0";

/// Compiled code of a module.
pub struct LoadedModule {
    /// SHA-256 of the component, hexadecimal.
    pub digest: Arc<str>,
    /// Bytes of the component.
    pub size: usize,
    /// Phases it takes part in.
    pub phases: Phases,
    /// Interfaces it imports.
    pub imports: Vec<String>,
    pub(super) engine: Engine,
    pub(super) pre: InstancePre<HostState>,
    pub(super) exports: Exports,
    pub(super) needs_wasi: bool,
    /// It imports a function that may wait: its calls need a stack of their own.
    pub(super) may_wait: bool,
}

impl std::fmt::Debug for LoadedModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedModule")
            .field("digest", &self.digest)
            .field("phases", &self.phases)
            .finish_non_exhaustive()
    }
}

/// Where the exported functions are.
pub(super) struct Exports {
    pub(super) lifecycle: wit::lifecycle::GuestIndices,
    pub(super) request_headers: Option<wit::request_headers::GuestIndices>,
    pub(super) request_head: Option<wit::request_head::GuestIndices>,
    pub(super) request_body: Option<wit::request_body::GuestIndices>,
    pub(super) response_headers: Option<wit::response_headers::GuestIndices>,
    pub(super) response_head: Option<wit::response_head::GuestIndices>,
    pub(super) response_body: Option<wit::response_body::GuestIndices>,
    pub(super) log: Option<wit::log::GuestIndices>,
    pub(super) batch: Option<wit::batch::GuestIndices>,
    pub(super) timer: Option<wit::timer::GuestIndices>,
    pub(super) direct: DirectExports,
}

/// The same functions, to be called on the worker's own stack.
pub(super) struct DirectExports {
    pub(super) request_headers: Option<direct::request_headers::GuestIndices>,
    pub(super) request_head: Option<direct::request_head::GuestIndices>,
    pub(super) response_headers: Option<direct::response_headers::GuestIndices>,
    pub(super) response_head: Option<direct::response_head::GuestIndices>,
    pub(super) log: Option<direct::log::GuestIndices>,
}

/// One reason why a module is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither a core module nor a component.
    #[error("this is not WebAssembly: {0}")]
    NotWasm(String),
    /// A core module without a component type, or with a wrong one.
    #[error("the core module cannot be made a component: {0}")]
    NotComponent(String),
    /// It does not compile.
    #[error("the component does not compile: {0}")]
    Compile(String),
    /// It wants something this gateway does not have.
    #[error("it imports '{0}', which this gateway does not have")]
    Import(String),
    /// It was made for another contract.
    #[error("it was made for sandgate:plugin {theirs}, this gateway serves {CONTRACT} ({interface})")]
    Contract {
        /// Interface by which it shows.
        interface: String,
        /// The version in its name.
        theirs: String,
    },
    /// An interface has the right name and other functions.
    #[error("its interfaces do not fit: {0}")]
    Mismatch(String),
    /// Every plugin exports it.
    #[error("it does not export sandgate:plugin/lifecycle")]
    NoLifecycle,
    /// Nothing to call.
    #[error("it exports no phase")]
    NoPhase,
    /// `describe` failed.
    #[error("describe() failed: {0}")]
    Describe(String),
    /// `describe` answered with something that cannot be.
    #[error("its manifest cannot be taken: {0}")]
    Manifest(String),
}

/// What an upload turned out to be.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// SHA-256 of the component, hexadecimal.
    pub digest: Arc<str>,
    /// The component: the uploaded bytes, or what the core module became.
    pub component: Arc<Vec<u8>>,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Phases it takes part in.
    pub phases: Phases,
    /// Interfaces it imports.
    pub imports: Vec<String>,
}

/// Uploads at once whose code stays in memory until they are deployed.
const KEPT_UPLOADS: usize = 4;

/// Every loaded module, and what it takes to load more.
pub struct Catalog {
    engine: Engine,
    linkers: Linkers,
    services: Arc<Services>,
    loaded: Mutex<HashMap<Arc<str>, Weak<LoadedModule>>>,
    /// The last uploads: their configurations are checked before a deployment keeps them.
    uploads: Mutex<VecDeque<Arc<LoadedModule>>>,
    /// Compilation takes seconds of a core and nobody's request waits for it.
    compiler: QuietThread,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").finish_non_exhaustive()
    }
}

impl Catalog {
    /// Starts the engine and the compiler's thread. `cache` is where compiled code is kept.
    pub fn new(cache: &Path, bounds: Bounds, services: Arc<Services>) -> wasmtime::Result<Arc<Self>> {
        let engine = engine(cache, bounds)?;
        let linkers = Linkers::new(&engine)?;
        let compiler = QuietThread::start("wasm-compiler", 10);
        Ok(Arc::new(Self { engine, linkers, services, loaded: Mutex::default(), uploads: Mutex::default(), compiler }))
    }

    /// Takes an upload apart. Errors: every reason there is to refuse it.
    pub async fn inspect(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Inspected, Vec<Refused>> {
        let catalog = self.clone();
        let (component, module) = self
            .compiler
            .run(move || {
                let component = componentize(bytes).map_err(|refused| vec![refused])?;
                let module = catalog.compile(&component)?;
                Ok::<_, Vec<Refused>>((component, module))
            })
            .await?;
        let manifest = self.describe(&module).await.map_err(|refused| vec![refused])?;
        self.keep(module.clone());
        Ok(Inspected {
            digest: module.digest.clone(),
            component: Arc::new(component),
            manifest,
            phases: module.phases,
            imports: module.imports.clone(),
        })
    }

    fn keep(&self, upload: Arc<LoadedModule>) {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.push_front(upload);
        uploads.truncate(KEPT_UPLOADS);
    }

    /// Compiled code of a component that the gateway took before, from memory or wasmtime's cache where it is there.
    pub async fn load(self: &Arc<Self>, digest: &str, component: Vec<u8>) -> Result<Arc<LoadedModule>, Vec<Refused>> {
        if let Some(known) = self.known(digest) {
            return Ok(known);
        }
        let catalog = self.clone();
        self.compiler.run(move || catalog.compile(&component)).await
    }

    /// Compiled code that is in memory already.
    pub fn known(&self, digest: &str) -> Option<Arc<LoadedModule>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.upgrade()
    }

    /// A module on an operator's terms.
    pub fn deploy(&self, code: Arc<LoadedModule>, manifest: Arc<Manifest>, terms: Terms) -> Arc<Deployment> {
        Arc::new(Deployment::new(code, manifest, terms, self.services.clone()))
    }

    /// What the host's interfaces stand on.
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// Asks a plugin about a configuration, in an instance without capabilities. Errors: place and message of each mistake.
    pub async fn validate(&self, module: &Arc<LoadedModule>, config: &str) -> Result<(), Vec<(String, String)>> {
        let failed = |reason: String| vec![(String::new(), reason)];
        let mut instance = self.bare_instance(module).await.map_err(failed)?;
        let errors = instance.validate(config).await.map_err(|error| failed(error.to_string()))?;
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn describe(&self, module: &Arc<LoadedModule>) -> Result<Manifest, Refused> {
        let mut instance = self.bare_instance(module).await.map_err(Refused::Describe)?;
        let raw = instance.describe().await.map_err(|error| Refused::Describe(error.to_string()))?;
        Manifest::read(raw).map_err(|error| Refused::Manifest(error.to_string()))
    }

    async fn bare_instance(&self, module: &Arc<LoadedModule>) -> Result<Instance, String> {
        let terms = Terms {
            grants: Grants::default(),
            limits: Limits { memory: 64 << 20, cpu: std::time::Duration::from_millis(500), ..Limits::default() },
            policy: FailurePolicy::Closed,
            priority: 0,
        };
        let deployment = self.deploy(module.clone(), Arc::new(Manifest::nameless()), terms);
        Instance::new(deployment, 0).await.map_err(|error| error.to_string())
    }

    fn compile(&self, component: &[u8]) -> Result<Arc<LoadedModule>, Vec<Refused>> {
        let digest: Arc<str> = digest_of(component).into();
        if let Some(known) = self.known(&digest) {
            return Ok(known);
        }
        let compiled = Component::new(&self.engine, component);
        let compiled = compiled.map_err(|error| vec![Refused::Compile(format!("{error:#}"))])?;
        let interfaces = Interfaces::of(&self.engine, &compiled);
        let mut reasons = interfaces.refusals();
        let linker = if interfaces.needs_wasi() { &self.linkers.wasi } else { &self.linkers.plain };
        let pre = match linker.instantiate_pre(&compiled) {
            Ok(pre) => pre,
            Err(error) => {
                if reasons.is_empty() {
                    reasons.push(Refused::Mismatch(format!("{error:#}")));
                }
                return Err(reasons);
            }
        };
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let exports = find_exports(&pre, &interfaces).map_err(|refused| vec![refused])?;
        let module = Arc::new(LoadedModule {
            digest: digest.clone(),
            size: component.len(),
            phases: interfaces.phases(),
            needs_wasi: interfaces.needs_wasi(),
            may_wait: interfaces.may_wait || interfaces.needs_wasi(),
            imports: interfaces.imports,
            engine: self.engine.clone(),
            pre,
            exports,
        });
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, module| module.strong_count() > 0);
        loaded.insert(digest, Arc::downgrade(&module));
        Ok(module)
    }
}

/// Names of what a component imports and exports.
struct Interfaces {
    imports: Vec<String>,
    exports: Vec<String>,
    /// Among the imports is a function that may wait.
    may_wait: bool,
}

/// Functions that the host answers later. A component keeps the imports that it uses, function by function.
const WAITING: [(&str, &str); 3] =
    [("request", "read-body"), ("outbound-http", "send"), ("outbound-http", "send-kept")];

/// Whether an imported interface has one of them.
fn waits(engine: &Engine, name: &str, item: &ComponentExtern<'_>) -> bool {
    let ComponentItem::ComponentInstance(interface) = &item.ty else { return false };
    let own = name.strip_prefix(PACKAGE).and_then(|rest| rest.split('@').next());
    let mut functions = WAITING.iter().filter(|(of, _)| own == Some(of)).map(|(_, function)| *function);
    functions.any(|function| interface.get_export(engine, function).is_some())
}

impl Interfaces {
    fn of(engine: &Engine, component: &Component) -> Self {
        let kind = component.component_type();
        Self {
            imports: kind.imports(engine).map(|(name, _)| name.to_owned()).collect(),
            exports: kind.exports(engine).map(|(name, _)| name.to_owned()).collect(),
            may_wait: kind.imports(engine).any(|(name, item)| waits(engine, name, &item)),
        }
    }

    fn needs_wasi(&self) -> bool {
        self.imports.iter().any(|name| name.starts_with("wasi:"))
    }

    /// Names of what it exports of the contract.
    fn own_exports(&self) -> impl Iterator<Item = &str> {
        self.exports.iter().filter_map(|name| name.strip_prefix(PACKAGE)?.split('@').next())
    }

    fn export(&self, interface: &str) -> bool {
        self.own_exports().any(|name| name == interface)
    }

    fn phases(&self) -> Phases {
        self.own_exports().fold(Phases::NONE, |phases, name| phases.with(Phases::of(name)))
    }

    fn refusals(&self) -> Vec<Refused> {
        let mut reasons = Vec::new();
        for name in self.imports.iter().chain(&self.exports) {
            let Some((interface, version)) = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')) else {
                continue;
            };
            if !same_contract(version) {
                reasons.push(Refused::Contract { interface: interface.into(), theirs: version.into() });
            }
        }
        let foreign = |name: &&String| !name.starts_with(PACKAGE) && !name.starts_with("wasi:");
        reasons.extend(self.imports.iter().filter(foreign).map(|name| Refused::Import(name.clone())));
        if !self.exports.iter().any(|name| name.starts_with("sandgate:plugin/lifecycle")) {
            reasons.push(Refused::NoLifecycle);
        } else if self.phases() == Phases::NONE {
            reasons.push(Refused::NoPhase);
        }
        reasons
    }
}

/// Before 1.0 a contract is served by gateways of the same minor version only.
fn same_contract(version: &str) -> bool {
    let minor = |version: &str| version.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    minor(version) == minor(CONTRACT)
}

fn find_exports(pre: &InstancePre<HostState>, interfaces: &Interfaces) -> Result<Exports, Refused> {
    let misfit = |error: wasmtime::Error| Refused::Mismatch(format!("{error:#}"));
    macro_rules! phase {
        ($name:literal, $($interface:ident)::+) => {
            interfaces.export($name).then(|| $($interface)::+::GuestIndices::new(pre)).transpose().map_err(misfit)?
        };
    }
    Ok(Exports {
        lifecycle: wit::lifecycle::GuestIndices::new(pre).map_err(misfit)?,
        request_headers: phase!("request-headers", wit::request_headers),
        request_head: phase!("request-head", wit::request_head),
        request_body: phase!("request-body", wit::request_body),
        response_headers: phase!("response-headers", wit::response_headers),
        response_head: phase!("response-head", wit::response_head),
        response_body: phase!("response-body", wit::response_body),
        log: phase!("log", wit::log),
        batch: phase!("batch", wit::batch),
        timer: phase!("timer", wit::timer),
        direct: DirectExports {
            request_headers: phase!("request-headers", direct::request_headers),
            request_head: phase!("request-head", direct::request_head),
            response_headers: phase!("response-headers", direct::response_headers),
            response_head: phase!("response-head", direct::response_head),
            log: phase!("log", direct::log),
        },
    })
}

/// A component as it is; a core module as the component its custom sections describe.
fn componentize(bytes: Vec<u8>) -> Result<Vec<u8>, Refused> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Ok(bytes),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => {
            let mut encoder = wit_component::ComponentEncoder::default().validate(true);
            encoder = encoder.module(&bytes).map_err(|error| Refused::NotComponent(format!("{error:#}")))?;
            encoder.encode().map_err(|error| Refused::NotComponent(format!("{error:#}")))
        }
        _ => Err(Refused::NotWasm("it does not begin as a module or component does".into())),
    }
}

/// SHA-256 of a component in lower-case hexadecimal: what a module is known by.
pub fn digest_of(component: &[u8]) -> String {
    use std::fmt::Write;
    digest(&SHA256, component).as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}
