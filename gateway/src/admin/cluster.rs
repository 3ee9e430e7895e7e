//! `/cluster`: which nodes there are and what they serve, and waiting until all of them serve a version.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{answer::Answer, call::Call, context::Context, failure::Failure};
use crate::store::{Heard, Result, Version};

/// Pause between two looks at the reports of other nodes; doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// `GET /cluster`
pub(super) async fn list(call: &Call) -> Result<Answer, Failure> {
    let version = call.context.store.version().await?;
    let nodes = call.context.store.nodes().await?;
    let data: Vec<Value> = nodes.iter().map(|heard| node(&call.context, heard)).collect();
    Ok(Answer::ok(json!({ "version": version, "data": data, "next": null })))
}

fn node(context: &Context, heard: &Heard) -> Value {
    let report = &heard.report;
    let here = report.id == context.node.id;
    json!({
        "id": report.id,
        "hostname": report.hostname,
        "sandgate": report.software,
        "this_node": here,
        "live": here || is_live(context, heard),
        "version": if here { *context.served.borrow() } else { report.version },
        "heard": heard.age.max(0.0),
        "quarantined": report.quarantined,
        "modules": report.modules,
    })
}

fn is_live(context: &Context, heard: &Heard) -> bool {
    heard.age < (context.live)().as_secs_f64()
}

/// Waits until every live node serves `version` or a later one. After `patience`, the nodes that do not; none where the
/// database never said.
pub(super) async fn applied(context: &Context, version: Version, patience: Duration) -> Result<(), Vec<Value>> {
    let end = Instant::now() + patience;
    let mut served = context.served.clone();
    let here = matches!(timeout_at(end, served.wait_for(|served| *served >= version)).await, Ok(Ok(_)));
    match behind_until(end, || others_behind(context, version, end)).await {
        Some(others) if others.is_empty() && here => Ok(()),
        others => {
            let own = (!here).then(|| own(context));
            Err(own.into_iter().chain(others.unwrap_or_default()).collect())
        }
    }
}

/// Looks until nobody is behind, or until `end`; then those who were at the last look that had an answer.
async fn behind_until<F: Future<Output = Option<Vec<Value>>>>(
    end: Instant,
    look: impl Fn() -> F,
) -> Option<Vec<Value>> {
    let (mut pause, mut known) = (PAUSE, None);
    loop {
        known = look().await.or(known);
        if known.as_ref().is_some_and(Vec::is_empty) || Instant::now() >= end {
            return known;
        }
        sleep_until(end.min(Instant::now() + pause)).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Live nodes that serve an older version; `None` while the database does not say.
async fn others_behind(context: &Context, version: Version, end: Instant) -> Option<Vec<Value>> {
    // A look that began in time may end a little late.
    let nodes = timeout_at(end + LONGEST_PAUSE, context.store.nodes()).await.ok()?;
    let nodes = nodes.inspect_err(|error| tracing::warn!(%error, "the reports of the nodes cannot be read")).ok()?;
    let behind = nodes.iter().filter(|heard| {
        let report = &heard.report;
        report.id != context.node.id && report.version < version && is_live(context, heard)
    });
    Some(behind.map(|heard| lagging(&heard.report.id, &heard.report.hostname, heard.report.version)).collect())
}

fn own(context: &Context) -> Value {
    lagging(&context.node.id, &context.node.hostname, *context.served.borrow())
}

fn lagging(id: &str, hostname: &str, version: Version) -> Value {
    json!({ "id": id, "hostname": hostname, "version": version })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn whoever_was_behind_is_known_though_the_last_look_has_no_answer() {
        let looks = Cell::new(0);
        let look = || {
            let number = looks.replace(looks.get() + 1);
            async move { (number == 0).then(|| vec![json!("slow")]) }
        };
        let end = Instant::now() + PAUSE * 4;
        assert_eq!(behind_until(end, look).await, Some(vec![json!("slow")]));
        assert!(looks.get() > 1);
    }
}
