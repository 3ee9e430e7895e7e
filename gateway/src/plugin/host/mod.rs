//! What plugins may ask of the gateway: one file an interface of `wit/`. Every function works on the state of the one
//! instance that calls it, and on [`Services`], which all instances share.

mod changes;
mod clock;
mod consumers;
pub(super) mod counters;
mod crypto;
pub(super) mod key_value;
mod logging;
pub(super) mod metrics;
mod node;
mod notes;
mod outbound_http;
mod queue;
mod random;
mod record;
mod request;
mod response;
mod secrets;
pub(super) mod sinks;
pub(super) mod wasi;

use std::sync::Arc;

use super::{
    background::Background,
    bindings::sandgate::plugin::types::{Host, HostError},
    instance::HostState,
};
use crate::{shutdown::Tasks, telemetry::Metrics as Telemetry};

pub use node::NodeFacts;
pub use record::WORKSPACE;

use outbound_http::Outbound;
use sinks::Sinks;

/// What the interfaces stand on, shared by all instances of the process.
pub struct Services {
    /// Which gateway this is.
    pub node: NodeFacts,
    /// Background tasks.
    pub tasks: Tasks,
    /// Metrics of the process.
    pub telemetry: Arc<Telemetry>,
    pub(super) counters: counters::Counters,
    pub(super) values: key_value::Values,
    pub(super) metrics: metrics::Metrics,
    pub(super) sinks: Sinks,
    pub(super) outbound: Outbound,
    pub(super) background: Arc<Background>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Services {
    /// Starts what runs beside: the writer of sinks, and the sweep of expired counters and values.
    pub fn start(node: NodeFacts, tasks: Tasks, telemetry: Arc<Telemetry>) -> Arc<Self> {
        let services = Arc::new(Self {
            node,
            counters: counters::Counters::default(),
            values: key_value::Values::default(),
            metrics: metrics::Metrics::default(),
            sinks: Sinks::start(),
            outbound: Outbound::default(),
            background: Arc::default(),
            tasks,
            telemetry,
        });
        let swept = services.clone();
        services.tasks.spawn("sweep of plugin counters and values", async move {
            let ending = swept.tasks.shutdown();
            // Either arm may be dropped: a sweep has no half.
            while tokio::time::timeout(counters::SWEEP, ending.triggered()).await.is_err() {
                swept.counters.sweep();
                swept.values.sweep();
            }
        });
        let closing = services.clone();
        services.tasks.spawn("idle connections of plugins", async move {
            let ending = closing.tasks.shutdown();
            while tokio::time::timeout(outbound_http::SWEEP, ending.triggered()).await.is_err() {
                closing.outbound.sweep();
            }
        });
        services
    }

    /// Writes out what sinks hold back, and ends their writer.
    pub fn flush_sinks(&self) {
        self.sinks.flush();
    }
}

impl Host for HostState {}

impl HostState {
    /// Refuses what the operator did not grant, by name.
    fn permit(&self, capability: &str) -> Result<(), HostError> {
        if self.deployment().grants.has(capability) { Ok(()) } else { Err(HostError::Denied(capability.into())) }
    }

    /// As [`Self::permit`], for one thing within the capability.
    fn permit_for(&self, capability: &str, what: &str) -> Result<(), HostError> {
        self.permit(capability)?;
        let covered = self.deployment().grants.covers(capability, what);
        if covered { Ok(()) } else { Err(HostError::Denied(format!("{capability} for {what}"))) }
    }

    fn services(&self) -> &Arc<Services> {
        &self.deployment().services
    }

    /// Plugin name and key, as shared maps have it.
    fn own_key(&self, key: &str) -> Result<String, HostError> {
        if key.len() > 1_024 {
            return Err(HostError::Invalid(format!("a key of {} bytes", key.len())));
        }
        let name = &self.deployment().name;
        let mut own = String::with_capacity(name.len() + 1 + key.len());
        own.push_str(name);
        own.push('\n');
        own.push_str(key);
        Ok(own)
    }
}
