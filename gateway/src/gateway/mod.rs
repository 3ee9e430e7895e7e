//! Builds, starts, drains and stops every room; the only place that knows them all.

mod builtins;
mod controls;
mod database;
mod desk;
mod node;
mod outage;
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
    net::TcpListener,
    runtime::{Builder as RuntimeBuilder, Runtime},
    signal::unix::{SignalKind, signal},
};

use crate::{
    admin,
    config::{Config, Listen},
    listener,
    model::{self, Registry},
    plugin::{Bounds, Catalog, Limits, NodeFacts, Services},
    shutdown::Tasks,
    snapshot::{self, Builder, Deployments, Pace, Published},
    store::{self, Resilient, Store, StoreError},
    telemetry::{LogDial, Metrics},
    tls::{self, DefaultCertificate, Resolver},
    vault::Vaults,
};
use controls::Controls;
use desk::Desk;
use workers::Workers;

/// Threads of the control runtime: Admin, store, background work of plugins.
const CONTROL_THREADS: usize = 2;
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
    /// The configuration could not be read.
    #[error("building the first configuration")]
    Build(#[from] snapshot::BuildError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] listener::BindError),
    /// Certificates.
    #[error("preparing TLS")]
    Tls(#[from] tls::TlsError),
    /// The access log.
    #[error("opening the access log")]
    AccessLog(#[from] crate::proxy::AccessLogError),
}

/// A running gateway.
pub struct Gateway {
    control: Runtime,
    tasks: Tasks,
    store: Arc<dyn Store>,
    services: Arc<Services>,
    workers: Workers,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

/// What the rooms share while they are being built.
struct Rooms {
    store: Arc<dyn Store>,
    registry: Arc<ArcSwap<Registry>>,
    catalog: Arc<Catalog>,
    published: Published,
    desk: Arc<Desk>,
    deployments: Deployments,
    node_id: String,
    controls: Arc<Controls>,
    resolver: Arc<Resolver>,
}

impl Gateway {
    /// Starts everything. Returns when requests are served.
    pub fn start(config: &Config, log: LogDial) -> Result<Self, GatewayError> {
        let began = Instant::now();
        prepare_folder(&config.data_dir)?;
        let mut control = RuntimeBuilder::new_multi_thread();
        control.worker_threads(CONTROL_THREADS).thread_name("control").enable_all();
        let control = control.build().map_err(system("the control runtime"))?;
        let tasks = Tasks::new(control.handle().clone());
        let sockets = workers::bind(config)?;
        let addresses = workers::addresses(&sockets);
        let metrics = Arc::new(Metrics::new());
        let rooms = control.block_on(build(config, &tasks, &metrics, log))?;
        let workers = Workers::start(config, sockets, rooms.published.current.clone(), rooms.resolver.clone())?;
        let context = node::context(config, &rooms, &addresses, workers.counters(), &metrics);
        let admin = control.block_on(serve(&config.admin_listen, admin::router(context.clone()), &tasks, "admin"))?;
        let status = control.block_on(serve(&config.status_listen, admin::status_router(context), &tasks, "status"))?;
        announce(&addresses, admin, status, began);
        Ok(Self { control, tasks, store: rooms.store, services: rooms.catalog.services().clone(), workers })
    }

    /// Serves until SIGTERM, SIGINT or SIGQUIT, then drains.
    pub fn run_until_told(self) -> Result<(), GatewayError> {
        self.control.block_on(told()).map_err(system("the signals"))?;
        tracing::info!("ending: connections are being drained");
        self.workers.drain();
        let cut = self.control.block_on(self.tasks.drain(BACKGROUND_GRACE));
        for task in cut {
            tracing::warn!(task = &*task, "background work was cut");
        }
        let closing = async { tokio::time::timeout(BACKGROUND_GRACE, self.store.close()).await };
        if self.control.block_on(closing).is_err() {
            tracing::warn!("connections to the configuration database were cut");
        }
        self.services.flush_sinks();
        tracing::info!("ended");
        Ok(())
    }
}

/// Store, modules, first snapshot.
async fn build(config: &Config, tasks: &Tasks, metrics: &Arc<Metrics>, log: LogDial) -> Result<Rooms, GatewayError> {
    let resilient = Resilient::open(database::place(config), outage::options(config)).await?;
    let store: Arc<dyn Store> = resilient.clone();
    let node_id = node::id(&config.data_dir).map_err(system("the identity of the node"))?;
    let facts = NodeFacts { id: node_id.as_str().into(), hostname: node::hostname().into() };
    prepare_folder(&config.plugin_cache_dir)?;
    let cache = fs::canonicalize(&config.plugin_cache_dir).map_err(system("the folder of compiled code"))?;
    let services = Services::start(facts, tasks.clone(), metrics.clone());
    let catalog = Catalog::new(&cache, bounds(config), services).map_err(GatewayError::Engine)?;
    let core = model::core_registry();
    outage::install_builtins(&store, &core, &catalog, tasks).await?;
    let registry = Arc::new(ArcSwap::from_pointee(core));
    let vaults = Vaults::new(config.vault_file_dir.clone(), config.vault_rotation_interval);
    let builder = Builder::new(store.clone(), registry.clone(), catalog.clone(), limits(config)).with_vaults(vaults);
    let resolver = Arc::new(Resolver::new(&DefaultCertificate::in_folder(&config.data_dir)?));
    let builder = builder.with_resolver(resolver.clone());
    let deployments = builder.deployments();
    let desk = Arc::new(Desk::new(catalog.clone(), deployments.clone()));
    let (follower, known) = (desk.clone(), registry.clone());
    let mut builder = builder.tell(Arc::new(move |delta| follower.follow(&known, delta)));
    let published = Published::new(builder.refresh().await?);
    let pace = Pace { debounce: config.config_debounce, poll: config.database_use.poll_interval };
    tasks.spawn("publisher", snapshot::publish(builder, published.clone(), pace, tasks.shutdown()));
    let kept = store::keep(resilient, published.served.subscribe(), config.snapshot_interval, tasks.shutdown());
    tasks.spawn("snapshots on disk", kept);
    tasks.spawn("watch of the database", database::watch(store.clone(), published.changed.clone(), tasks.shutdown()));
    tasks.spawn("sweep of expired entities", sweep(store.clone(), registry.clone(), published.clone(), tasks.clone()));
    let controls = Arc::new(Controls::new(log, tasks.clone()));
    Ok(Rooms { store, registry, catalog, published, desk, deployments, node_id, controls, resolver })
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

/// Serves the Admin or Status API on each of its addresses. Answers with the first one's real address.
async fn serve(
    listen: &[Listen],
    router: axum::Router,
    tasks: &Tasks,
    name: &'static str,
) -> Result<String, GatewayError> {
    let mut first = String::new();
    for entry in listen {
        let failed = || system(format!("{name} on {}", entry.address));
        let socket = TcpListener::bind(entry.address).await.map_err(failed())?;
        if first.is_empty() {
            first = socket.local_addr().map_err(failed())?.to_string();
        }
        let (router, ending) = (router.clone(), tasks.shutdown());
        tasks.spawn(name, async move {
            let server = axum::serve(socket, router).with_graceful_shutdown(async move { ending.triggered().await });
            if let Err(error) = server.await {
                tracing::error!(%error, api = name, "an API ended");
            }
        });
    }
    Ok(first)
}

fn announce(addresses: &workers::Addresses, admin: String, status: String, began: Instant) {
    let (proxy, proxy_tls) = (addresses.plain.join(", "), addresses.tls.join(", "));
    tracing::info!(proxy, proxy_tls, admin, status, took = ?began.elapsed(), "sandgate is ready");
}

async fn told() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    // Any of them ends the gateway; the others are not needed any more.
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = quit.recv() => {}
    }
    Ok(())
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
