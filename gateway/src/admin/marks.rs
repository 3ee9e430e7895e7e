//! Targets that an operator says are healthy, or not.

use std::{collections::VecDeque, fmt, net::IpAddr, sync::Arc, time::Duration};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{
    answer::Answer,
    call::Call,
    failure::Failure,
    read::{Reader, id_of},
    resource::{Mark, Nested},
    targets::has_checks,
};
use crate::{
    model::{Object, normal_target, schema::Host},
    store::{Store, StoreError, TargetMark},
};

/// Marks that wait for the database at most, and how long each is worth telling.
const MOST_WAITING: usize = 1_000;
const WORTH_TELLING: Duration = Duration::from_secs(3600);

/// Tells the nodes that share the database which targets were turned here. What cannot be told waits until it can.
pub struct Announcer {
    /// `None` where no other node would read it.
    store: Option<Arc<dyn Store>>,
    /// Names this process, which turned its own targets already.
    process: Arc<str>,
    /// In the order in which they are to be told: held for as long as that takes.
    waiting: Mutex<VecDeque<(Instant, TargetMark)>>,
}

impl fmt::Debug for Announcer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Announcer").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Announcer {
    /// Of this process; with the store, if other nodes read it, too.
    pub fn new(process: Arc<str>, store: Option<Arc<dyn Store>>) -> Self {
        Self { store, process, waiting: Mutex::default() }
    }

    /// Tells of a mark, after those that wait.
    ///
    /// # Errors
    /// When the database cannot be told now. The mark waits for [`Announcer::catch_up`].
    ///
    /// # Cancel safety
    /// Safe: what was not told waits.
    pub async fn tell(&self, mark: TargetMark) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        let mut waiting = self.waiting.lock().await;
        waiting.retain(|(_, old)| !replaces(&mark, old));
        if waiting.len() == MOST_WAITING {
            waiting.pop_front();
        }
        waiting.push_back((Instant::now(), mark));
        tell_all(&**store, &mut waiting).await
    }

    /// Tells what waits, if the database is there.
    ///
    /// # Cancel safety
    /// Safe: what was not told waits.
    pub async fn catch_up(&self) {
        let Some(store) = &self.store else { return };
        let mut waiting = self.waiting.lock().await;
        if waiting.is_empty() {
            return;
        }
        match tell_all(&**store, &mut waiting).await {
            Ok(()) => tracing::info!("other nodes were told of the targets that were turned by hand meanwhile"),
            Err(error) => tracing::debug!(%error, "marks of targets still wait for the database"),
        }
    }
}

async fn tell_all(store: &dyn Store, waiting: &mut VecDeque<(Instant, TargetMark)>) -> Result<(), StoreError> {
    waiting.retain(|(since, _)| since.elapsed() < WORTH_TELLING);
    while let Some((_, mark)) = waiting.front() {
        store.mark(mark).await?;
        waiting.pop_front();
    }
    Ok(())
}

/// Whether nothing is left of a mark after a later one.
fn replaces(new: &TargetMark, old: &TargetMark) -> bool {
    let is_same = new.upstream == old.upstream && new.target == old.target;
    is_same && (new.address.is_none() || new.address == old.address)
}

/// How long a target that was only just written is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// `PUT /upstreams/{upstream}/targets/{target}/healthy`, and with an address between. Holds on this node at once, and on
/// others that share the database as soon as they hear of it, until the checks say otherwise.
pub(super) async fn set(call: &Call, mark: &Mark) -> Result<Answer, Failure> {
    let upstreams = super::write::core_collection(&call.registry, "upstreams")?;
    let targets = super::write::core_collection(&call.registry, "targets")?;
    let reference = targets.references.first().cloned().ok_or(Failure::NotFound)?;
    let nested = Nested { parent: upstreams, key: mark.upstream.clone(), child: targets, reference };
    let mut reader = Reader::Store(&*call.context.store);
    let upstream = reader.parent(&nested).await?;
    let name = text(&upstream, "name");
    if !has_checks(&upstream) {
        return Err(Failure::Bad(format!("no healthchecker found for {name}")));
    }
    let target = reader.find_child(&nested, id_of(&upstream), &mark.target).await?.ok_or(Failure::NotFound)?;
    let target = text(&target, "target");
    let meant = match mark.address.as_deref() {
        Some(address) if !is_of(address, target) => return Err(Failure::NotFound),
        address => address.and_then(only),
    };
    let mut served = call.context.served.clone();
    let marked = async {
        loop {
            served.borrow_and_update();
            if call.context.fitness.mark(name, target, meant, mark.healthy) {
                return true;
            }
            if served.changed().await.is_err() {
                return false;
            }
        }
    };
    match timeout(PATIENCE, marked).await {
        Ok(true) => {
            let (upstream, target) = (name.to_owned(), target.to_owned());
            let (process, address, healthy) = (call.context.marks.process.clone(), mark.address.clone(), mark.healthy);
            Ok(tell(call, TargetMark { process, upstream, target, address, healthy }).await)
        }
        Ok(false) | Err(_) => Err(Failure::NotFound),
    }
}

/// Tells other nodes. While the database is away there is no way to them, and this node's targets are turned nonetheless.
async fn tell(call: &Call, mark: TargetMark) -> Answer {
    let (upstream, target) = (mark.upstream.clone(), mark.target.clone());
    let Err(error) = call.context.marks.tell(mark).await else { return Answer::empty(StatusCode::NO_CONTENT) };
    tracing::warn!(upstream, target, %error, "other nodes cannot be told yet that a target was turned by hand");
    let message = format!("this node has turned the target, other nodes hear of it later: {error}");
    Answer::json(StatusCode::ACCEPTED, json!({ "message": message }))
}

/// The address that a mark names, if it is one, and its port.
pub fn only(address: &str) -> Option<(IpAddr, Option<u16>)> {
    let host = Host::parse(address)?;
    Some((host.address?, host.port))
}

fn text<'o>(object: &'o Object, field: &str) -> &'o str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an address, with or without its port, may be one of a target. What a name means, only this node's names know.
fn is_of(address: &str, target: &str) -> bool {
    let (Some(wanted), Some(own)) = (Host::parse(address), Host::parse(target)) else { return false };
    let is_same = own.address == wanted.address && (wanted.port.is_none() || wanted.port == own.port);
    wanted.address.is_some() && (own.address.is_none() || is_same) || normal_target(address).as_deref() == Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_mark_takes_the_place_of_what_it_covers() {
        let mark = |target: &str, address: Option<&str>| TargetMark {
            process: "this".into(),
            upstream: "u".into(),
            target: target.into(),
            address: address.map(str::to_owned),
            healthy: true,
        };
        let (whole, one) = (mark("a.test:80", None), mark("a.test:80", Some("10.0.0.1:80")));
        assert!(replaces(&whole, &one) && replaces(&whole, &whole) && replaces(&one, &one));
        assert!(!replaces(&one, &whole) && !replaces(&whole, &mark("b.test:80", None)));
    }

    #[test]
    fn an_address_belongs_to_its_target() {
        let cases = [
            ("10.0.0.1", "10.0.0.1:80", true),
            ("10.0.0.1:80", "10.0.0.1:80", true),
            ("10.0.0.1:81", "10.0.0.1:80", false),
            ("10.0.0.2", "10.0.0.1:80", false),
            ("10.0.0.2:80", "a.test:80", true),
            ("a.test", "10.0.0.1:80", false),
        ];
        for (address, target, expected) in cases {
            assert_eq!(is_of(address, target), expected, "{address} of {target}");
        }
    }
}
