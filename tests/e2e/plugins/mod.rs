//! The built-in plugins as clients see them, and how plugins are chosen and ordered.

mod access;
mod chain;
mod contract;
mod correlation_id;
mod key_auth;
mod logs;
mod rate_limiting;
mod request_transformer;
