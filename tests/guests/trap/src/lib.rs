//! Traps on every seventh request that an instance sees.

use std::cell::Cell;

use sandgate_sdk::prelude::*;

/// Nothing to configure but the rhythm.
#[derive(Debug, Config)]
pub struct Settings {
    /// Trap on every n-th call.
    #[config(default = 7, required, range = 1..=1000000)]
    every: u64,
}

/// One configuration, and the calls it has seen in this instance.
#[derive(Debug)]
pub struct Trap {
    every: u64,
    calls: Cell<u64>,
}

#[plugin(name = "trap", priority = 500)]
impl Plugin for Trap {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self { every: settings.every, calls: Cell::new(0) })
    }

    fn on_request(&self, request: &mut Request, _host: &impl Host) -> Flow {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get().is_multiple_of(self.every) {
            std::process::abort();
        }
        request.set_response_header("x-calls", &self.calls.get().to_string());
        Flow::Next
    }
}
