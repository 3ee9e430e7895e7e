//! `notes`.

use crate::plugin::{
    bindings::sandgate::plugin::{notes::Host, types::HostError},
    instance::HostState,
};

const MOST: usize = 64;
const LONGEST: usize = 4 << 10;

impl Host for HostState {
    fn get(&mut self, key: String) -> Option<String> {
        let notes = &self.exchange.as_ref()?.notes;
        notes.iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone())
    }

    fn set(&mut self, key: String, value: String) -> Result<(), HostError> {
        let Some(exchange) = &mut self.exchange else { return Err(HostError::Invalid("there is no request".into())) };
        if key.len() + value.len() > LONGEST {
            return Err(HostError::Invalid(format!("a note of {} bytes", key.len() + value.len())));
        }
        if let Some(note) = exchange.notes.iter_mut().find(|(known, _)| *known == key) {
            note.1 = value;
            return Ok(());
        }
        if exchange.notes.len() >= MOST {
            return Err(HostError::Invalid(format!("more than {MOST} notes")));
        }
        exchange.notes.push((key, value));
        Ok(())
    }
}
