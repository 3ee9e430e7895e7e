//! Builds, starts, drains and stops every room; the only place that knows them all.

mod apis;
mod builtins;
mod certificates;
mod commands;
mod controls;
mod database;
mod declarative;
mod desk;
mod explainer;
mod files;
mod fitness;
mod handover;
mod life;
mod marks;
mod node;
mod notify;
mod outage;
mod possessions;
mod reload;
mod reporter;
mod sockets;
mod stapling;
mod workers;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::{
    runtime::{Builder as RuntimeBuilder, Runtime},
    sync::{mpsc, oneshot},
};

use crate::{
    admin::{self, Access, declarative::Declarative},
    checks,
    config::{self, Config, Origin},
    dns::{self, Asker, Dns},
    listener::{self, Inherited},
    model::{self, Registry},
    plugin::{Bounds, Catalog, Limits, NodeFacts, Services},
    shutdown::{self, Shutdown, Tasks},
    snapshot::{self, Builder, Deployments, Pace, Published},
    store::{self, MemoryStore, Refused, Resilient, Store, StoreError, Upkeep},
    telemetry::{LogDial, Metrics},
    tls,
    vault::Vaults,
};
use certificates::NodeTls;
pub use commands::{Order, migrate, migrations, tell};
use controls::Controls;
use desk::Desk;
pub use files::{Files, FilesError, is_pipe, shown, write_sample};
use handover::{Predecessor, Program};
use life::{Life, Signals};
use marks::Marking;
use notify::Notifier;
use possessions::{Owner, Possessions};
use reload::Live;
use reporter::Reporter;
use workers::{Doors, Workers};

/// Threads of the control runtime: Admin, store, background work of plugins.
const CONTROL_THREADS: usize = 2;
/// What they and the threads of the database yield to the workers, as Linux counts it: a write of an operator must not make a
/// request wait for its worker's turn.
const CONTROL_NICENESS: i32 = 5;
/// How long background work may take to end after the workers have.
const BACKGROUND_GRACE: Duration = Duration::from_secs(5);

