//! Requests through the gateway to targets and back.

mod bodies;
mod certificates;
mod errors;
mod explain;
mod expressions;
mod headers;
mod malformed;
mod path;
mod precedence;
mod protocols;
mod retries;
mod shutdown;
mod spellings;
mod upstream;
mod upstream_tls;
mod websocket;
