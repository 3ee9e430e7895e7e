//! What the start does differently while the database is away.

use std::{sync::Arc, time::Duration};

use super::{
    GatewayError,
    builtins::{self, Sharing},
};
use crate::{
    config::Config,
    model::{self, Registry},
    plugin::Catalog,
    shutdown::{Shutdown, Tasks},
    store::{OutageOptions, Store, StoreError, Upkeep},
};

/// Between two looks whether the database is back.
const LOOK: Duration = Duration::from_secs(1);

/// Where snapshots are, and how long a start without any waits.
pub(super) fn options(config: &Config, upkeep: Upkeep) -> OutageOptions {
    OutageOptions { folder: config.data_dir.join("snapshot"), start_wait: config.database_start_wait, upkeep }
}

/// Installs the built-in plugins, or leaves those of the snapshot until the database is back.
pub(super) async fn install_builtins(
    store: &Arc<dyn Store>,
    core: &Registry,
    catalog: &Arc<Catalog>,
    sharing: Sharing,
    tasks: &Tasks,
) -> Result<(), GatewayError> {
    match builtins::install(&**store, core, catalog, sharing).await {
        Err(GatewayError::Store(StoreError::ReadOnly { .. })) => {
            tasks.spawn("built-in plugins", install_later(store.clone(), catalog.clone(), sharing, tasks.shutdown()));
            Ok(())
        }
        done => done,
    }
}

async fn install_later(store: Arc<dyn Store>, catalog: Arc<Catalog>, sharing: Sharing, ending: Shutdown) {
    // Either arm may be dropped: an installation has no half.
    while tokio::time::timeout(LOOK, ending.triggered()).await.is_err() {
        if store.unreachable_since().is_some() {
            continue;
        }
        match builtins::install(&*store, &model::core_registry(), &catalog, sharing).await {
            Err(GatewayError::Store(StoreError::ReadOnly { .. })) => {}
            Err(error) => {
                return tracing::error!(error = &error as &dyn std::error::Error, "built-in plugins stay as they were");
            }
            Ok(()) => return,
        }
    }
}
