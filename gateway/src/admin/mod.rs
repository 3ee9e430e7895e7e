//! The Admin API: Kong's resources and semantics over the store, and `/modules`, which Kong never had. It decides nothing
//! about traffic: what it commits reaches the proxy through the snapshot. Built by the assembly, which serves the routers.

mod access;
mod answer;
mod audit;
mod body;
mod call;
mod cluster;
mod commit;
mod context;
mod debug;
pub mod declarative;
mod entities;
mod explain;
mod failure;
mod form;
mod info;
mod json;
mod limits;
mod marks;
mod modules;
mod names;
mod openapi;
mod plugins;
mod query;
mod read;
mod resource;
mod rollback;
mod schemas;
mod serve;
mod shown;
mod tags;
mod targets;
mod transactions;
mod ttl;
mod versions;
mod wishes;
mod write;

use axum::{Router, extract::DefaultBodyLimit};

pub use access::{Access, AccessSettings, Bootstrap, Door, NewToken, NewTokenError, Newest, new_token};
pub use context::{
    AddressFitness, Context, Controls, Explainer, Fitness, Modules, Node, Plugins, Quarantined, Status, TargetFitness,
};
pub use explain::{Explain, Values};
pub use form::{object as form_object, pairs as form_pairs};
pub use limits::Limits;
pub use marks::{Announcer, only};
pub use modules::{Local, local};

/// The Admin API.
pub fn router(context: Context) -> Router {
    Router::new().fallback(serve::admin).layer(DefaultBodyLimit::disable()).with_state(context)
}

/// The Status API: `/status`, `/status/ready`, `/metrics`, reading only.
pub fn status_router(context: Context) -> Router {
    Router::new().fallback(serve::status).layer(DefaultBodyLimit::disable()).with_state(context)
}

#[cfg(test)]
mod tests;
