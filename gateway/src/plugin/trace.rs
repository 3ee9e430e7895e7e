//! What a client asks a request to say about itself, such as what took how long. Nobody else's exchanges have a trace, or look
//! at the clock for one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{chain::Plugin, exchange::Exchange, phases::Phases};

/// What the client asks the request to say about itself.
#[derive(Debug)]
pub struct Asked {
    /// What its route and service are called.
    pub names: bool,
    /// What took how long.
    pub trace: Option<Trace>,
}

/// Durations within an exchange, as far as they are known when the answer's head goes out.
#[derive(Debug, Default)]
pub struct Trace {
    /// The client also wants it in the log.
    pub is_logged: bool,
    /// The client is on this machine, so there is no hop that could choke on a long header.
    pub is_local: bool,
    /// Finding the route.
    pub router: Option<Duration>,
    /// Choosing targets, over all attempts.
    pub balancer: Duration,
    /// When the answer's head was there and the response phases began.
    pub answered: Option<Instant>,
    /// Calls of plugins, in the order of the first of each.
    pub calls: Vec<PhaseTime>,
}

/// The time of one plugin in one phase.
#[derive(Debug)]
pub struct PhaseTime {
    /// One phase.
    pub phase: Phases,
    /// Name of the plugin.
    pub name: Arc<str>,
    /// Id of the plugin entity.
    pub id: Arc<str>,
    /// Of all calls together: bodies come in pieces.
    pub took: Duration,
}

impl Exchange {
    /// The present, if the exchange has a trace.
    pub fn clock(&self) -> Option<Instant> {
        self.asked.as_ref()?.trace.as_ref().map(|_| Instant::now())
    }

    /// Notes what began at `began`, as [`Exchange::clock`] said, and ends now.
    pub fn spent(&mut self, began: Option<Instant>, note: impl FnOnce(&mut Trace, Duration)) {
        let Some(began) = began else { return };
        if let Some(trace) = self.asked.as_mut().and_then(|asked| asked.trace.as_mut()) {
            note(trace, began.elapsed());
        }
    }
}

impl Trace {
    pub(super) fn call(&mut self, phase: Phases, plugin: &Plugin, took: Duration) {
        match self.calls.iter_mut().find(|call| call.phase == phase && call.id == plugin.id) {
            Some(call) => call.took += took,
            None => self.calls.push(PhaseTime { phase, name: plugin.name.clone(), id: plugin.id.clone(), took }),
        }
    }
}
