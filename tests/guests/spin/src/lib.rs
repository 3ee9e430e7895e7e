//! Loops for ever when told to.

use std::hint::black_box;

use sandgate_sdk::prelude::*;

/// When it misbehaves: on requests with the header `x-misbehave`, or on all.
#[derive(Debug, Config)]
pub struct Settings {
    /// Misbehave on every request.
    #[config(default = false, required)]
    always: bool,
}

/// One configuration.
#[derive(Debug)]
pub struct Spin(Settings);

#[plugin(name = "spin", priority = 500, request_headers = ["x-misbehave"])]
impl Plugin for Spin {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self(settings))
    }

    fn on_request(&self, request: &mut Request, _host: &impl Host) -> Flow {
        if self.0.always || request.header(0) != Header::Absent {
            let mut turns = 0_u64;
            while black_box(turns) != u64::MAX {
                turns = black_box(turns + 2) & !1;
            }
        }
        Flow::Next
    }
}
