//! HTTP requests of the plugin's own. Capability: `outbound-http`, scope: `host:port` or `*`.

use crate::{
    bindings::sandgate::plugin::outbound_http,
    host::{Answer, Call, HostError, WasmHost},
};

/// HTTP requests of the plugin's own. Capability: `outbound-http`, scope: `host:port` or `*`.
pub trait OutboundHttp {
    /// Sends and waits for the whole answer.
    fn send(&self, call: &Call) -> Result<Answer, HostError>;

    /// As [`send`](Self::send), with a connection that is then kept for so many milliseconds; 0: it is closed.
    fn send_kept(&self, call: &Call, keep: u32) -> Result<Answer, HostError>;
}

impl OutboundHttp for WasmHost {
    fn send(&self, call: &Call) -> Result<Answer, HostError> {
        outbound_http::send(call)
    }

    fn send_kept(&self, call: &Call, keep: u32) -> Result<Answer, HostError> {
        outbound_http::send_kept(call, keep)
    }
}
