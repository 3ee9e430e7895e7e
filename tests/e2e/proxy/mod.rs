//! Requests through the gateway to targets and back.

mod attacks;
mod balancing;
mod bodies;
mod certificates;
mod errors;
mod explain;
mod expressions;
mod grpc;
mod headers;
mod health;
mod http2_upstream;
mod long_bodies;
mod malformed;
mod path;
mod precedence;
mod protocols;
mod real_servers;
mod refusals;
mod retries;
mod shutdown;
mod smuggling;
mod spellings;
mod streaming;
mod upstream;
mod upstream_tls;
mod websocket;