/// Why the gateway did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A folder, thread or runtime could not be made.
    #[error("preparing {what}")]
    System {
        /// What was being prepared.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A command about a process that is not there.
    #[error("no gateway runs that {} names", .0.display())]
    NotRunning(std::path::PathBuf),
    /// A command about the database of a node that has none.
    #[error("this node has no database: set database_url")]
    NoDatabase,
    /// The configuration database.
    #[error("opening the configuration database")]
    Store(#[from] StoreError),
    /// The WebAssembly engine.
    #[error("starting the WebAssembly engine: {0:#}")]
    Engine(wasmtime::Error),
    /// A built-in plugin, or a module of the database.
    #[error("module {name}: {reason}")]
    Module {
        /// Name of the plugin.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The declarative configuration is wrong.
    #[error("error parsing declarative config{what}:\n{reason}")]
    Declarative {
        /// Where it is.
        what: String,
        /// Every mistake, on lines of their own.
        reason: String,
    },
    /// The configuration could not be read.
    #[error("building the first configuration")]
    Build(#[from] snapshot::BuildError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] listener::BindError),
    /// Other machines would reach an API that nobody guards.
    #[error(
        "{0} can be reached from other machines, and nobody could show who they are: set SANDGATE_ADMIN_TOKEN (at least 32 \
         characters, as of `openssl rand -hex 32`), SANDGATE_ADMIN_TOKEN_FILE or SANDGATE_ADMIN_CLIENT_CA, make a token \
         with `sandgate admin-token create`, or use a loopback address"
    )]
    OpenAdmin(String),
    /// A token that was to be made.
    #[error("the token is refused")]
    NewToken(#[from] admin::NewTokenError),
    /// The token by setting.
    #[error("reading the admin token")]
    AdminToken(#[source] config::Problem),
    /// Certificates.
    #[error("preparing TLS")]
    Tls(#[from] tls::TlsError),
    /// The access log.
    #[error("opening the access log")]
    AccessLog(#[from] crate::telemetry::AccessLogError),
    /// An error template.
    #[error(transparent)]
    ErrorTemplate(#[from] crate::proxy::TemplateError),
}

/// A running gateway.
pub struct Gateway(Life);

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

/// What the rooms share while they are being built.
struct Rooms {
    store: Arc<dyn Store>,
    declarative: Option<Arc<Declarative>>,
    registry: Arc<ArcSwap<Registry>>,
    catalog: Arc<Catalog>,
    published: Published,
    desk: Arc<Desk>,
    deployments: Deployments,
    node_id: String,
    reporter: Reporter,
    refusals: mpsc::Sender<Refused>,
    access: Arc<Access>,
    controls: Arc<Controls>,
    tls: Arc<NodeTls>,
    marks: Marking,
}

/// What there is before any room.
struct Ground {
    tasks: Tasks,
    metrics: Arc<Metrics>,
    log: LogDial,
    /// Given when another process took over.
    replaced: Shutdown,
}

impl Ground {
    fn api(&self, name: &'static str, router: axum::Router, config: &Config, rooms: &Rooms) -> apis::Api {
        apis::Api {
            name,
            router,
            settings: config.admin.clone(),
            metrics: self.metrics.clone(),
            tasks: self.tasks.clone(),
            replaced: self.replaced.clone(),
            tls: rooms.tls.operators.clone(),
        }
    }
}

impl Gateway {
    /// Starts everything. Returns when requests are served. `origin` reads the settings again.
    pub fn start(config: &Config, origin: Origin, log: LogDial) -> Result<Self, GatewayError> {
        let predecessor = Predecessor::find().map_err(system("the way to the process before"))?;
        let started = Self::start_after(predecessor.as_ref(), config, origin, log);
        if let (Some(predecessor), Err(error)) = (&predecessor, &started) {
            predecessor.tell_failed(error);
        }
        started
    }

    fn start_after(
        predecessor: Option<&Predecessor>,
        config: &Config,
        origin: Origin,
        log: LogDial,
    ) -> Result<Self, GatewayError> {
        let began = Instant::now();
        prepare_folder(&config.data_dir)?;
        let control = control_runtime().map_err(system("the control runtime"))?;
        let tasks = Tasks::new(control.handle().clone());
        let program = Program::current().map_err(system("the path of this program"))?;
        let (inherited, before) = heirlooms(predecessor).map_err(system("what was handed over"))?;
        let sockets = sockets::bind(config, inherited)?;
        let addresses = workers::addresses(&sockets.proxy, &sockets.stream);
        let ground = Ground { tasks, metrics: Arc::new(Metrics::new()), log, replaced: Shutdown::new() };
        let rooms = control.block_on(build(config, &ground, before))?;
        apis::refuse_open(config, &rooms.access)?;
        let both = sockets.proxy.into_iter().zip(sockets.stream);
        let doors = both.map(|(proxy, stream)| Doors { proxy, stream }).collect();
        let server = rooms.tls.clients.clone();
        let workers = Workers::start(config, doors, rooms.published.current.clone(), server)?;
        let context = node::context(config, &rooms, &addresses, workers.tally(), &ground.metrics);
        let admin = ground.api("admin", admin::router(context.clone()), config, &rooms);
        let status = ground.api("status", admin::status_router(context), config, &rooms);
        let admin = control.block_on(apis::serve(sockets.admin, admin))?;
        let status = control.block_on(apis::serve(sockets.status, status))?;
        let notifier = Notifier::from_environment();
        let (dial, kept) = (workers.dial(), config.clone());
        let Ground { tasks, log, replaced, .. } = ground;
        let live = Live { config: kept, origin, log, dial, notifier: notifier.clone(), tls: rooms.tls.clone() };
        control.block_on(async { live.heed(&tasks) })?;
        // Whoever reads the file, or hears that this process is ready, may send a signal at once.
        let signals = control.block_on(async { Signals::new() }).map_err(system("the signals"))?;
        life::remember(&config.pid_file).map_err(system(format!("the pid file {}", config.pid_file.display())))?;
        announce(&addresses, admin, status, began);
        notifier.ready();
        notifier.watch(predecessor.is_some(), &tasks, replaced.clone());
        if let Some(predecessor) = predecessor {
            predecessor.tell_ready();
        }
        Ok(Self(Life {
            control,
            tasks,
            store: rooms.store,
            services: rooms.catalog.services().clone(),
            workers,
            estate: sockets.estate,
            owner: Owner { declarative: rooms.declarative, registry: rooms.registry, desk: rooms.desk, tls: rooms.tls },
            program,
            notifier,
            signals,
            pid_file: config.pid_file.clone(),
            replaced,
        }))
    }

    /// Serves until SIGTERM, SIGINT or SIGQUIT, or until SIGUSR2 has started another process that took over; then drains.
    pub fn run_until_told(self) -> Result<(), GatewayError> {
        self.0.live()
    }
}

/// What the process before hands over, or else systemd.
fn heirlooms(predecessor: Option<&Predecessor>) -> io::Result<(Inherited, Possessions)> {
    match predecessor {
        Some(predecessor) => predecessor.inherit(),
        None => Inherited::from_systemd().map(|sockets| (sockets, Possessions::default())),
    }
}

fn control_runtime() -> io::Result<Runtime> {
    let mut control = RuntimeBuilder::new_multi_thread();
    control.worker_threads(CONTROL_THREADS).thread_name("control").enable_all();
    control.on_thread_start(|| shutdown::yield_to_others(CONTROL_NICENESS));
    control.build()
}

/// Makes a token of the Admin API in the database, gateways running or not, and answers with it.
///
/// # Errors
/// When the database cannot be opened, or the token is refused.
pub fn new_token(config: &Config, token: admin::NewToken) -> Result<String, GatewayError> {
    prepare_folder(&config.data_dir)?;
    let runtime = RuntimeBuilder::new_current_thread().enable_all().build().map_err(system("a runtime"))?;
    runtime.block_on(async {
        let place = database::place(config).ok_or(GatewayError::NoDatabase)?;
        let store = store::open(&place).await?;
        let made = admin::new_token(&*store, token).await;
        store.close().await;
        Ok(made?.0)
    })
}

/// Store, modules, first snapshot.
async fn build(config: &Config, ground: &Ground, mut before: Possessions) -> Result<Rooms, GatewayError> {
    let Ground { tasks, metrics, log, replaced } = ground;
    declarative::refuse_to_lose(config, before.configuration.as_ref())?;
    let foundation = Foundation::lay(config, Upkeep::Migrate, tasks, metrics).await?;
    let Foundation { store, source, registry, catalog, node_id } = foundation;
    let builder = builder(config, &store, &registry, &catalog);
    let tls = NodeTls::start(config, tasks, &before)?;
    let builder = builder.with_resolver(tls.resolver.clone()).with_node_client(tls.targets.clone());
    let builder = builder.with_dns(resolve_names(config, tasks, metrics)?);
    let deployments = builder.deployments();
    let desk = Arc::new(Desk::new(catalog.clone(), deployments.clone()));
    let (follower, known) = (desk.clone(), registry.clone());
    let mut builder = builder.tell(Arc::new(move |delta| follower.follow(&known, delta)));
    let mut first = builder.refresh().await?;
    let declarative = source.memory().map(|memory| Arc::new(Declarative::new(memory)));
    if let Some(declarative) = &declarative {
        // Only now, as the plugins have a say in it.
        let passed_on = before.configuration.take();
        declarative::first_load(config, declarative, passed_on, registry.load_full(), desk.clone()).await?;
        first = builder.refresh().await?;
    }
    let published = Published::new(first);
    // Before the last refresh below: a change after that one is heard of.
    let marks = database::hear(config, &store, &published, tasks);
    let reporter = Reporter::new(store.clone(), &node_id, published.clone(), deployments.clone(), replaced.clone());
    reporter.announce().await;
    // What was committed before others knew of this node is in its first configuration.
    published.current.store(builder.refresh().await?);
    published.served.send_replace(published.current.load().version);
    let refusals = reporter::spawn(reporter.clone(), tasks);
    let pace = Pace { debounce: config.config_debounce, poll: config.database_use.poll_interval };
    marks.follow(config, &store, &published, tasks).await;
    tasks.spawn("health checks", checks::run(published.clone(), tasks.clone()));
    tasks.spawn("publisher", snapshot::publish(builder, published.clone(), pace, tasks.shutdown()));
    if let Source::Database(resilient) = source {
        let kept = store::keep(resilient, published.served.subscribe(), config.snapshot_interval, tasks.shutdown());
        tasks.spawn("snapshots on disk", kept);
    }
    tasks.spawn("sweep of expired entities", sweep(store.clone(), registry.clone(), published.clone(), tasks.clone()));
    let access = apis::access(config, &published, metrics)?;
    let controls = Arc::new(Controls::new(log.clone(), tasks.clone()));
    let rooms = Rooms {
        store,
        declarative,
        registry,
        catalog,
        published,
        desk,
        deployments,
        node_id,
        reporter,
        refusals,
        access,
        controls,
        tls,
        marks,
    };
    declarative::reload_on_hangup(config, &rooms, tasks)?;
    Ok(rooms)
}

/// The names of targets, kept up to date from now on.
fn resolve_names(config: &Config, tasks: &Tasks, metrics: &Arc<Metrics>) -> Result<Arc<Dns>, GatewayError> {
    let dns = Arc::new(Dns::default());
    let asker = Asker::new(&config.dns).map_err(|error| system("the resolver of names")(io::Error::other(error)))?;
    let running = dns::run(dns.clone(), Arc::new(asker), config.dns.clone(), metrics.clone(), tasks.clone());
    tasks.spawn("names", running);
    Ok(dns)
}

/// What builds snapshots, as the node's settings say.
fn builder(
    config: &Config,
    store: &Arc<dyn Store>,
    registry: &Arc<ArcSwap<Registry>>,
    catalog: &Arc<Catalog>,
) -> Builder {
    let vaults = Vaults::new(config.vault_file_dir.clone(), config.vault_rotation_interval);
    Builder::new(store.clone(), registry.clone(), catalog.clone(), limits(config))
        .with_vaults(vaults)
        .with_flavor(config.router_flavor)
}

/// What stands before anything is built: the store with its modules, and who runs them.
struct Foundation {
    store: Arc<dyn Store>,
    source: Source,
    /// The gateway's own collections; those of modules come with the first delta.
    registry: Arc<ArcSwap<Registry>>,
    catalog: Arc<Catalog>,
    node_id: String,
}

/// Where the configuration comes from.
enum Source {
    Database(Arc<Resilient>),
    Memory(Arc<MemoryStore>),
}

impl Source {
    fn memory(&self) -> Option<Arc<MemoryStore>> {
        match self {
            Source::Memory(memory) => Some(memory.clone()),
            Source::Database(_) => None,
        }
    }
}

impl Foundation {
    async fn lay(config: &Config, upkeep: Upkeep, tasks: &Tasks, metrics: &Arc<Metrics>) -> Result<Self, GatewayError> {
        let (store, source): (Arc<dyn Store>, _) = match database::place(config) {
            Some(place) => {
                // On a thread of the control runtime: those of the database are as quiet as the one that started them.
                let (tell, told) = oneshot::channel();
                let opening = Resilient::open(place, outage::options(config, upkeep));
                tasks.spawn("opening the database", async move { _ = tell.send(opening.await) });
                let resilient = told.await.map_err(|error| system("the database")(io::Error::other(error)))??;
                (resilient.clone(), Source::Database(resilient))
            }
            None => {
                let memory = Arc::new(MemoryStore::default());
                (memory.clone(), Source::Memory(memory))
            }
        };
        let node_id = node::id(&config.data_dir).map_err(system("the identity of the node"))?;
        let facts = NodeFacts { id: node_id.as_str().into(), hostname: node::hostname().into() };
        prepare_folder(&config.plugin_cache_dir)?;
        let cache = fs::canonicalize(&config.plugin_cache_dir).map_err(system("the folder of compiled code"))?;
        let services = Services::start(facts, tasks.clone(), metrics.clone());
        let catalog = Catalog::new(&cache, bounds(config), services).map_err(GatewayError::Engine)?;
        let core = model::core_registry_of(config.router_flavor);
        match &source {
            Source::Memory(memory) => declarative::modules(memory, &catalog, &core, &config.modules_dir).await?,
            Source::Database(_) => {
                let sharing = database::sharing(config);
                outage::install_builtins(&store, &core, &catalog, sharing, tasks).await?;
            }
        }
        Ok(Self { store, source, registry: Arc::new(ArcSwap::from_pointee(core)), catalog, node_id })
    }
}

/// Removes entities whose time to live is over.
async fn sweep(store: Arc<dyn Store>, registry: Arc<ArcSwap<Registry>>, published: Published, tasks: Tasks) {
    let ending = tasks.shutdown();
    // Either arm may be dropped: a sweep has no half.
    while tokio::time::timeout(Duration::from_secs(1), ending.triggered()).await.is_err() {
        let registry = registry.load_full();
        match store.sweep(&registry).await {
            Ok(0) => {}
            Ok(_) => published.changed.notify_one(),
            Err(error) => tracing::error!(%error, "expired entities could not be removed"),
        }
    }
}

fn bounds(config: &Config) -> Bounds {
    let limits = &config.plugin_limits;
    Bounds { stack: limits.stack.as_usize(), table_elements: limits.table_elements }
}

fn limits(config: &Config) -> Limits {
    let limits = &config.plugin_limits;
    Limits {
        cpu: limits.cpu,
        memory: limits.memory.as_usize(),
        table_elements: limits.table_elements,
        instances: limits.instances,
        recycle_after: limits.calls_per_instance,
        ..Limits::default()
    }
}

fn announce(addresses: &workers::Addresses, admin: String, status: String, began: Instant) {
    let (proxy, proxy_tls) = (addresses.plain.join(", "), addresses.tls.join(", "));
    let stream = addresses.stream.join(", ");
    let process = std::process::id();
    tracing::info!(proxy, proxy_tls, stream, admin, status, process, took = ?began.elapsed(), "sandgate is ready");
}

/// A folder that only this user may enter.
fn prepare_folder(path: &Path) -> Result<(), GatewayError> {
    let failed = || system(format!("the folder {}", path.display()));
    fs::create_dir_all(path).map_err(failed())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed())
}

fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> GatewayError {
    let what = what.into();
    move |source| GatewayError::System { what, source }
}
