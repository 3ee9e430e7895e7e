//! What the gateway says about itself: the node's log, and numbers that workers bump without a lock. Names of log fields
//! and metrics stand here once. Decides nothing.

mod access_log;
pub mod field;
mod log;
pub mod metric;
mod metrics;
mod number;
mod throttle;

pub use access_log::{AccessLog, AccessLogError, calendar, escaped};
pub use log::{LogDial, LogError, LogFormat, LogLevel, UnknownName, log_to_stderr};
pub use metrics::{Definition, MetricError, Metrics, StreamTraffic, Traffic, render_passing};
pub use number::{Counter, Gauge, Histogram, Level};
pub use throttle::Throttle;
