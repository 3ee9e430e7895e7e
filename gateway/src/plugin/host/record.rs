//! The access record of a request: one JSON object with the members that Kong's loggers write.

use std::{
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
    let mut record = Record(String::with_capacity(2_048));
    record.0.push('{');
    record.raw("request", &request(exchange));
    record.string("upstream_uri", &upstream_uri(exchange));
    record.string("upstream_status", &upstream_status(exchange));
    record.raw("response", &response(exchange));
    record.raw("latencies", &latencies(exchange, now));
    record.raw("tries", &tries(exchange));
    if let Some(credential) = &exchange.credential {
        record.raw("authenticated_entity", &serde_json::json!({ "id": credential.id }).to_string());
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
    record.raw("started_at", &epoch(exchange.timing.started_at).as_millis().to_string());
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
        if self.0.len() > 1 {
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

fn request(exchange: &Exchange) -> String {
    let mut part = Record(String::with_capacity(512));
    part.0.push('{');
    let scheme = if exchange.connection.tls.is_some() { "https" } else { "http" };
    let uri = exchange.request.target.path_and_query().map_or("/", |target| target.as_str());
    let host = exchange.host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let host = host.map_or(&*exchange.host, |(host, _)| host);
    part.string("id", exchange.id.as_str());
    part.string("uri", uri);
    part.string("url", &format!("{scheme}://{host}:{}{uri}", exchange.connection.local.port()));
    part.raw("querystring", &querystring(exchange));
    part.string("method", exchange.client_method.as_str());
    part.raw("headers", &headers(&exchange.request.headers, true));
    part.raw("size", &exchange.bytes_in.to_string());
    if let Some(tls) = &exchange.connection.tls {
        part.raw("tls", &serde_json::json!({ "version": tls.version, "cipher": tls.cipher, "client_verify": "NONE" }).to_string());
    }
    part.0.push('}');
    part.0
}

fn response(exchange: &Exchange) -> String {
    let Some(head) = &exchange.response else { return "{}".into() };
    let mut part = Record(String::with_capacity(512));
    part.0.push('{');
    part.raw("status", head.status.as_str());
    part.raw("headers", &headers(&head.headers, false));
    part.raw("size", &exchange.bytes_out.to_string());
    part.0.push('}');
    part.0
}

/// Names to values; a repeated name to an array. Secrets of the client are not written.
fn headers(headers: &HeaderMap, hide: bool) -> String {
    let mut part = Record(String::with_capacity(256));
    part.0.push('{');
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
    part.0.push('}');
    part.0
}

fn querystring(exchange: &Exchange) -> String {
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
    Value::Object(arguments).to_string()
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

fn latencies(exchange: &Exchange, now: Instant) -> String {
    let timing = &exchange.timing;
    let end = timing.finished.unwrap_or(now);
    let request = end.duration_since(timing.started);
    let proxy = timing.upstream_started.map(|from| timing.upstream_answered.unwrap_or(end).duration_since(from));
    let receive = timing.upstream_answered.map_or(Duration::ZERO, |from| end.duration_since(from));
    let kong = request.saturating_sub(proxy.unwrap_or_default()).saturating_sub(receive);
    let proxy = proxy.map_or_else(|| "-1".to_owned(), |time| time.as_millis().to_string());
    let (request, kong, receive) = (request.as_millis(), kong.as_millis(), receive.as_millis());
    format!(r#"{{"request":{request},"kong":{kong},"proxy":{proxy},"receive":{receive}}}"#)
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
