//! `node`.

use std::sync::Arc;

use crate::plugin::{bindings::sandgate::plugin::node::Host, instance::HostState};

/// Which gateway this is.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// UUID, the same after a restart.
    pub id: Arc<str>,
    /// Name of the machine.
    pub hostname: Arc<str>,
}

impl Host for HostState {
    fn id(&mut self) -> String {
        self.services().node.id.to_string()
    }

    fn hostname(&mut self) -> String {
        self.services().node.hostname.to_string()
    }

    fn process_id(&mut self) -> u32 {
        std::process::id()
    }

    fn worker(&mut self) -> u32 {
        self.worker
    }
}
