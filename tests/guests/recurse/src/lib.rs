//! Overflows its stack when told to.

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
pub struct Recurse(Settings);

#[plugin(name = "recurse", priority = 500, request_headers = ["x-misbehave"])]
impl Plugin for Recurse {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self(settings))
    }

    fn on_request(&self, request: &mut Request, _host: &impl Host) -> Flow {
        if self.0.always || request.header(0) != Header::Absent {
            request.set_header("x-depth", &dive(0).to_string());
        }
        Flow::Next
    }
}

/// Every frame holds something that has to stay.
#[expect(unconditional_recursion, reason = "that is what this guest is for")]
fn dive(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    let below = dive(depth + 1);
    below + black_box(frame)[(depth % 32) as usize]
}
