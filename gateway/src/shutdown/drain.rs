//! How far the end of the workers has gone.

use tokio::sync::watch;

/// A step of the end. Each goes further than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Ending {
    /// Connections are accepted and served.
    #[default]
    None,
    /// Another process accepts connections now: clients are asked to leave with their next answer, so that no request
    /// meets a connection that closes.
    Retire,
    /// Nobody accepts connections any more: idle ones are closed, open requests are answered.
    Close,
    /// What is still open is cut.
    Cut,
}

/// The order to end, for every worker. It only goes on. Clones may be sent to other threads and waited for there.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    step: watch::Sender<Ending>,
}

impl Drain {
    /// Goes on to this step, unless it is there or further already.
    pub fn advance(&self, step: Ending) {
        self.step.send_if_modified(|now| {
            let goes_on = step > *now;
            *now = step.max(*now);
            goes_on
        });
    }

    /// The step it is at.
    pub fn step(&self) -> Ending {
        *self.step.borrow()
    }

    /// Waits until this step, or a later one.
    ///
    /// # Cancel safety
    /// Safe: dropping the future loses nothing.
    pub async fn reached(&self, step: Ending) {
        let seen = self.step.subscribe().wait_for(|now| *now >= step).await.is_ok();
        debug_assert!(seen, "this clone keeps the sender alive");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_only_goes_on() {
        let drain = Drain::default();
        drain.advance(Ending::Close);
        drain.advance(Ending::Retire);
        assert_eq!(drain.step(), Ending::Close);
        drain.clone().reached(Ending::Retire).await;
    }
}
