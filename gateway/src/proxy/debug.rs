//! What clients that look into a request are told beside its answer: the route and the service (`Kong-Debug`), and what took
//! how long (`X-Kong-Request-Debug`).

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value, json};

use super::words;
use crate::{
    config::Debugging,
    plugin::{Asked, Exchange, Phases, Trace},
};

const KONG_DEBUG: HeaderName = HeaderName::from_static("kong-debug");
const ROUTE_ID: HeaderName = HeaderName::from_static("kong-route-id");
const ROUTE_NAME: HeaderName = HeaderName::from_static("kong-route-name");
const SERVICE_ID: HeaderName = HeaderName::from_static("kong-service-id");
const SERVICE_NAME: HeaderName = HeaderName::from_static("kong-service-name");
const REQUEST_DEBUG: HeaderName = HeaderName::from_static("x-kong-request-debug");
const TOKEN: HeaderName = HeaderName::from_static("x-kong-request-debug-token");
const LOG: HeaderName = HeaderName::from_static("x-kong-request-debug-log");
const OUTPUT: HeaderName = HeaderName::from_static("x-kong-request-debug-output");

/// Bytes that other machines get at most, as at Kong: servers between may take no longer header.
const LONGEST: usize = 2 << 10;

/// Whether a header of this name, in lower case, is one that asks for a trace or opens it.
pub(super) fn is_question(name: &str) -> bool {
    name == REQUEST_DEBUG.as_str() || name == TOKEN.as_str() || name == LOG.as_str()
}

/// Forgets what asks for a trace: the token is nobody else's business.
pub(super) fn forget_question(headers: &mut HeaderMap) {
    for name in [REQUEST_DEBUG, TOKEN, LOG] {
        headers.remove(name);
    }
}

/// What the client asks for and may hear. Looks at the headers only of clients that could.
pub(super) fn asked(headers: &mut HeaderMap, client: IpAddr, debugging: &Debugging) -> Option<Box<Asked>> {
    let names = debugging.names && headers.get(KONG_DEBUG).is_some_and(|asked| asked == "1");
    let trace = trace(headers, client, debugging);
    (names || trace.is_some()).then(|| Box::new(Asked { names, trace }))
}

fn trace(headers: &mut HeaderMap, client: IpAddr, debugging: &Debugging) -> Option<Trace> {
    let is_local = client.is_loopback();
    let could = debugging.times && (is_local || debugging.token.is_some());
    // A walk over the few names costs less than asking the map.
    if !could || !headers.keys().any(|name| is_question(name.as_str())) {
        return None;
    }
    let asks = headers.get(REQUEST_DEBUG).is_some_and(|asked| asked == "*");
    let shows =
        |token: &[u8]| headers.get(TOKEN).is_some_and(|shown| verify_slices_are_equal(shown.as_bytes(), token).is_ok());
    let may = is_local || debugging.token.as_ref().is_some_and(|token| shows(token.as_bytes()));
    let is_logged = headers.get(LOG).is_some_and(|logged| logged == "true");
    forget_question(headers);
    (asks && may).then(|| Trace { is_logged, is_local, ..Trace::default() })
}

/// Adds what was asked for to the headers of the answer.
pub(super) fn answer(exchange: &mut Exchange) {
    let Some(asked) = exchange.asked.take() else { return };
    if asked.names {
        tell_route(exchange);
    }
    if let Some(trace) = asked.trace {
        tell_times(exchange, &trace);
    }
}

fn tell_route(exchange: &mut Exchange) {
    let Some(head) = &mut exchange.response else { return };
    let route = &exchange.route;
    for (name, value) in [
        (ROUTE_ID, &route.route_id),
        (ROUTE_NAME, &route.route_name),
        (SERVICE_ID, &route.service_id),
        (SERVICE_NAME, &route.service_name),
    ] {
        if let Some(value) = value {
            head.headers.insert(name, words::text(value));
        }
    }
}

fn tell_times(exchange: &mut Exchange, trace: &Trace) {
    let id = exchange.id.as_str();
    let output = tree(exchange, trace).to_string();
    let too_long = if trace.is_local { None } else { in_place_of(&output, id) };
    if trace.is_logged || too_long.is_some() {
        tracing::info!(request_id = id, output, "[request-debug]");
    }
    if let Some(head) = &mut exchange.response {
        head.headers.insert(OUTPUT, words::text(&too_long.unwrap_or(output)));
    }
}

