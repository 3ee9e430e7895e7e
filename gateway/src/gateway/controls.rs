//! What operators may look at and turn on the running node: its log level and its background tasks.

use std::{sync::Arc, time::Duration};

use crate::{
    admin,
    shutdown::Tasks,
    telemetry::{LogDial, LogLevel},
};

/// The node's controls.
pub(super) struct Controls {
    log: LogDial,
    tasks: Tasks,
}

impl Controls {
    pub(super) fn new(log: LogDial, tasks: Tasks) -> Self {
        Self { log, tasks }
    }

    /// Where background work goes.
    pub(super) fn tasks(&self) -> Tasks {
        self.tasks.clone()
    }
}

impl admin::Controls for Controls {
    fn log_level(&self) -> LogLevel {
        self.log.level()
    }

    fn set_log_level(&self, level: LogLevel, lasts: Option<Duration>) {
        let turn = self.log.turn(level);
        tracing::info!(level = level.as_str(), ?lasts, "the log level was changed");
        let Some(lasts) = lasts else { return };
        let (log, ending) = (self.log.clone(), self.tasks.shutdown());
        self.tasks.spawn("end of a log level", async move {
            if tokio::time::timeout(lasts, ending.triggered()).await.is_err() {
                log.restore(turn);
                tracing::info!(level = log.level().as_str(), "the log level is back");
            }
        });
    }

    fn tasks(&self) -> Vec<Arc<str>> {
        self.tasks.names()
    }
}
