//! Rules common to plugins that find out who the consumer is.

use crate::{
    flow::{Flow, refuse},
    host::{Host, HostError},
};

/// What every authentication plugin does around its own attempt.
///
/// Without an anonymous consumer a failed attempt ends the request, so that several such plugins must all succeed. With
/// one, the plugin is skipped when an earlier one has authenticated the request, and a failed attempt makes the request
/// that consumer's, so that one success is enough.
pub fn settle(anonymous: Option<&str>, host: &impl Host, attempt: impl FnOnce() -> Result<(), Flow>) -> Flow {
    if anonymous.is_some() && host.credential_id().is_some() {
        return Flow::Next;
    }
    match (attempt(), anonymous) {
        (Ok(()), _) => Flow::Next,
        (Err(failure), None) => failure,
        (Err(_), Some(consumer)) => set_anonymous(consumer, host),
    }
}

fn set_anonymous(consumer: &str, host: &impl Host) -> Flow {
    match host.set_anonymous(consumer) {
        Ok(()) => Flow::Next,
        Err(HostError::Invalid(_)) => {
            refuse(500, &["anonymous consumer ", consumer, " is configured but doesn't exist"].concat())
        }
        Err(_) => unexpected(),
    }
}

/// What a client hears when the gateway itself fails.
pub fn unexpected() -> Flow {
    refuse(500, "An unexpected error occurred")
}
