//! Sandgate: an API gateway with Kong's interfaces, in which every plugin is a sandboxed WebAssembly component.
//!
//! The map of the rooms. Each imports only rooms on lower lines; `tests/layers.rs` reads this table and fails on an
//! upward `use crate::…`.
//!
//! ```text
//! 6  cli
//! 5  gateway
//! 4  proxy  stream  checks
//! 3  snapshot  admin
//! 2  config  store  listener  upstream  plugin  vault
//! 1  model  tls  dns
//! 0  router  balancer  telemetry  shutdown  clock
//! ```

pub mod admin;
pub mod balancer;
pub mod checks;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dns;
pub mod gateway;
pub mod listener;
pub mod model;
pub mod plugin;
pub mod proxy;
pub mod router;
pub mod shutdown;
pub mod snapshot;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod vault;
