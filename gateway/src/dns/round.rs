//! Asks for each name when it is due, many at a time.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::Instant};

use super::{Ask, Dns, Found, Name, NameError, Settings, course::Word};
use crate::{
    shutdown::Tasks,
    telemetry::{Counter, Metrics, metric},
};

/// Names that are asked for at the same time.
const AT_ONCE: usize = 256;
/// For all servers, kinds and search domains of one name together.
const LIMIT: Duration = Duration::from_secs(60);

/// How many lookups ended in which way.
struct Counters {
    found: Arc<Counter>,
    not_found: Arc<Counter>,
    failed: Arc<Counter>,
}

impl Counters {
    fn of(metrics: &Metrics) -> Self {
        let counter = |result| metrics.counter(&metric::DNS_LOOKUPS, &[("result", result)]).unwrap_or_default();
        Self { found: counter("found"), not_found: counter("not_found"), failed: counter("failed") }
    }

    fn count(&self, heard: &Result<Found, NameError>) {
        let counter = match heard {
            Ok(_) => &self.found,
            Err(error) if error.is_final() => &self.not_found,
            Err(_) => &self.failed,
        };
        counter.add(1);
    }
}

/// Keeps every name up to date until the gateway ends.
pub async fn run(dns: Arc<Dns>, asker: Arc<dyn Ask>, settings: Settings, metrics: Arc<Metrics>, tasks: Tasks) {
    let ending = tasks.shutdown();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let known = Arc::new((asker, settings, Counters::of(&metrics)));
    loop {
        let name = match dns.next(Instant::now()) {
            Ok(name) => name,
            Err(next) => {
                // The names are looked through again after each of these: no arm loses anything.
                tokio::select! {
                    () = ending.triggered() => return,
                    () = dns.hurry.notified() => {}
                    () = until(next) => {}
                }
                continue;
            }
        };
        let place = tokio::select! {
            () = ending.triggered() => return,
            place = places.clone().acquire_owned() => place,
        };
        let (dns, known, ending) = (dns.clone(), known.clone(), ending.clone());
        tasks.spawn("a name", async move {
            let _place = place;
            let (asker, settings, counters) = &*known;
            // An answer that comes too late is one for nobody.
            tokio::select! {
                next = look_up(&name, &**asker, settings, counters) => dns.again(next, &name),
                () = ending.triggered() => {}
            }
        });
    }
}

async fn until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// When to ask again.
async fn look_up(name: &Name, asker: &dyn Ask, settings: &Settings, counters: &Counters) -> Instant {
    let last = name.course().kind();
    let heard = tokio::time::timeout(LIMIT, asker.ask(name.host(), last)).await.unwrap_or(Err(NameError::Timeout));
    counters.count(&heard);
    let now = Instant::now();
    let word = name.course().word(heard.is_err(), now);
    let failed = heard.as_ref().err().cloned();
    let next = name.learn(heard, now, settings);
    let host = &**name.host();
    match (word, failed) {
        (Word::Failing, Some(error)) => {
            let has_old = matches!(name.known(), super::Known::Found(_));
            let error = &error as &dyn std::error::Error;
            tracing::warn!(host, error, has_old, again = ?next - now, "a name does not resolve");
        }
        (Word::Well, _) => tracing::warn!(host, "a name resolves again"),
        _ => {}
    }
    next
}
