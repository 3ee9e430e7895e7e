//! What the gateway says about itself: the node's log, and numbers that workers bump without a lock. Names of log fields
//! and metrics stand here once. Decides nothing.

mod connections;
pub mod field;
mod log;
pub mod metric;
mod metrics;
mod number;

pub use connections::{Connection, ConnectionState, Connections};
pub use log::{LogError, LogFormat, LogLevel, UnknownName, log_to_stderr};
pub use metrics::{Definition, MetricError, Metrics};
pub use number::{Counter, Gauge, Histogram, Level};
