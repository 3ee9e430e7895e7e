//! Requests through the gateway to targets and back.

mod balancing;
mod bodies;
mod certificates;
mod errors;
mod headers;
mod health;
mod malformed;
mod path;
mod precedence;
mod protocols;
mod retries;
mod shutdown;
mod spellings;
mod upstream;
mod upstream_tls;
