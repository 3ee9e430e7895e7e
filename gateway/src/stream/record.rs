//! What is known of one stream: counted, and said in the access log, when the stream is over in whatever way.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{Ends, Failure, Streams, counters::End};
use crate::{
    snapshot::StreamEntry,
    telemetry::{calendar, escaped},
    upstream::Passed,
};

/// Where a stream came from and went to, and how much was said. Ends with the stream.
pub(super) struct Record {
    streams: Rc<Streams>,
    /// `TCP` or `UDP`.
    protocol: &'static str,
    begun: Instant,
    pub(super) client: SocketAddr,
    local: SocketAddr,
    /// The name that the client asked for.
    pub(super) sni: Option<String>,
    route: Option<Arc<str>>,
    service: Option<Arc<str>>,
    pub(super) target: Option<SocketAddr>,
    pub(super) passed: Passed,
    end: End,
}

impl Record {
    pub(super) fn begin(streams: &Rc<Streams>, protocol: &'static str, ends: Ends) -> Self {
        Self {
            streams: streams.clone(),
            protocol,
            begun: Instant::now(),
            client: ends.peer,
            local: ends.local,
            sni: None,
            route: None,
            service: None,
            target: None,
            passed: Passed::default(),
            // As long as nothing else is known, the gateway ended before it.
            end: End::Unavailable,
        }
    }

    /// The names of what was found, or ids where there are none. They outlive their configuration.
    pub(super) fn lead(&mut self, found: &StreamEntry) {
        let route = &found.route;
        self.route = Some(route.name.clone().unwrap_or_else(|| route.id.clone()));
        let service = found.service.as_ref().map(|service| &service.service);
        self.service = service.map(|service| service.name.clone().unwrap_or_else(|| service.id.clone()));
    }

    /// The name or id of its route.
    pub(super) fn route(&self) -> &str {
        self.route.as_deref().unwrap_or_default()
    }

    /// Its target has it.
    pub(super) fn pass(&mut self, target: SocketAddr) {
        (self.target, self.end) = (Some(target), End::Passed);
    }

    /// It was not passed on, or no further.
    pub(super) fn fail(&mut self, failure: &Failure) {
        self.end = failure.end();
    }

    /// Kong's format for streams, and behind it what an operator asks next.
    fn line(&self) -> String {
        let mut line = String::with_capacity(256);
        let (time, seconds) = (calendar(SystemTime::now()), self.begun.elapsed().as_secs_f64());
        let (to_client, to_target) = (self.passed.to_client.get(), self.passed.to_target.get());
        let (client, protocol, code) = (self.client, self.protocol, self.end.code());
        let _ = write!(line, "{} [{time}] {protocol} {code} {to_client} {to_target} {seconds:.3}", client.ip());
        let _ = write!(line, " from={client} to={}", self.local);
        for (name, text) in [("sni", self.sni.as_deref()), ("route", self.route.as_deref())] {
            let _ = write!(line, " {name}=\"{}\"", escaped(text.unwrap_or("-").as_bytes()));
        }
        let _ = write!(line, " service=\"{}\"", escaped(self.service.as_deref().unwrap_or("-").as_bytes()));
        let _ = match self.target {
            Some(target) => writeln!(line, " target={target}"),
            None => writeln!(line, " target=-"),
        };
        line
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.streams.counters.ended(self.end);
        if let Some(log) = &self.streams.settings().access_log {
            log.note(self.line());
        }
    }
}
