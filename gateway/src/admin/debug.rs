//! What operators look at and turn on a running node: the log level, its background tasks, its caches.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    answer::Answer,
    call::Call,
    failure::{Failure, message},
};
use crate::{model::Object, telemetry::LogLevel};

/// How long a changed log level lasts when nobody says.
const LOG_LEVEL_LASTS: f64 = 60.0;
/// The longest that one may ask for: about a year.
const LONGEST: f64 = 31_536_000.0;

/// `GET /debug/node/log-level`
pub(super) fn log_level(call: &Call) -> Answer {
    let level = call.context.controls.log_level();
    message(StatusCode::OK, &format!("log level: {}", level.as_str()))
}

/// `PUT /debug/node/log-level/{level}`
pub(super) async fn set_log_level(call: &mut Call, name: &str) -> Result<Answer, Failure> {
    let input = call.input().await?.object;
    if !call.context.node.has_database() {
        let text = "cannot change log level when not using a database";
        return Ok(message(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    let level: LogLevel = name.parse().map_err(|_| Failure::Bad(format!("unknown log level: {name}")))?;
    let lasts = lasts(call, &input)?;
    if call.context.controls.log_level() == level {
        return Ok(message(StatusCode::OK, &format!("log level is already {name}")));
    }
    call.context.controls.set_log_level(level, lasts);
    Ok(message(StatusCode::OK, "log level changed"))
}

/// The argument `timeout` in seconds, of the query or the body. Zero: as long as the node runs.
fn lasts(call: &Call, input: &Object) -> Result<Option<Duration>, Failure> {
    let given = call.argument("timeout").map(Value::from).or_else(|| input.get("timeout").cloned());
    let seconds = match &given {
        None | Some(Value::Null) => LOG_LEVEL_LASTS,
        Some(Value::String(text)) => text.parse().unwrap_or(LOG_LEVEL_LASTS),
        Some(other) => other.as_f64().unwrap_or(LOG_LEVEL_LASTS),
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(Failure::Bad("timeout must be greater than or equal to 0".to_owned()));
    }
    Ok((seconds > 0.0).then(|| Duration::from_secs_f64(seconds.ceil().min(LONGEST))))
}

/// `GET /timers`: the background tasks of this node. Kong's shape; what it says about the insides of its timers has no
/// counterpart here.
pub(super) fn timers(call: &Call) -> Answer {
    let names = call.context.controls.tasks();
    let mut timers = Object::new();
    for name in &names {
        timers.insert(name.to_string(), json!({ "name": name, "is_running": true }));
    }
    let sys = json!({ "total": names.len(), "running": names.len(), "pending": 0, "waiting": 0, "runs": names.len() });
    Answer::ok(json!({
        "worker": { "id": 0, "count": 1 },
        "stats": { "flamegraph": { "running": "", "elapsed_time": "", "pending": "" }, "sys": sys, "timers": timers },
    }))
}

/// `/cache` and `/cache/{key}`: Kong keeps entities by key. Here requests read a snapshot of the whole configuration, so
/// no key is ever found and there is nothing to drop.
pub(super) fn cache(call: &Call) -> Result<Answer, Failure> {
    if call.method == Method::DELETE { Ok(Answer::empty(StatusCode::NO_CONTENT)) } else { Err(Failure::NotFound) }
}

/// `GET /status/dns`
pub(super) fn dns() -> Answer {
    message(StatusCode::NOT_IMPLEMENTED, "not implemented with the legacy DNS client")
}
