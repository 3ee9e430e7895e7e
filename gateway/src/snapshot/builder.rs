//! From the store's deltas to the next snapshot.

use std::{mem, sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::{
    Snapshot,
    certificates::Shelf,
    chains::Affected,
    compiled::Compiled,
    credentials,
    modules::Deployments,
    plugins::Plugins,
    secrets::Secrets,
    state::{State, Touched},
};
use crate::{
    model::Registry,
    plugin::{Catalog, Limits},
    router::Flavor,
    shutdown::QuietThread,
    store::{Delta, Store, StoreError},
    tls::{NodeClient, Resolver},
    vault::Vaults,
};

/// What the builder's thread yields to the workers, as Linux counts it: a third of a processor remains for it where
/// every worker is busy.
const NICENESS: i32 = 5;

/// Why no snapshot could be built. The one there is stays in use.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration could not be read.
    #[error("reading the configuration")]
    Store(#[from] StoreError),
}

/// Keeps the configuration and what was made of it, and builds snapshots.
pub struct Builder {
    store: Arc<dyn Store>,
    registry: Arc<ArcSwap<Registry>>,
    catalog: Arc<Catalog>,
    limits: Limits,
    deployments: Deployments,
    thread: QuietThread,
    secrets: Secrets,
    known: Known,
    resolver: Option<Arc<Resolver>>,
    last: Arc<Snapshot>,
    told: Option<Told>,
    flavor: Flavor,
    node_client: NodeClient,
}

/// Everything that is taken over from one snapshot to the next.
#[derive(Default)]
pub(super) struct Known {
    pub(super) state: State,
    pub(super) plugins: Plugins,
    certificates: Shelf,
    compiled: Compiled,
}

/// Who is told of a delta before anything is built of it.
pub type Told = Arc<dyn Fn(&Delta) + Send + Sync>;

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("version", &self.last.version).finish_non_exhaustive()
    }
}

impl Builder {
    /// Knows nothing yet. `limits` are the defaults of modules.
    pub fn new(store: Arc<dyn Store>, registry: Arc<ArcSwap<Registry>>, catalog: Arc<Catalog>, limits: Limits) -> Self {
        Self {
            store,
            registry,
            catalog,
            limits,
            deployments: Deployments::default(),
            thread: QuietThread::start("snapshot-builder", NICENESS),
            secrets: Secrets::new(Vaults::new(None, Duration::from_secs(60))),
            known: Known::default(),
            resolver: None,
            last: Arc::new(Snapshot::empty()),
            told: None,
            flavor: Flavor::default(),
            node_client: NodeClient::default(),
        }
    }

    /// Tells `told` of each delta before anything is built of it: what it declares must be known by then.
    pub fn tell(mut self, told: Told) -> Self {
        self.told = Some(told);
        self
    }

    /// With these vaults in place of those that know no folder.
    #[must_use]
    pub fn with_vaults(mut self, vaults: Vaults) -> Self {
        self.secrets = Secrets::new(vaults);
        self
    }

    /// With routes of this flavor in place of the default.
    #[must_use]
    pub fn with_flavor(mut self, flavor: Flavor) -> Self {
        self.flavor = flavor;
        self
    }

    /// With this resolver, which gets the certificates of each configuration.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<Resolver>) -> Self {
        self.resolver = Some(resolver);
        self
    }

    /// With the certificate of this node for targets.
    #[must_use]
    pub fn with_node_client(mut self, client: NodeClient) -> Self {
        self.node_client = client;
        self
    }

    /// What became of the modules.
    pub fn deployments(&self) -> Deployments {
        self.deployments.clone()
    }

    /// The newest snapshot: the last one if nothing changed, else a new one.
    ///
    /// # Cancel safety
    /// A future that is dropped loses what was known; the next call then begins with everything there is.
    pub async fn refresh(&mut self) -> Result<Arc<Snapshot>, BuildError> {
        let delta = self.store.changes_since(&self.registry.load(), self.known.state.version).await?;
        let unchanged = delta.version == self.known.state.version && !delta.full && delta.changes.is_empty();
        if unchanged && !self.secrets.rotate().await {
            return Ok(self.last.clone());
        }
        if let Some(told) = &self.told {
            told(&delta);
        }
        let mut known = mem::take(&mut self.known);
        known.compiled.flavor = self.flavor;
        known.compiled.secured.node = self.node_client.clone();
        let (mut known, mut touched) = self
            .thread
            .run(move || {
                let touched = known.state.apply(delta);
                (known, touched)
            })
            .await;
        self.secrets.configure(&known.state);
        let registry = self.registry.load_full();
        credentials::fill(&mut known.state, &mut touched, &registry, &mut self.secrets).await;
        if touched.modules {
            self.deployments.update(&known.state.modules, &self.catalog, &*self.store, &self.limits).await;
        }
        let Known { state, plugins, certificates: shelf, .. } = &mut known;
        let affected = plugins.change(state, &touched, &self.deployments, &mut self.secrets).await;
        let certificates = shelf.build(state, &mut self.secrets, touched.certificates).await;
        if let (Some(resolver), Some(certificates)) = (&self.resolver, certificates) {
            resolver.replace(certificates);
        }
        self.secrets.end_build();
        let build = self.thread.run(move || {
            let snapshot = known.compile(&touched, &affected, &registry);
            (known, snapshot)
        });
        let (known, snapshot) = build.await;
        self.known = known;
        self.last = Arc::new(snapshot);
        Ok(self.last.clone())
    }
}

impl Known {
    /// Brings what was compiled up to date and makes a snapshot of it.
    pub(super) fn compile(&mut self, touched: &Touched, affected: &Affected, registry: &Arc<Registry>) -> Snapshot {
        let Self { state, plugins, certificates, compiled } = self;
        compiled.change((state, certificates), &mut plugins.rows, (touched, affected), registry);
        let quarantined = state.quarantined().chain(plugins.quarantined()).chain(compiled.quarantined());
        let quarantined = quarantined.chain(certificates.quarantined());
        Snapshot {
            version: state.version,
            router: compiled.table.router(),
            global: Arc::new(plugins.rows.global()),
            upstreams: compiled.upstreams.clone(),
            directory: compiled.directory.clone(),
            access: state.access.clone(),
            quarantined: quarantined.collect(),
        }
    }
}
