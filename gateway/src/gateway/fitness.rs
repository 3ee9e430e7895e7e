//! How targets fare, for the Admin API: what the workers go by.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{admin, snapshot::Snapshot};

/// The health of the targets that are served now.
pub(super) struct Fitness {
    current: Arc<ArcSwap<Snapshot>>,
}

impl Fitness {
    pub(super) fn of(current: Arc<ArcSwap<Snapshot>>) -> Self {
        Self { current }
    }
}

impl admin::Fitness for Fitness {
    fn is_healthy(&self, upstream: &str, target: &str) -> Option<bool> {
        let snapshot = self.current.load();
        Some(snapshot.upstreams.get(upstream)?.target(target)?.health.is_healthy())
    }

    fn mark(&self, upstream: &str, target: &str, healthy: bool) -> bool {
        let snapshot = self.current.load();
        let Some(upstream) = snapshot.upstreams.get(upstream) else { return false };
        let Some(target) = upstream.target(target) else { return false };
        let is_other = target.health.is_healthy() != healthy;
        target.health.mark(healthy);
        upstream.turned(target, is_other.then_some(healthy), "the Admin API");
        true
    }
}
