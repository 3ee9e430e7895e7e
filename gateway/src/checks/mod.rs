//! Active health checks: asks targets how they are, at the intervals of their upstreams, and notes the answers where the
//! workers see them. Runs on the control runtime; never sees a client's request.

mod grpc;
mod probe;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::Instant};

use crate::{
    balancer::Report,
    model::ActiveChecks,
    shutdown::{Shutdown, Tasks},
    snapshot::{Peer, Published, UpstreamEntry, Upstreams},
};
use probe::{Heard, Probe};

/// Targets of one upstream that are checked at the same time, whatever it says.
const MOST_AT_ONCE: usize = 1_000;

/// Keeps the checks of every upstream going that wants some, until the gateway ends.
pub async fn run(published: Published, tasks: Tasks) {
    let (ending, mut served) = (tasks.shutdown(), published.served.subscribe());
    let mut rounds = Rounds { tasks, running: HashMap::new(), known: Arc::default() };
    loop {
        served.borrow_and_update();
        rounds.follow(&published.current.load().upstreams);
        // What is served is read when the word of it has come: no arm loses anything.
        tokio::select! {
            () = ending.triggered() => return rounds.end(),
            changed = served.changed() => if changed.is_err() {
                return rounds.end();
            }
        }
    }
}

/// The checks that are under way.
struct Rounds {
    tasks: Tasks,
    /// By the upstream's name.
    running: HashMap<Arc<str>, Round>,
    known: Arc<Upstreams>,
}

struct Round {
    of: Arc<UpstreamEntry>,
    ending: Shutdown,
}

impl Rounds {
    /// Ends the checks of upstreams that are gone or changed, and begins those of new ones.
    fn follow(&mut self, upstreams: &Arc<Upstreams>) {
        if Arc::ptr_eq(&self.known, upstreams) {
            return;
        }
        self.known = upstreams.clone();
        let is_over = |name: &Arc<str>, round: &mut Round| {
            !upstreams.get(name).is_some_and(|upstream| Arc::ptr_eq(upstream, &round.of))
        };
        self.running.extract_if(is_over).for_each(|(_, round)| round.ending.trigger());
        for (name, upstream) in upstreams.iter() {
            if upstream.upstream.healthchecks.is_active() && !self.running.contains_key(name) {
                let round = Round { of: upstream.clone(), ending: Shutdown::new() };
                self.begin(&round);
                self.running.insert(name.clone(), round);
            }
        }
    }

    /// Healthy targets and the others have intervals of their own.
    fn begin(&self, round: &Round) {
        let checks = &round.of.upstream.healthchecks.active;
        let name = &round.of.upstream.name;
        let probe = Arc::new(Probe::of(&round.of));
        for (state, interval) in [(true, checks.healthy.interval), (false, checks.unhealthy.interval)] {
            if interval > 0.0 {
                let state = Checked { healthy: state, every: Duration::from_secs_f64(interval.clamp(0.001, 65_535.0)) };
                let rounds = rounds(round.of.clone(), probe.clone(), state, (round.ending.clone(), self.tasks.clone()));
                self.tasks.spawn(format!("checks of {name}"), rounds);
            }
        }
    }

    fn end(self) {
        self.running.values().for_each(|round| round.ending.trigger());
    }
}

/// Which targets are checked, and how often.
#[derive(Debug, Clone, Copy)]
struct Checked {
    healthy: bool,
    every: Duration,
}

async fn rounds(upstream: Arc<UpstreamEntry>, probe: Arc<Probe>, checked: Checked, (ending, tasks): (Shutdown, Tasks)) {
    let places = Arc::new(Semaphore::new(at_once(&upstream.upstream.healthchecks.active)));
    let all_end = tasks.shutdown();
    let mut next = Instant::now();
    loop {
        // A wait or a round that is dropped has nothing that anyone would miss.
        tokio::select! {
            () = ending.triggered() => return,
            () = all_end.triggered() => return,
            () = tokio::time::sleep_until(next) => {}
        }
        next = Instant::now() + checked.every;
        let peers = upstream.ring.peers();
        for (index, peer) in peers.list.iter().enumerate() {
            if peer.weight == 0 || peer.health.is_healthy() != checked.healthy {
                continue;
            }
            // The next round does not begin before all of this one have begun.
            let place = tokio::select! {
                () = ending.triggered() => return,
                place = places.clone().acquire_owned() => place,
            };
            let (upstream, peers, probe) = (upstream.clone(), peers.clone(), probe.clone());
            let (own, all_end) = (tasks.clone(), tasks.shutdown());
            tasks.spawn("a check", async move {
                let _place = place;
                // What a check would have found nobody asks any more.
                tokio::select! {
                    () = check(&upstream, &peers.list[index], &probe, &own) => {}
                    () = all_end.triggered() => {}
                }
            });
        }
        // All places back: none is under way any more.
        let many = u32::try_from(at_once(&upstream.upstream.healthchecks.active)).unwrap_or(u32::MAX);
        tokio::select! {
            () = ending.triggered() => return,
            all = places.acquire_many(many) => drop(all),
        }
    }
}

fn at_once(checks: &ActiveChecks) -> usize {
    checks.concurrency.clamp(1, MOST_AT_ONCE)
}

async fn check(upstream: &UpstreamEntry, peer: &Peer, probe: &Probe, tasks: &Tasks) {
    let (target, verdicts) = (&upstream.targets[peer.target], &upstream.checks.active);
    let report = match probe.ask(target, peer.address, tasks).await {
        Ok(Heard::Status(status)) => verdicts.of_status(status),
        Ok(Heard::Fine) => Some(Report::Success),
        Ok(Heard::NotFine) => Some(Report::HttpFailure),
        Err(error) => {
            let (upstream, host, port) = (&*upstream.upstream.name, &*target.host, target.port);
            tracing::debug!(upstream, host, port, error = &error as &dyn std::error::Error, "a check failed");
            Some(error.report())
        }
    };
    if let Some(report) = report {
        upstream.turned(peer, peer.health.note(report, &verdicts.thresholds), "its checks");
    }
}
