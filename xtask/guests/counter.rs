//! Reads a header, counts, sets a header. NAME is replaced, because a request passes each plugin name once.

use sandgate_sdk::prelude::*;

/// Nothing to configure.
#[derive(Debug, Config)]
pub struct Settings {}

/// One configuration.
pub struct Counter;

#[plugin(name = "NAME", priority = 500, request_headers = ["apikey"], capabilities(counters))]
impl Plugin for Counter {
    type Settings = Settings;

    fn new(_settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self)
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        let key = request.header(0).value().unwrap_or("nobody").to_owned();
        let count = host.increment(&key, 1, 60_000).unwrap_or(0);
        request.set_header("X-NAME", &count.to_string());
        Flow::Next
    }
}
