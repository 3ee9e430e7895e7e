//! What the gateway says about itself: the node's log, and counters that workers bump without a lock. Names of log fields
//! and metrics stand here once. Decides nothing.

mod log;

pub use log::{LogFormat, LogLevel, UnknownName};
