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
mod proxy_protocol;
mod real_servers;
mod retries;
mod shutdown;
mod spellings;
mod streaming;
mod upstream;
mod upstream_tls;
mod websocket;
