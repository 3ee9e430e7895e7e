//! Which gateway this is.

use crate::{bindings::sandgate::plugin::node, host::WasmHost};

/// Which gateway this is.
pub trait Node {
    /// UUID of this node, the same after a restart.
    fn node_id(&self) -> String;
    /// Its host name.
    fn hostname(&self) -> String;
    /// Its process.
    fn process_id(&self) -> u32;
    /// Number of the worker that makes the call, from 0.
    fn worker(&self) -> u32;
}

impl Node for WasmHost {
    fn node_id(&self) -> String {
        node::id()
    }

    fn hostname(&self) -> String {
        node::hostname()
    }

    fn process_id(&self) -> u32 {
        node::process_id()
    }

    fn worker(&self) -> u32 {
        node::worker()
    }
}
