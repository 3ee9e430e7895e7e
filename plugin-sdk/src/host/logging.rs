//! The gateway's log, and the access record of the request.

use crate::{
    bindings::sandgate::plugin::logging,
    host::{HostError, Level, WasmHost},
};

/// The gateway's log, and the access record of the request.
pub trait Logging {
    /// Whether a message of this level would be written.
    fn log_enabled(&self, level: Level) -> bool;
    /// Writes to the gateway's log.
    fn log(&self, level: Level, message: &str);
    /// Adds a member to the access record; `value` is JSON. Phases: all before log.
    fn set_log_field(&self, key: &str, value: &str) -> Result<(), HostError>;
    /// The access record as one JSON object. Phase: log.
    fn log_record(&self) -> Result<String, HostError>;
}

impl Logging for WasmHost {
    fn log_enabled(&self, level: Level) -> bool {
        logging::enabled(level)
    }

    fn log(&self, level: Level, message: &str) {
        logging::write(level, message);
    }

    fn set_log_field(&self, key: &str, value: &str) -> Result<(), HostError> {
        logging::set_field(key, value)
    }

    fn log_record(&self) -> Result<String, HostError> {
        logging::access_record()
    }
}
