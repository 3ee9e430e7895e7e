//! Writes Sandgate plugins. A plugin is a settings struct, an implementation of [`Plugin`] and one attribute:
//!
//! ```
//! use sandgate_sdk::prelude::*;
//!
//! /// What operators configure. Defaults, ranges and descriptions stand here and nowhere else.
//! #[derive(Config)]
//! pub struct Settings {
//!     /// Header that gets the greeting.
//!     #[config(default = "x-greeting", kind = "header_name")]
//!     header: String,
//! }
//!
//! pub struct Greeting(Settings);
//!
//! #[plugin(name = "greeting", priority = 500)]
//! impl Plugin for Greeting {
//!     type Settings = Settings;
//!
//!     fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
//!         Ok(Self(settings))
//!     }
//!
//!     fn on_request(&self, request: &mut Request, _host: &impl Host) -> Flow {
//!         request.set_header(&self.0.header, "hello");
//!         Flow::Next
//!     }
//! }
//!
//! let tester = sandgate_sdk::testing::Tester::<Greeting>::new("{}");
//! let outcome = tester.on_request(&MockHost::get("/"));
//! assert_eq!(outcome.upstream_header("X-Greeting"), Some("hello"));
//! # use sandgate_sdk::mock::MockHost;
//! ```
//!
//! The phases a plugin takes part in are the methods it writes. The same code runs natively in unit tests, against
//! [`mock::MockHost`], and as a component inside the gateway. See the README for the way from here to a running plugin.

pub mod auth;
#[doc(hidden)]
pub mod bindings;
pub mod body;
mod changes;
pub mod config;
pub mod custom_fields;
pub mod flow;
pub mod host;
#[cfg(not(target_family = "wasm"))]
pub mod mock;
pub mod plugin;
pub mod query;
pub mod request;
pub mod response;
#[doc(hidden)]
pub mod runtime;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod text;

pub use sandgate_sdk_macros::{Config, plugin};
pub use serde_json as json;

pub use crate::{
    config::{Config, ConfigError},
    flow::{Answer, Chunk, Flow, Refusal, ResponseFlow, refuse},
    host::{Host, HostError},
    plugin::{Plugin, Prepared, Scope},
    request::{Header, Request},
    response::Response,
};

/// Everything that a plugin usually needs.
pub mod prelude {
    pub use crate::{
        Answer, Chunk, Config, ConfigError, Flow, Header, Host, HostError, Plugin, Prepared, Refusal, Request,
        Response, ResponseFlow, Scope,
        flow::refuse,
        host::{
            Clock, Consumers, Counters, Crypto, KeyValue, Level, Logging, Metrics, Node, Notes, OutboundHttp, Queue,
            Random, RequestInfo, ResponseInfo, Secrets, Sinks,
        },
        plugin,
    };
}