/// What is said in place of an output that is too long for a header.
fn in_place_of(output: &str, id: &str) -> Option<String> {
    let message = "Output is truncated, please check the error_log for full output by filtering with the request_id.";
    let said = || json!({ "truncated": true, "request_id": id, "message": message }).to_string();
    (output.len() >= LONGEST).then(said)
}

/// The times as a tree in Kong's shape, in milliseconds.
fn tree(exchange: &Exchange, trace: &Trace) -> Value {
    let (timing, now) = (&exchange.timing, Instant::now());
    let answered = trace.answered.unwrap_or(now);
    let mut phases = Map::new();
    let access = timing.upstream_started.unwrap_or(answered) - timing.started;
    let router = trace.router.map(|took| ("router", span(took, Map::new())));
    phases.insert("access".into(), span(access, children(router, trace, Phases::REQUEST_HEADERS)));
    if let Some(started) = timing.upstream_started {
        phases.insert("balancer".into(), span(trace.balancer, Map::new()));
        if !exchange.tries.is_empty() {
            let waited = timing.upstream_answered.unwrap_or(answered) - started;
            let waited = waited.saturating_sub(trace.balancer);
            let first = ("time_to_first_byte", span(waited, Map::new()));
            phases.insert("upstream".into(), span(waited, children(Some(first), trace, Phases::REQUEST_BODY)));
        }
    }
    phases.insert("header_filter".into(), span(now - answered, children(None, trace, Phases::RESPONSE_HEADERS)));
    let mut whole = span(now - timing.started, phases);
    whole["request_id"] = exchange.id.as_str().into();
    whole
}

/// The plugins that ran in a phase, below their names, behind another child.
fn children(first: Option<(&str, Value)>, trace: &Trace, phase: Phases) -> Map<String, Value> {
    let mut children: Map<_, _> = first.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let (mut plugins, mut total) = (Map::new(), Duration::ZERO);
    for call in trace.calls.iter().filter(|call| call.phase == phase) {
        total += call.took;
        let entity = Map::from_iter([(call.id.to_string(), span(call.took, Map::new()))]);
        plugins.insert(call.name.to_string(), span(call.took, entity));
    }
    if !plugins.is_empty() {
        children.insert("plugins".into(), span(total, plugins));
    }
    children
}

fn span(took: Duration, children: Map<String, Value>) -> Value {
    // Microseconds are all that a client can make use of.
    let took = (took.as_secs_f64() * 1e6).round() / 1e3;
    if children.is_empty() { json!({ "total_time": took }) } else { json!({ "total_time": took, "child": children }) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::DebugToken;

    #[test]
    fn only_those_who_may_hear_the_times() {
        let token = || DebugToken::new("0123456789abcdef");
        let debugging = |times, token| Debugging { times, token, ..Debugging::default() };
        let cases = [
            ("127.0.0.1", debugging(true, None), "*", "", true),
            ("::1", debugging(true, token()), "*", "", true),
            ("127.0.0.1", debugging(true, None), "plugins", "", false),
            ("127.0.0.1", debugging(false, token()), "*", "0123456789abcdef", false),
            ("192.0.2.1", debugging(true, None), "*", "", false),
            ("192.0.2.1", debugging(true, token()), "*", "", false),
            ("192.0.2.1", debugging(true, token()), "*", "0123456789abcdeF", false),
            ("192.0.2.1", debugging(true, token()), "*", "0123456789abcdef0", false),
            ("192.0.2.1", debugging(true, token()), "*", "0123456789abcdef", true),
        ];
        for (client, debugging, question, shown, heard) in cases {
            let client: IpAddr = client.parse().unwrap();
            let lines = [(REQUEST_DEBUG, question), (TOKEN, shown), (LOG, "true")];
            let lines = lines.map(|(name, value)| (name, HeaderValue::from_static(value)));
            let mut headers = HeaderMap::from_iter(lines);
            let asked = asked(&mut headers, client, &debugging);
            assert_eq!(asked.is_some(), heard, "{client} {debugging:?} {question} {shown}");
            let is_looked_at = debugging.times && (client.is_loopback() || debugging.token.is_some());
            assert_eq!(headers.is_empty(), is_looked_at, "{client} {debugging:?} {question} {shown}");
        }
    }

    #[test]
    fn what_is_too_long_for_a_header_goes_to_the_log() {
        assert_eq!(in_place_of(&"a".repeat(LONGEST - 1), "id"), None);
        let said: Value = serde_json::from_str(&in_place_of(&"a".repeat(LONGEST), "id").unwrap()).unwrap();
        assert_eq!((&said["truncated"], &said["request_id"]), (&json!(true), &json!("id")));
    }
}
