//! What the host does for a plugin: one trait an interface of `wit/`. [`WasmHost`] calls the imports,
//! [`MockHost`](crate::mock::MockHost) stands in for them in unit tests. A component imports only what its plugin calls.

mod clock;
mod consumers;
mod counters;
mod crypto;
mod key_value;
mod logging;
mod metrics;
mod node;
mod notes;
mod outbound_http;
mod queue;
mod random;
mod request_info;
mod response_info;
mod secrets;
mod sinks;

use crate::bindings::sandgate::plugin as wit;

pub use self::{
    clock::Clock, consumers::Consumers, counters::Counters, crypto::Crypto, key_value::KeyValue, logging::Logging,
    metrics::Metrics, node::Node, notes::Notes, outbound_http::OutboundHttp, queue::Queue, random::Random,
    request_info::RequestInfo, response_info::ResponseInfo, secrets::Secrets, sinks::Sinks,
};
pub use crate::{
    bindings::sandgate::plugin::{
        consumers::{Consumer, Credential},
        counters::{Limit, Period, Usage},
        crypto::{Digest, Signature},
        logging::Level,
        outbound_http::Call,
        request::ShownCertificates,
        response::Source,
        types::{Header, HostError},
    },
    flow::Answer,
};

/// Everything that the gateway offers. Interfaces that are capabilities answer [`HostError::Denied`] unless the manifest
/// asks for them and the operator granted them.
pub trait Host:
    Clock
    + Consumers
    + Counters
    + Crypto
    + KeyValue
    + Logging
    + Metrics
    + Node
    + Notes
    + OutboundHttp
    + Queue
    + Random
    + RequestInfo
    + ResponseInfo
    + Secrets
    + Sinks
{
}

/// The gateway, as a component sees it. Its methods panic outside one.
#[derive(Debug)]
pub struct WasmHost {
    config: wit::types::ConfigId,
}

impl WasmHost {
    pub(crate) fn new(config: wit::types::ConfigId) -> Self {
        Self { config }
    }
}

impl Host for WasmHost {}

impl HostError {
    /// What went wrong, in words.
    pub fn reason(&self) -> &str {
        match self {
            HostError::Timeout => "no answer in time",
            HostError::Denied(text) | HostError::Invalid(text) | HostError::Failed(text) => text,
        }
    }
}
