//! The Admin API: Kong's semantics.

mod credentials;
mod entities;
mod errors;
mod info;
mod lists;
mod nested;
