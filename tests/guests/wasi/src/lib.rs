//! Built for `wasm32-wasip2`: uses the clocks, the random numbers and the output that WASI 0.2 has.

use std::{
    collections::HashMap,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use sandgate_sdk::prelude::*;

/// Nothing to configure.
#[derive(Debug, Config)]
pub struct Settings {}

/// One configuration.
#[derive(Debug)]
pub struct Wasi {
    started: Instant,
    /// Its hasher is seeded with random numbers.
    seen: HashMap<String, u64>,
}

#[plugin(name = "wasi", priority = 500, request_headers = ["user-agent"])]
impl Plugin for Wasi {
    type Settings = Settings;

    fn new(_settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self { started: Instant::now(), seen: HashMap::from([("curl".to_owned(), 1)]) })
    }

    #[expect(clippy::print_stdout, reason = "the gateway has to take what WASI guests print")]
    fn on_request(&self, request: &mut Request, _host: &impl Host) -> Flow {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let agent = request.header(0).value().unwrap_or_default().to_owned();
        println!("wasi guest saw {agent} at {now}");
        eprintln!("wasi guest has run for {:?}", self.started.elapsed());
        let reachable = std::fs::read_dir("/").is_ok() || std::env::vars().next().is_some();
        request.set_response_header("x-wasi-now", &now.to_string());
        request.set_response_header("x-wasi-seen", &self.seen.get(&agent).copied().unwrap_or_default().to_string());
        request.set_response_header("x-wasi-reaches-out", if reachable { "yes" } else { "no" });
        Flow::Next
    }
}
