//! What benchmarks call one small plugin: reads a header, counts, sets a header.

use sandgate_sdk::prelude::*;

/// Benchmarks build it under several names, for chains of plugins.
const NAME: &str = match option_env!("SANDGATE_GUEST_NAME") {
    Some(name) => name,
    None => "counterheader",
};

/// Nothing to configure.
#[derive(Debug, Config)]
pub struct Settings {}

/// In milliseconds. So long that no test meets its end.
const WEEK: u32 = 7 * 24 * 3_600_000;

/// One configuration.
#[derive(Debug)]
pub struct CounterHeader;

#[plugin(name = NAME, priority = 500, request_headers = ["x-api-key"], capabilities(counters))]
impl Plugin for CounterHeader {
    type Settings = Settings;

    fn new(_settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self)
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        let key = request.header(0).value().unwrap_or("none");
        let count = host.increment(key, 1, WEEK).unwrap_or_default();
        request.set_header("x-count", &count.to_string());
        Flow::Next
    }
}
