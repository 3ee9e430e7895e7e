//! What happened to streams of one worker. Read from other threads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{listener, upstream::Passed};

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections, and those refused. Clients of UDP make none.
    pub listener: listener::Counters,
    /// Streams that ended, by the place of how in [`End::ALL`].
    ended: [AtomicU64; End::ALL.len()],
    /// Bytes from clients to targets, of streams that ended.
    pub to_targets: AtomicU64,
    /// Bytes from targets to clients.
    pub to_clients: AtomicU64,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was passed on until a side ended it, or neither said anything for too long.
    Passed,
    /// The client said nothing useful, or went away before it was passed on.
    Client,
    /// The gateway had no route, no service, or no certificate for it.
    Gateway,
    /// No target could be reached.
    Target,
    /// There is no target to ask, or no room for more.
    Unavailable,
}

impl End {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 5] = [Self::Passed, Self::Client, Self::Gateway, Self::Target, Self::Unavailable];

    /// As nginx, and so Kong, numbers the ends of streams.
    pub fn code(self) -> &'static str {
        match self {
            Self::Passed => "200",
            Self::Client => "400",
            Self::Gateway => "500",
            Self::Target => "502",
            Self::Unavailable => "503",
        }
    }
}

impl Counters {
    pub(super) fn ended(&self, end: End) {
        self.ended[end as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn passed(&self, passed: &Passed) {
        self.to_targets.fetch_add(passed.to_target.get(), Relaxed);
        self.to_clients.fetch_add(passed.to_client.get(), Relaxed);
    }

    /// Streams that ended so.
    pub fn count(&self, end: End) -> u64 {
        self.ended[end as usize].load(Relaxed)
    }
}
