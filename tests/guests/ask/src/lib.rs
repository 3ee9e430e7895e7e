//! Asks for header changes by the contract's own function, well or badly, and decides something besides.

use sandgate_sdk::{bindings::sandgate::plugin::changes, prelude::*};

/// Nothing to configure.
#[derive(Debug, Config)]
pub struct Settings {}

/// One configuration.
#[derive(Debug)]
pub struct Ask;

#[plugin(name = "ask", priority = 500, request_headers = ["x-ask", "x-then"])]
impl Plugin for Ask {
    type Settings = Settings;

    fn new(_settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self)
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        match request.header(0).value() {
            Some("well") => changes::headers("x-asked1x-answered2", &[0, 7, 1, 4, 10, 1]),
            Some("badly") => changes::headers("x-asked1", &[0, 7, 9]),
            Some("late") => drop(host.set_note("late", "yes")),
            _ => {}
        }
        match request.header(1).value() {
            Some("respond") => Flow::text(200, "mine"),
            Some("refuse") => refuse(403, "refused"),
            Some("change") => {
                request.set_header("x-asked", "2");
                request.set_method("PUT");
                Flow::Next
            }
            _ => Flow::Next,
        }
    }

    fn on_response(&self, response: &mut Response, host: &impl Host) -> ResponseFlow {
        if host.note("late").is_some() {
            changes::headers("x-asked1", &[0, 7, 1]);
        }
        response.set_header("x-last", "3");
        ResponseFlow::Next
    }
}
