//! Looks at two headers, sets two.

use sandgate_sdk::prelude::*;

/// Nothing to configure.
#[derive(Debug, Config)]
pub struct Settings {}

/// One configuration.
pub struct Change;

#[plugin(name = "NAME", priority = 500, request_headers = ["apikey", "user-agent"])]
impl Plugin for Change {
    type Settings = Settings;

    fn new(_settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self)
    }

    fn on_request(&self, request: &mut Request, _host: &impl Host) -> Flow {
        let refused = [0, 1].into_iter().any(|index| request.header(index).value() == Some("refuse me"));
        request.set_header("X-First", "a value");
        request.set_header("X-Second", "another value");
        if refused { refuse(403, "refused") } else { Flow::Next }
    }
}
