//! `logging`.

use std::time::Instant;

use serde_json::value::RawValue;

use super::record;
use crate::plugin::{
    bindings::sandgate::plugin::{
        logging::{Host, Level},
        types::HostError,
    },
    instance::{HostState, Stage},
    phases::Phases,
};

const LONGEST: usize = 8 << 10;
const MOST_FIELDS: usize = 64;

impl Host for HostState {
    fn enabled(&mut self, level: Level) -> bool {
        match level {
            Level::Debug => tracing::enabled!(tracing::Level::DEBUG),
            Level::Info => tracing::enabled!(tracing::Level::INFO),
            Level::Warn => tracing::enabled!(tracing::Level::WARN),
            Level::Error => tracing::enabled!(tracing::Level::ERROR),
        }
    }

    fn write(&mut self, level: Level, message: String) {
        write_log(&self.deployment().name, level, &message);
    }

    fn set_field(&mut self, key: String, value: String) -> Result<(), HostError> {
        if self.stage == Stage::Log {
            return Err(HostError::Invalid("the record is made; set fields before the log phase".into()));
        }
        let Some(exchange) = &mut self.exchange else { return Err(HostError::Invalid("there is no request".into())) };
        if key.len() + value.len() > LONGEST || exchange.log_fields.len() >= MOST_FIELDS {
            return Err(HostError::Invalid(format!("at most {MOST_FIELDS} fields of {LONGEST} bytes")));
        }
        if serde_json::from_str::<&RawValue>(&value).is_err() {
            return Err(HostError::Invalid("the value is not JSON".into()));
        }
        exchange.log_fields.retain(|(known, _)| *known != key);
        exchange.log_fields.push((key, value));
        Ok(())
    }

    fn access_record(&mut self) -> Result<String, HostError> {
        let write = record_writer(self)?;
        let mut record = Vec::with_capacity(3_072);
        write(&mut record);
        String::from_utf8(record).map_err(|_| HostError::Failed("the record is not UTF-8".into()))
    }
}

/// What adds the access record to a buffer. If several plugins log the request, the record is made once.
pub(super) fn record_writer(state: &mut HostState) -> Result<impl FnOnce(&mut Vec<u8>) + '_, HostError> {
    let in_log = state.stage == Stage::Log;
    let Some(exchange) = state.exchange.as_mut().filter(|_| in_log) else {
        return Err(HostError::Invalid("the record exists in the log phase only".into()));
    };
    let loggers = exchange.selected.iter().filter(|plugin| plugin.exports(Phases::LOG)).count();
    if exchange.record.is_none() && loggers > 1 {
        let mut record = Vec::with_capacity(3_072);
        record::write(&mut record, exchange, Instant::now());
        exchange.record = Some(record.into());
    }
    Ok(move |out: &mut Vec<u8>| match &exchange.record {
        Some(record) => out.extend_from_slice(record),
        None => record::write(out, exchange, Instant::now()),
    })
}

/// Writes a plugin's message to the gateway's log.
pub(super) fn write_log(plugin: &str, level: Level, message: &str) {
    let cut = message.floor_char_boundary(message.len().min(LONGEST));
    let message = &message[..cut];
    match level {
        Level::Debug => tracing::debug!(plugin, "{message}"),
        Level::Info => tracing::info!(plugin, "{message}"),
        Level::Warn => tracing::warn!(plugin, "{message}"),
        Level::Error => tracing::error!(plugin, "{message}"),
    }
}
