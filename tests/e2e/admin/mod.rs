//! The Admin API: Kong's semantics.

mod credentials;
mod debug;
mod entities;
mod errors;
mod info;
mod lists;
mod nested;
mod openapi;
mod transport;
