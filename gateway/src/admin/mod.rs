//! Not written yet.

mod context;

pub use context::{Context, Modules, Node, Plugins, Status};
