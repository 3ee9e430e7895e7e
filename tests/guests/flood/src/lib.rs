//! Returns more headers than anyone wants when told to.

use sandgate_sdk::prelude::*;

/// When it misbehaves, and how much.
#[derive(Debug, Config)]
pub struct Settings {
    /// Misbehave on every request, not only on those with the header `x-misbehave`.
    #[config(default = false, required)]
    always: bool,
    /// Headers to set.
    #[config(default = 1000000, required)]
    headers: u32,
    /// Bytes in the value of each.
    #[config(default = 1, required)]
    bytes: usize,
}

/// One configuration.
#[derive(Debug)]
pub struct Flood(Settings);

#[plugin(name = "flood", priority = 500, request_headers = ["x-misbehave"])]
impl Plugin for Flood {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self(settings))
    }

    fn on_request(&self, request: &mut Request, _host: &impl Host) -> Flow {
        if self.0.always || request.header(0) != Header::Absent {
            let value = "x".repeat(self.0.bytes);
            for n in 0..self.0.headers {
                request.append_header(&["x-flood-", &n.to_string()].concat(), &value);
            }
        }
        Flow::Next
    }
}
