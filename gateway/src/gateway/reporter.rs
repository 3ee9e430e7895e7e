//! Tells the configuration database what this node serves: at its start, at each new version while other nodes may wait
//! for it, and as a heartbeat. Also takes refused writes to the audit log.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{
        mpsc,
        watch::{self, error::RecvError},
    },
    time::{Instant, sleep_until, timeout},
};

use super::node::hostname;
use crate::{
    shutdown::{Shutdown, Tasks},
    snapshot::{Deployments, Published},
    store::{HEARTBEAT, NODE_LIVE, NodeReport, Refused, Result, Store, Version},
};

/// How long one report may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Refused writes that wait to be written, and how many are written at once.
const REFUSALS: usize = 1000;
const REFUSALS_AT_ONCE: usize = 100;

/// What is needed to say what this node serves.
#[derive(Clone)]
pub(super) struct Reporter {
    store: Arc<dyn Store>,
    id: Arc<str>,
    hostname: Arc<str>,
    published: Published,
    deployments: Deployments,
    contact: Arc<Mutex<Contact>>,
    /// Given when another process took over.
    replaced: Shutdown,
}

/// When the database was last heard from, and how long it was away before. While it was away nobody could report: an old
/// report then says nothing about the life of its node.
#[derive(Debug, Clone, Copy)]
struct Contact {
    last: Instant,
    regained: Instant,
    away: Duration,
    /// The last report failed, and the log says so already.
    failing: bool,
}

impl Contact {
    fn new() -> Self {
        let now = Instant::now();
        Self { last: now, regained: now, away: Duration::ZERO, failing: false }
    }

    /// The database answered at `now`.
    fn heard(&mut self, now: Instant) {
        let silence = now.duration_since(self.last);
        if silence > HEARTBEAT + PATIENCE {
            (self.regained, self.away) = (now, silence);
        }
        (self.last, self.failing) = (now, false);
    }

    /// How old the report of a live node may be at `now`.
    fn live(&self, now: Instant) -> Duration {
        if now.duration_since(self.regained) < NODE_LIVE { NODE_LIVE + self.away } else { NODE_LIVE }
    }
}

impl Reporter {
    pub(super) fn new(
        store: Arc<dyn Store>,
        id: &str,
        published: Published,
        deployments: Deployments,
        replaced: Shutdown,
    ) -> Self {
        let contact = Arc::new(Mutex::new(Contact::new()));
        Self { store, id: id.into(), hostname: hostname().into(), published, deployments, contact, replaced }
    }

    /// How old the report of a live node may be.
    pub(super) fn live(&self) -> Arc<dyn Fn() -> Duration + Send + Sync> {
        let contact = self.contact.clone();
        Arc::new(move || contact.lock().unwrap_or_else(PoisonError::into_inner).live(Instant::now()))
    }

    /// Reports once. What fails is said in the log: the next heartbeat tries again.
    pub(super) async fn announce(&self) {
        let report = self.report();
        let failure = match timeout(PATIENCE, self.store.report(&report)).await {
            Ok(Ok(())) => {
                self.contact.lock().unwrap_or_else(PoisonError::into_inner).heard(Instant::now());
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        let mut contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut contact.failing, true) {
            tracing::warn!(failure, version = report.version, "this node could not report what it serves");
        }
    }

    fn report(&self) -> NodeReport {
        let snapshot = self.published.current.load();
        let quarantined: Vec<Value> = snapshot
            .quarantined
            .iter()
            .map(|entity| json!({ "collection": entity.collection, "id": entity.id, "reason": entity.reason }))
            .collect();
        let mut modules: Vec<_> = self.deployments.all();
        modules.sort_by(|one, other| one.name.cmp(&other.name));
        let modules = modules.iter().map(|module| (module.name.to_string(), json!(module.code.digest)));
        NodeReport {
            id: self.id.to_string(),
            hostname: self.hostname.to_string(),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            version: snapshot.version,
            quarantined: quarantined.into(),
            modules: Value::Object(modules.collect()),
        }
    }

    /// Whether no other node reported lately: nobody then waits for this one but itself, which needs no report.
    async fn is_alone(&self) -> bool {
        let nodes = timeout(PATIENCE, self.store.nodes()).await;
        let others = |nodes: &[crate::store::Heard]| {
            nodes.iter().any(|heard| heard.report.id != *self.id && heard.age < NODE_LIVE.as_secs_f64())
        };
        matches!(nodes, Ok(Ok(nodes)) if !others(&nodes))
    }

    async fn run(self, ending: Shutdown) {
        let mut served = self.published.served.subscribe();
        loop {
            served.borrow_and_update();
            self.announce().await;
            let alone = self.is_alone().await;
            let beat = Instant::now() + HEARTBEAT;
            while !ending.is_triggered() {
                // No arm loses anything: what is served is read when it is reported.
                tokio::select! {
                    () = sleep_until(beat) => break,
                    () = ending.triggered() => {}
                    Ok(()) = next(&mut served), if !alone => self.announce().await,
                }
            }
            if ending.is_triggered() {
                break;
            }
        }
        if self.replaced.is_triggered() {
            // The process that took over is the same node.
            return;
        }
        if let Ok(Err(error)) = timeout(PATIENCE, self.store.leave(&self.id)).await {
            tracing::warn!(%error, "this node could not take its leave");
        }
    }
}

async fn next(served: &mut watch::Receiver<Version>) -> Result<(), RecvError> {
    served.changed().await?;
    served.borrow_and_update();
    Ok(())
}

/// Starts the reports, and the writer of refusals; answers with the door to the latter.
pub(super) fn spawn(reporter: Reporter, tasks: &Tasks) -> mpsc::Sender<Refused> {
    let (sender, receiver) = mpsc::channel(REFUSALS);
    tasks.spawn("audit of refused writes", audit(reporter.store.clone(), receiver, tasks.shutdown()));
    tasks.spawn("reports of this node", reporter.run(tasks.shutdown()));
    sender
}

async fn audit(store: Arc<dyn Store>, mut refused: mpsc::Receiver<Refused>, ending: Shutdown) {
    let mut some = Vec::with_capacity(REFUSALS_AT_ONCE);
    loop {
        // Receiving is cancel-safe. Once closed it goes on until nothing is left.
        let count = tokio::select! {
            biased;
            count = refused.recv_many(&mut some, REFUSALS_AT_ONCE) => count,
            () = ending.triggered() => {
                refused.close();
                continue;
            }
        };
        if count == 0 {
            return;
        }
        match timeout(PATIENCE, store.refused(&some)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, count = some.len(), "refused writes could not be audited"),
            Err(_) => tracing::error!(count = some.len(), "refused writes could not be audited in time"),
        }
        some.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_an_outage_old_reports_count_for_a_while() {
        let mut contact = Contact::new();
        let start = contact.last;
        let at = |seconds| start + Duration::from_secs(seconds);
        contact.heard(at(3));
        assert_eq!(contact.live(at(3)), NODE_LIVE);
        contact.heard(at(63));
        assert_eq!(contact.live(at(64)), NODE_LIVE + Duration::from_secs(60), "nobody could report for a minute");
        contact.heard(at(66));
        assert_eq!(contact.live(at(80)), NODE_LIVE, "whoever lives has reported by now");
    }
}
