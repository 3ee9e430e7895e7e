//! The plugins of a route in the order they run, and the walk through them.

use std::sync::Arc;

use bytes::Bytes;

use super::exchange::Held;

/// A configured plugin.
#[derive(Debug)]
pub struct Plugin {
    /// Name of the plugin.
    pub name: Arc<str>,
}

/// The plugins of a route.
#[derive(Debug, Default)]
pub struct Chain {}

/// What the request phases decided.
#[derive(Debug)]
pub enum Flow {
    /// Go on to the upstream.
    Continue,
    /// A plugin answered: the head is in `exchange.response`, the body here.
    Answer(Bytes),
    /// A plugin refused: the proxy words the answer in the format that the client accepts and sets `exchange.response`.
    Refuse(Refusal),
}

/// An answer for the gateway to word.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// 400 to 599.
    pub status: http::StatusCode,
    /// For the client.
    pub message: String,
    /// Headers of the answer.
    pub headers: http::HeaderMap,
}

/// Why a plugin counts as failed.
#[derive(Debug, thiserror::Error)]
#[error("plugin {plugin} failed: {reason}")]
pub struct PluginFailure {
    /// Name of the plugin.
    pub plugin: Arc<str>,
    /// For the log and the Admin API, never for clients.
    pub reason: String,
}

/// Which body a filter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Request bodies on their way to the upstream.
    Request,
    /// Response bodies on their way to the client.
    Response,
}

impl Chain {
    /// Whether no plugin takes part.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Selects the plugins for this exchange one by one and runs their request phases. After an answer or refusal the
    /// selection goes on, the request phases do not.
    pub async fn on_request(&self, exchange: &mut Held) -> Result<Flow, PluginFailure> {
        let _ = exchange;
        Ok(Flow::Continue)
    }

    /// Runs the response phases of the selected plugins on `exchange.response` and applies what the request phases asked
    /// for (`response_changes`). `Some`: a plugin replaced the body.
    pub async fn on_response(exchange: &mut Held) -> Result<Option<Bytes>, PluginFailure> {
        let _ = exchange;
        Ok(None)
    }

    /// Whether a selected plugin wants to see chunks of this body.
    pub fn filters(exchange: &Held, direction: Direction) -> bool {
        let _ = (exchange, direction);
        false
    }

    /// Sends a chunk (at most 64 KiB) through the selected plugins that export the phase. `Err(Some(refusal))` only for
    /// request bodies.
    pub async fn on_chunk(exchange: &mut Held, direction: Direction, chunk: Bytes, last: bool) -> Result<Bytes, ChunkStop> {
        let _ = (exchange, direction, last);
        Ok(chunk)
    }

    /// Whether a selected plugin exports the log phase.
    pub fn logs(exchange: &Held) -> bool {
        let _ = exchange;
        false
    }

    /// Runs the log phases of the selected plugins.
    pub async fn on_log(exchange: &mut Held) {
        let _ = exchange;
    }
}

/// Why a body stops.
#[derive(Debug)]
pub enum ChunkStop {
    /// A plugin refused the request.
    Refuse(Refusal),
    /// A plugin failed.
    Failed(PluginFailure),
}
