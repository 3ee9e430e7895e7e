//! What requests to the Admin API may use.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::Failure;

/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(5);

/// Bounds of requests.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a body, modules apart.
    pub body: usize,
    /// Bytes of an uploaded module with its settings.
    pub upload: usize,
    /// For a whole body to arrive.
    pub body_timeout: Duration,
    /// Requests that are answered at once.
    pub requests: Arc<Semaphore>,
}

impl Limits {
    /// A place among the requests that are answered.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let turn = tokio::time::timeout(TURN, self.requests.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or(Failure::Busy)
    }
}
