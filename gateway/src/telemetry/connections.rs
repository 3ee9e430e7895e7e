//! Connections of clients by what they do now, as `/status` and the metrics show them.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use super::{Counter, Level};

/// Numbers about the connections of clients.
#[derive(Debug, Default)]
pub struct Connections {
    /// Accepted since the start.
    pub accepted: Counter,
    /// Served since the start: accepted and not refused for lack of room.
    pub handled: Counter,
    /// Open now.
    pub active: Level,
    /// A request is being read.
    pub reading: Level,
    /// A response is being made or written.
    pub writing: Level,
    /// Idle between requests.
    pub waiting: Level,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectionState {
    /// A request is being read.
    Reading = 0,
    /// A response is being made or written.
    Writing = 1,
    /// Idle between requests.
    Waiting = 2,
}

impl Connections {
    /// Counts a connection that was accepted and will be served: it is `Reading` and open until the answer is dropped.
    pub fn open(self: &Arc<Self>) -> Connection {
        self.accepted.add(1);
        self.handled.add(1);
        self.active.up();
        self.reading.up();
        Connection { all: self.clone(), state: AtomicU8::new(ConnectionState::Reading as u8) }
    }

    /// Counts a connection that was accepted and closed at once.
    pub fn refuse(&self) {
        self.accepted.add(1);
    }

    fn level(&self, state: u8) -> &Level {
        match state {
            0 => &self.reading,
            1 => &self.writing,
            _ => &self.waiting,
        }
    }
}

/// An open connection; counted down when dropped.
#[derive(Debug)]
pub struct Connection {
    all: Arc<Connections>,
    state: AtomicU8,
}

impl Connection {
    /// The connection now does this. Being there already costs nothing.
    pub fn enter(&self, state: ConnectionState) {
        let (before, after) = (self.state.load(Relaxed), state as u8);
        if before != after && self.state.compare_exchange(before, after, Relaxed, Relaxed).is_ok() {
            self.all.level(before).down();
            self.all.level(after).up();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.level(*self.state.get_mut()).down();
        self.all.active.down();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(all: &Connections) -> [u64; 4] {
        [&all.active, &all.reading, &all.writing, &all.waiting].map(Level::get)
    }

    #[test]
    fn a_connection_is_counted_where_it_is() {
        let all = Arc::new(Connections::default());
        let (one, two) = (all.open(), all.open());
        all.refuse();
        assert_eq!(now(&all), [2, 2, 0, 0]);
        one.enter(ConnectionState::Writing);
        one.enter(ConnectionState::Writing);
        two.enter(ConnectionState::Waiting);
        assert_eq!(now(&all), [2, 0, 1, 1]);
        drop(one);
        assert_eq!(now(&all), [1, 0, 0, 1]);
        drop(two);
        assert_eq!(now(&all), [0, 0, 0, 0]);
        assert_eq!((all.accepted.get(), all.handled.get()), (3, 2));
    }
}
