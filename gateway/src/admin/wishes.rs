//! What a client may wish of any write: not to be committed (`dry_run`), or to be answered when it is served (`wait`).

use std::time::Duration;

use http::{HeaderName, StatusCode};
use serde_json::json;

use super::{answer::Answer, call::Call, cluster, failure::Failure, resource::Resource, shown};
use crate::store::{Changes, Version};

/// The version that a write made. Kong's clients get it only when they ask for something of ours.
pub(super) const VERSION: HeaderName = HeaderName::from_static("x-sandgate-config-version");

/// How long `wait=applied` waits when the client does not say.
const WAIT: Duration = Duration::from_secs(10);
/// How long it waits at most.
const LONGEST_WAIT: f64 = 120.0;

/// The arguments by which clients wish.
pub(super) const NAMES: [&str; 3] = ["dry_run", "wait", "wait_timeout"];

/// Wishes of one request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wishes {
    /// Check and compare, but commit nothing.
    pub(super) dry_run: bool,
    /// Answer when every live node serves the version, or after this time.
    pub(super) wait: Option<Duration>,
}

impl Wishes {
    /// Reads `dry_run`, `wait` and `wait_timeout`.
    pub(super) fn read(call: &Call, resource: &Resource) -> Result<Self, Failure> {
        let dry_run = match call.argument("dry_run").filter(|_| call.is_write()) {
            None | Some("0" | "false") => false,
            Some("1" | "true") if resource.makes_versions() => true,
            Some("1" | "true") => return Err(Failure::Bad("dry_run is not possible here".to_owned())),
            Some(_) => return Err(Failure::Bad("dry_run must be 1 or 0".to_owned())),
        };
        let waits = matches!(resource, Resource::Version(_)) || (call.is_write() && resource.makes_versions());
        let wait = match call.argument("wait").filter(|_| waits) {
            None => None,
            Some("applied") => Some(patience(call)?),
            Some(_) => return Err(Failure::Bad("wait must be 'applied'".to_owned())),
        };
        Ok(Self { dry_run, wait })
    }
}

fn patience(call: &Call) -> Result<Duration, Failure> {
    let Some(text) = call.argument("wait_timeout") else { return Ok(WAIT) };
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0 && *seconds <= LONGEST_WAIT);
    let bad = || Failure::Bad(format!("wait_timeout must be a number of seconds from 0 to {LONGEST_WAIT}"));
    seconds.map(Duration::from_secs_f64).ok_or_else(bad)
}

/// The answer to a write that was only tried and would change nothing.
pub(super) async fn nothing_to_do(call: &Call) -> Result<Answer, Failure> {
    Ok(dry_run(call, call.context.store.version().await?, &Changes::default()))
}

/// The answer to a write that was only tried.
pub(super) fn dry_run(call: &Call, version: Version, changes: &Changes) -> Answer {
    let entities: Vec<_> = changes.entities.iter().map(|change| shown::change(call, change)).collect();
    let body = json!({
        "dry_run": true,
        "version": version,
        "changes": shown::counts(&changes.counts),
        "data": entities,
    });
    Answer::ok(body).at(version)
}

/// Fulfils the wish that a write be served before it is answered.
pub(super) async fn fulfil(call: &Call, answer: Answer) -> Answer {
    let Some(patience) = call.wishes.wait.filter(|_| answer.status.is_success() && !call.wishes.dry_run) else {
        return answer;
    };
    let version = match answer.version {
        Some(version) => version,
        // Nothing had to be written; what the client sees is served when the newest version is.
        None => match call.context.store.version().await {
            Ok(version) => version,
            Err(error) => return Failure::Store(error).into_answer(),
        },
    };
    match cluster::applied(&call.context, version, patience).await {
        Ok(()) => answer.at(version),
        Err(lagging) => {
            let message = format!("version {version} is committed, but not every node serves it");
            let body = json!({
                "message": message, "version": version, "lagging": lagging, "answer": answer.shown(),
            });
            Answer::json(StatusCode::GATEWAY_TIMEOUT, body).at(version)
        }
    }
}

/// Whether the client may be told what Kong's answers do not have.
pub(super) fn may_hear(call: &Call) -> bool {
    let ours = ["/modules", "/transactions", "/config/versions", "/audit", "/cluster"];
    let path =
        |prefix: &str| call.path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let wished = ["wait", "dry_run"].iter().any(|name| call.argument(name).is_some());
    wished || ours.iter().any(|prefix| path(prefix)) || call.headers().keys().any(is_ours)
}

fn is_ours(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-sandgate-")
}
