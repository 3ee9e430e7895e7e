//! HTTP requests of the plugin's own. Capability: `outbound-http`, scope: `host:port` or `*`.

use crate::{
    bindings::sandgate::plugin::outbound_http,
    host::{Answer, Call, HostError, WasmHost},
};

/// HTTP requests of the plugin's own. Capability: `outbound-http`, scope: `host:port` or `*`.
pub trait OutboundHttp {
    /// Sends and waits for the whole answer.
    fn send(&self, call: &Call) -> Result<Answer, HostError>;
}

impl OutboundHttp for WasmHost {
    fn send(&self, call: &Call) -> Result<Answer, HostError> {
        outbound_http::send(call)
    }
}
