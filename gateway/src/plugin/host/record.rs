//! The access record of a request: one JSON object with the members that Kong's loggers write.

use std::{
    borrow::Cow,
    fmt::Write,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use crate::plugin::exchange::{Exchange, Origin, Try};

/// The only workspace there is.
pub const WORKSPACE: &str = "00000000-0000-4000-8000-000000000001";

/// Builds the record. `now` stands for the end of an answer that has not ended.
pub(super) fn build(exchange: &Exchange, now: Instant) -> String {
    let mut record = Record(String::with_capacity(3_072));
    record.0.push('{');
    record.object("request", |part| request(part, exchange));
    record.string("upstream_uri", &upstream_uri(exchange));
    record.string("upstream_status", &upstream_status(exchange));
    record.object("response", |part| response(part, exchange));
    record.object("latencies", |part| latencies(part, exchange, now));
    record.raw("tries", &tries(exchange));
    if let Some(credential) = &exchange.credential {
        record.object("authenticated_entity", |part| part.string("id", &credential.id));
    }
    if let Some(entry) = &exchange.consumer {
        record.raw("consumer", &entry.json);
    }
    if let Some(json) = &exchange.route.service_json {
        record.raw("service", json);
    }
    if let Some(json) = &exchange.route.route_json {
        record.raw("route", json);
    }
    record.string("client_ip", &exchange.client.to_string());
    record.number("started_at", epoch(exchange.timing.started_at).as_millis());
    let origin = exchange.response.as_ref().map(|head| head.origin);
    record.string("source", if origin == Some(Origin::Upstream) { "upstream" } else { "kong" });
    record.string("workspace", WORKSPACE);
    record.string("workspace_name", "default");
    for (name, json) in &exchange.log_fields {
        record.raw(name, json);
    }
    record.0.push('}');
    record.0
}

/// A JSON object being written.
struct Record(String);

impl Record {
    fn name(&mut self, name: &str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        quote(&mut self.0, name);
        self.0.push(':');
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.push_str(json);
    }

    fn string(&mut self, name: &str, value: &str) {
        self.name(name);
        quote(&mut self.0, value);
    }

    fn number(&mut self, name: &str, value: u128) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    fn object(&mut self, name: &str, members: impl FnOnce(&mut Self)) {
        self.name(name);
        self.0.push('{');
        members(self);
        self.0.push('}');
    }
}

/// Adds `text` as a JSON string.
fn quote(json: &mut String, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&Value::from(text).to_string());
    }
}

fn request(part: &mut Record, exchange: &Exchange) {
    let scheme = if exchange.connection.tls.is_some() { "https" } else { "http" };
    let uri = exchange.request.target.path_and_query().map_or("/", |target| target.as_str());
    let host = exchange.host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let host = host.map_or(&*exchange.host, |(host, _)| host);
    part.string("id", exchange.id.as_str());
    part.string("uri", uri);
    part.string("url", &format!("{scheme}://{host}:{}{uri}", exchange.connection.local.port()));
    part.raw("querystring", &querystring(exchange));
    part.string("method", exchange.client_method.as_str());
    part.object("headers", |part| headers(part, &exchange.request.headers, true));
    part.number("size", exchange.bytes_in.into());
    if let Some(tls) = &exchange.connection.tls {
        part.object("tls", |part| {
            part.string("version", tls.version);
            part.string("cipher", &tls.cipher);
            part.string("client_verify", "NONE");
        });
    }
}

fn response(part: &mut Record, exchange: &Exchange) {
    let Some(head) = &exchange.response else { return };
    part.raw("status", head.status.as_str());
    part.object("headers", |part| headers(part, &head.headers, false));
    part.number("size", exchange.bytes_out.into());
}

/// Names to values; a repeated name to an array. Secrets of the client are not written.
fn headers(part: &mut Record, headers: &HeaderMap, hide: bool) {
    for name in headers.keys() {
        let secret = hide && (name == http::header::AUTHORIZATION || name == http::header::PROXY_AUTHORIZATION);
        let mut values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let first = values.next().unwrap_or_default();
        if secret {
            part.string(name.as_str(), "REDACTED");
        } else if let Some(second) = values.next() {
            let all: Vec<_> = [first, second].into_iter().chain(values).collect();
            part.raw(name.as_str(), &json(&all));
        } else {
            part.string(name.as_str(), &first);
        }
    }
}

fn querystring(exchange: &Exchange) -> Cow<'static, str> {
    let Some(query) = exchange.request.target.query().filter(|query| !query.is_empty()) else { return "{}".into() };
    let mut arguments = serde_json::Map::new();
    for piece in query.split('&').filter(|piece| !piece.is_empty()) {
        let (name, value) = form_urlencoded::parse(piece.as_bytes()).next().unwrap_or_default();
        // An argument without `=` counts as set.
        let value = if piece.contains('=') { Value::from(value.into_owned()) } else { Value::Bool(true) };
        match arguments.get_mut(&*name) {
            None => drop(arguments.insert(name.into_owned(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(arguments).to_string().into()
}

fn upstream_uri(exchange: &Exchange) -> String {
    match &exchange.upstream.query {
        Some(query) => format!("{}?{query}", exchange.upstream.path),
        None => exchange.upstream.path.clone(),
    }
}

fn upstream_status(exchange: &Exchange) -> String {
    let mut text = String::new();
    for status in exchange.tries.iter().filter_map(|attempt| attempt.status) {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{}", status.as_u16());
    }
    text
}

fn latencies(part: &mut Record, exchange: &Exchange, now: Instant) {
    let timing = &exchange.timing;
    let end = timing.finished.unwrap_or(now);
    let request = end.duration_since(timing.started);
    let proxy = timing.upstream_started.map(|from| timing.upstream_answered.unwrap_or(end).duration_since(from));
    let receive = timing.upstream_answered.map_or(Duration::ZERO, |from| end.duration_since(from));
    let kong = request.saturating_sub(proxy.unwrap_or_default()).saturating_sub(receive);
    part.number("request", request.as_millis());
    part.number("kong", kong.as_millis());
    match proxy {
        Some(proxy) => part.number("proxy", proxy.as_millis()),
        None => part.raw("proxy", "-1"),
    }
    part.number("receive", receive.as_millis());
}

fn tries(exchange: &Exchange) -> String {
    let all: Vec<ShownTry> = exchange.tries.iter().map(ShownTry::of).collect();
    json(&all)
}

#[derive(Serialize)]
struct ShownTry {
    ip: String,
    port: u16,
    balancer_latency: u128,
    balancer_latency_ns: u128,
    balancer_start: u128,
    balancer_start_ns: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

impl ShownTry {
    fn of(attempt: &Try) -> Self {
        let start = epoch(attempt.started_at);
        Self {
            ip: attempt.address.ip().to_string(),
            port: attempt.address.port(),
            balancer_latency: attempt.balancer.as_millis(),
            balancer_latency_ns: attempt.balancer.as_nanos(),
            balancer_start: start.as_millis(),
            balancer_start_ns: start.as_nanos(),
            state: attempt.failed.then_some("failed"),
            code: attempt.status.filter(|_| attempt.failed).map(|status| status.as_u16()),
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers are JSON")
}

fn epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
