//! What addresses the names of targets have: asked in the background, kept for as long as the answers say, and told to
//! whoever follows a name. One for the node, shared by its workers; nobody on the way of a request asks a server or takes a
//! lock. Never chooses among addresses.

mod answer;
mod ask;
mod course;
mod hosts;
mod name;
mod round;
mod system;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

pub use answer::{Found, Kind, NameError, Record, Service};
pub use ask::{Ask, Asker};
pub use name::{Follower, Known, Name};
pub use round::run;
pub use system::{Order, Step, UnknownStep};

/// How names are resolved; Kong's settings and defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Servers; none: those of the machine.
    pub servers: Vec<SocketAddr>,
    /// The machine's servers, search domains and options; read again when it changes.
    pub resolv_conf: PathBuf,
    /// Names that need no server.
    pub hosts_file: PathBuf,
    /// What is asked for, until there is an answer.
    pub order: Order,
    /// How long an answer counts, whatever it says itself.
    pub valid: Option<Duration>,
    /// How long an answer is used when there is no newer one.
    pub stale: Duration,
    /// After what time a name that does not exist is asked for again.
    pub not_found: Duration,
    /// After what time a name is asked for again whose servers failed.
    pub error: Duration,
    /// Answers of servers that are kept.
    pub cache_size: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            resolv_conf: "/etc/resolv.conf".into(),
            hosts_file: "/etc/hosts".into(),
            order: Order::default(),
            valid: None,
            stale: Duration::from_secs(3600),
            not_found: Duration::from_secs(30),
            error: Duration::from_secs(1),
            cache_size: 10_000,
        }
    }
}

/// The names that anybody follows, and when each is asked for next.
#[derive(Debug, Default)]
pub struct Dns {
    names: Mutex<Names>,
    /// Told of names that are due earlier than all others.
    hurry: Notify,
}

#[derive(Debug, Default)]
struct Names {
    known: HashMap<Arc<str>, Weak<Name>>,
    due: BTreeMap<(Instant, u64), Weak<Name>>,
    turn: u64,
}

impl Dns {
    /// A name, which is asked for from now on until nobody holds it any more.
    pub fn name(&self, host: &str) -> Arc<Name> {
        let host: Arc<str> = host.trim_end_matches('.').to_ascii_lowercase().into();
        let mut names = self.names();
        if let Some(name) = names.known.get(&host).and_then(Weak::upgrade) {
            return name;
        }
        let name = Arc::new(Name::new(host.clone()));
        names.known.insert(host, Arc::downgrade(&name));
        names.put(Instant::now(), &name);
        drop(names);
        self.hurry.notify_one();
        name
    }

    /// The next name that is due; else when the next one will be.
    fn next(&self, now: Instant) -> Result<Arc<Name>, Option<Instant>> {
        let mut names = self.names();
        while let Some(first) = names.due.first_entry() {
            let at = first.key().0;
            if at > now {
                return Err(Some(at));
            }
            if let Some(name) = first.remove().upgrade() {
                return Ok(name);
            }
        }
        // Nobody holds what is left of names that are gone.
        names.known.retain(|_, name| name.strong_count() > 0);
        Err(None)
    }

    fn again(&self, at: Instant, name: &Arc<Name>) {
        self.names().put(at, name);
        self.hurry.notify_one();
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn put(&mut self, at: Instant, name: &Arc<Name>) {
        self.turn += 1;
        self.due.insert((at, self.turn), Arc::downgrade(name));
        // What nobody holds any more is in the way only when there is much of it.
        if self.known.len() > 2 * self.due.len() + 16 {
            self.known.retain(|_, name| name.strong_count() > 0);
        }
    }
}
