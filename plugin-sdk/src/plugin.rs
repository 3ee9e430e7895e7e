//! The trait that a plugin implements.

use crate::{
    config::{Config, ConfigError},
    flow::{Chunk, Flow, ResponseFlow},
    host::Host,
    request::Request,
    response::Response,
};

pub use crate::bindings::exports::sandgate::plugin::lifecycle::{
    Capability, Collection, Manifest, Prepared, QueueSettings, Scope,
};

/// One configuration of a plugin. Write `#[plugin(name = …, priority = …)]` above the implementation: it adds the
/// manifest, and exports the phases whose methods are written.
pub trait Plugin: Sized + 'static {
    /// What operators configure.
    type Settings: Config;

    /// Prepares a configuration. Called once for each instance of the component, before its first request; parse and
    /// precompute here. Errors: every mistake there is; the operator sees them all.
    fn new(settings: Self::Settings, scope: &Scope) -> Result<Self, Vec<ConfigError>>;

    /// Checks what the schema cannot say, when an operator writes the configuration. Every mistake, not the first.
    fn validate(_settings: &Self::Settings) -> Vec<ConfigError> {
        Vec::new()
    }

    /// What this configuration asks of the host: headers it wants handed over, a queue, a timer.
    fn prepare(&self) -> Prepared {
        Prepared::default()
    }

    /// A request's head has been read and its route is known.
    fn on_request(&self, _request: &mut Request, _host: &impl Host) -> Flow {
        Flow::Next
    }

    /// A chunk of the request body, at most 64 KiB. `last` comes at most once, perhaps with no bytes. The answer may have
    /// begun: then its phases come in between, and a refusal breaks it off.
    fn on_request_chunk(&self, _chunk: Vec<u8>, _last: bool, _host: &impl Host) -> Chunk {
        Chunk::Pass
    }

    /// The head of an answer: an upstream's, another plugin's, or the gateway's own.
    fn on_response(&self, _response: &mut Response, _host: &impl Host) -> ResponseFlow {
        ResponseFlow::Next
    }

    /// A chunk of the response body.
    fn on_response_chunk(&self, _chunk: Vec<u8>, _last: bool, _host: &impl Host) -> Chunk {
        Chunk::Pass
    }

    /// After the answer has been sent.
    fn on_log(&self, _host: &impl Host) {}

    /// Background: what the log phase enqueued, in that order. On an error the same batch comes again after a delay.
    fn on_batch(&self, _entries: Vec<Vec<u8>>, _host: &impl Host) -> Result<(), String> {
        Ok(())
    }

    /// Background: every [`Prepared::timer`] milliseconds.
    fn on_timer(&self, _host: &impl Host) -> Result<(), String> {
        Ok(())
    }
}

/// What the attribute `plugin` knows about a plugin. Not written by hand.
pub trait Describe {
    /// The manifest, as `describe` exports it.
    fn manifest() -> Manifest;
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for Prepared {
    fn default() -> Self {
        Self { request_headers: Vec::new(), response_headers: Vec::new(), queue: None, timer: None }
    }
}

#[expect(clippy::derivable_impls, reason = "the type is generated")]
impl Default for Scope {
    fn default() -> Self {
        Self { plugin_id: String::new(), route_id: None, service_id: None, consumer_id: None }
    }
}
