//! Looks at two headers and changes nothing: the least that a plugin can do.

use sandgate_sdk::prelude::*;

/// Nothing to configure.
#[derive(Debug, Config)]
pub struct Settings {}

/// One configuration.
#[derive(Debug)]
pub struct Peek;

#[plugin(name = "peek", priority = 500, request_headers = ["user-agent", "x-api-key"])]
impl Plugin for Peek {
    type Settings = Settings;

    fn new(_settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self)
    }

    fn on_request(&self, request: &mut Request, _host: &impl Host) -> Flow {
        match (request.header(0), request.header(1)) {
            (Header::One("forbidden"), _) | (_, Header::Repeated(_)) => refuse(403, "Forbidden"),
            _ => Flow::Next,
        }
    }
}
