//! Counts requests and observes a size, then uses the counter as a histogram, and tells the client what the gateway said.

use sandgate_sdk::prelude::*;

/// Nothing to configure.
#[derive(Debug, Config)]
pub struct Settings {}

/// One configuration.
#[derive(Debug)]
pub struct Measure;

#[plugin(name = "measure", priority = 500, capabilities(metrics))]
impl Plugin for Measure {
    type Settings = Settings;

    fn new(_settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self)
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        let answers = [
            said(&host.count("calls", 2)),
            said(&host.observe("size", 3.0)),
            said(&host.observe("calls", 3.0)),
            said(&host.count("no name", 1)),
        ];
        request.set_response_header("x-measure", &answers.join(", "));
        Flow::Next
    }
}

fn said(result: &Result<(), HostError>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(HostError::Denied(_)) => "denied",
        Err(HostError::Timeout) => "timeout",
        Err(HostError::Invalid(_)) => "invalid",
        Err(HostError::Failed(_)) => "failed",
    }
}
