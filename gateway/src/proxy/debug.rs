//! What a client may ask a request to say about itself: `Kong-Debug` and `X-Kong-Request-Debug`.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value, json};

use super::words;
use crate::{
    config::Debugging,
    plugin::{Asked, Exchange, Phase},
};

const KONG_DEBUG: HeaderName = HeaderName::from_static("kong-debug");
const REQUEST_DEBUG: HeaderName = HeaderName::from_static("x-kong-request-debug");
const TOKEN: HeaderName = HeaderName::from_static("x-kong-request-debug-token");
const OUTPUT: HeaderName = HeaderName::from_static("x-kong-request-debug-output");

/// What the client asks for and may hear. The token goes no further.
pub(super) fn asked(headers: &mut HeaderMap, client: IpAddr, debugging: &Debugging) -> Option<Box<Asked>> {
    let names = debugging.names && headers.get(KONG_DEBUG).is_some_and(|value| value == "1");
    let times = debugging.times && wants_times(headers, client, debugging.token.as_deref());
    (names || times).then(|| Box::new(Asked { names, calls: times.then(Vec::new) }))
}

fn wants_times(headers: &mut HeaderMap, client: IpAddr, token: Option<&str>) -> bool {
    // Nearly nobody asks, and a look at the lengths of names costs less than asking the map.
    let length = REQUEST_DEBUG.as_str().len();
    if !headers.keys().any(|name| name.as_str().len() == length && *name == REQUEST_DEBUG) {
        return false;
    }
    let shown = headers.remove(TOKEN);
    let is_known = shown.zip(token).is_some_and(|(shown, token)| is_same(shown.as_bytes(), token.as_bytes()));
    headers.get(REQUEST_DEBUG).is_some_and(|value| value == "*") && (client.is_loopback() || is_known)
}

/// In a time that says nothing of where they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |differing, (one, other)| differing | (one ^ other));
    one.len() == other.len() && differing == 0
}

/// Adds what was asked for to the headers of the answer.
pub(super) fn answer(exchange: &mut Exchange) {
    let Some(asked) = exchange.asked.take() else { return };
    let times = asked.calls.is_some().then(|| times(exchange, &asked));
    let Some(head) = &mut exchange.response else { return };
    if asked.names {
        let route = &exchange.route;
        let named = [
            (HeaderName::from_static("kong-route-id"), &route.route_id),
            (HeaderName::from_static("kong-route-name"), &route.route_name),
            (HeaderName::from_static("kong-service-id"), &route.service_id),
            (HeaderName::from_static("kong-service-name"), &route.service_name),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                head.headers.insert(name, words::text(value));
            }
        }
    }
    if let Some(times) = times {
        head.headers.insert(OUTPUT, words::text(&times.to_string()));
    }
    exchange.asked = Some(asked);
}

/// Where the time went until the head of the answer, as Kong's tree; in milliseconds.
fn times(exchange: &Exchange, asked: &Asked) -> Value {
    let (timing, now) = (&exchange.timing, Instant::now());
    let until_upstream = timing.upstream_started.unwrap_or(now);
    let mut child = Map::new();
    child.insert("access".into(), part(until_upstream - timing.started, plugins(asked, Phase::Access)));
    if let Some(began) = timing.upstream_started {
        let answered = timing.upstream_answered.unwrap_or(now);
        let first_byte = json!({ "time_to_first_byte": part(answered - began, Map::new()) });
        child.insert("upstream".into(), part(answered - began, object(first_byte)));
        let rest = part(now - answered, plugins(asked, Phase::HeaderFilter));
        child.insert("header_filter".into(), rest);
    }
    let mut whole = object(part(now - timing.started, child));
    whole.insert("request_id".into(), exchange.id.as_str().into());
    Value::Object(whole)
}

fn plugins(asked: &Asked, phase: Phase) -> Map<String, Value> {
    let calls = || asked.calls.iter().flatten().filter(|call| call.phase == phase);
    if calls().next().is_none() {
        return Map::new();
    }
    let each = calls().map(|call| (call.plugin.to_string(), part(call.took, Map::new()))).collect();
    let mut plugins = Map::new();
    plugins.insert("plugins".into(), part(calls().map(|call| call.took).sum(), each));
    plugins
}

fn part(took: Duration, child: Map<String, Value>) -> Value {
    let mut part = Map::new();
    let milliseconds = (took.as_secs_f64() * 1e6).round() / 1e3;
    part.insert("total_time".into(), milliseconds.into());
    if !child.is_empty() {
        part.insert("child".into(), child.into());
    }
    part.into()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_those_who_may_hear_the_times() {
        let (near, far) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let token = "0123456789abcdef";
        let debugging = Debugging { token: Some(token.into()), ..Debugging::default() };
        let cases = [
            (near, "*", None, true),
            (near, "1", None, false),
            (far, "*", None, false),
            (far, "*", Some(token), true),
            (far, "*", Some("0123456789abcdeF"), false),
            (far, "*", Some("0123456789abcdef0"), false),
        ];
        for (client, value, shown, heard) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_DEBUG, HeaderValue::from_static(value));
            shown.map(|token| headers.insert(TOKEN, HeaderValue::from_static(token)));
            assert_eq!(asked(&mut headers, client, &debugging).is_some(), heard, "{client} {value} {shown:?}");
            assert!(!headers.contains_key(TOKEN));
        }
        let mut headers = HeaderMap::from_iter([(REQUEST_DEBUG, HeaderValue::from_static("*"))]);
        let off = Debugging { times: false, ..debugging.clone() };
        assert!(asked(&mut headers, near, &off).is_none());
        let without = Debugging { token: None, ..debugging };
        assert!(asked(&mut headers, far, &without).is_none());
    }
}
