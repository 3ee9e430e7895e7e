//! The access record of a request: one JSON object with the members that Kong's loggers write.

use std::{
    borrow::Cow,
    io::Write,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::HeaderMap;
use serde_json::Value;

use crate::plugin::exchange::{Exchange, Origin, Try};

/// The only workspace there is.
pub const WORKSPACE: &str = "00000000-0000-4000-8000-000000000001";

/// Adds the record to `out`, in one pass and without other memory. `now` stands for the end of an answer that has not
/// ended.
pub(super) fn write(out: &mut Vec<u8>, exchange: &Exchange, now: Instant) {
    let mut record = Record(out);
    record.put(b"{\"request\":{");
    request(&mut record, exchange);
    record.put(b"},\"upstream_uri\":");
    upstream_uri(&mut record, exchange);
    record.put(b",\"upstream_status\":");
    upstream_status(&mut record, exchange);
    record.put(b",\"response\":{");
    response(&mut record, exchange);
    record.put(b"},\"latencies\":{");
    latencies(&mut record, exchange, now);
    record.put(b"},\"tries\":");
    tries(&mut record, exchange);
    if let Some(credential) = &exchange.credential {
        record.text(b",\"authenticated_entity\":{\"id\":", &credential.id);
        record.put(b"}");
    }
    let entry = exchange.consumer.as_ref().map(|entry| &entry.json);
    record.json(b",\"consumer\":", entry);
    record.json(b",\"service\":", exchange.route.service_json.as_ref());
    record.json(b",\"route\":", exchange.route.route_json.as_ref());
    record.put(b",\"client_ip\":");
    record.address(exchange.client);
    record.number(b",\"started_at\":", millis(epoch(exchange.timing.started_at)));
    let origin = exchange.response.as_ref().map(|head| head.origin);
    record.text(b",\"source\":", if origin == Some(Origin::Upstream) { "upstream" } else { "kong" });
    record.text(b",\"workspace\":", WORKSPACE);
    record.put(b",\"workspace_name\":\"default\"");
    for (name, json) in &exchange.log_fields {
        record.text(b",", name);
        record.put(b":");
        record.put(json.as_bytes());
    }
    record.put(b"}");
}

/// A JSON object being written.
struct Record<'a>(&'a mut Vec<u8>);

impl Record<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A member whose value is a text; `name` comes with its separators.
    fn text(&mut self, name: &[u8], value: &str) {
        self.put(name);
        self.quote(value.as_bytes());
    }

    /// A member whose value is JSON, if there is one.
    fn json(&mut self, name: &[u8], json: Option<&Arc<str>>) {
        if let Some(json) = json {
            self.put(name);
            self.put(json.as_bytes());
        }
    }

    fn number(&mut self, name: &[u8], value: u64) {
        self.put(name);
        self.digits(value);
    }

    fn digits(&mut self, value: u64) {
        self.put(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Adds a JSON string. Bytes that are not UTF-8 are replaced.
    fn quote(&mut self, text: &[u8]) {
        self.put(b"\"");
        self.piece(text);
        self.put(b"\"");
    }

    /// Adds a part of a JSON string.
    fn piece(&mut self, text: &[u8]) {
        if is_plain(text) {
            return self.put(text);
        }
        let escaped = Value::from(String::from_utf8_lossy(text)).to_string();
        self.put(&escaped.as_bytes()[1..escaped.len() - 1]);
    }

    fn address(&mut self, address: IpAddr) {
        self.put(b"\"");
        match address {
            IpAddr::V4(address) => {
                for (place, octet) in address.octets().into_iter().enumerate() {
                    self.put(if place == 0 { b"" } else { b"." });
                    self.digits(octet.into());
                }
            }
            IpAddr::V6(address) => {
                let _ = write!(self.0, "{address}");
            }
        }
        self.put(b"\"");
    }
}

fn request(part: &mut Record<'_>, exchange: &Exchange) {
    let scheme = if exchange.connection.tls.is_some() { "https" } else { "http" };
    let uri = exchange.request.target.path_and_query().map_or("/", |target| target.as_str());
    let host = exchange.host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let host = host.map_or(&*exchange.host, |(host, _)| host);
    part.text(b"\"id\":", exchange.id.as_str());
    part.text(b",\"uri\":", uri);
    part.put(b",\"url\":\"");
    for piece in [scheme, "://", host, ":"] {
        part.piece(piece.as_bytes());
    }
    part.digits(exchange.connection.local.port().into());
    part.piece(uri.as_bytes());
    part.put(b"\",\"querystring\":");
    part.put(querystring(exchange).as_bytes());
    part.text(b",\"method\":", exchange.client_method.as_str());
    part.put(b",\"headers\":{");
    headers(part, &exchange.request.headers, true);
    part.number(b"},\"size\":", exchange.bytes_in);
    if let Some(tls) = &exchange.connection.tls {
        part.text(b",\"tls\":{\"version\":", tls.version);
        part.text(b",\"cipher\":", &tls.cipher);
        // nginx's words.
        let verified = tls.client.as_ref().map(|client| client.verified);
        let word = verified.map_or("NONE", |verified| if verified { "SUCCESS" } else { "FAILED:not verified" });
        part.text(b",\"client_verify\":", word);
        part.put(b"}");
    }
}

fn response(part: &mut Record<'_>, exchange: &Exchange) {
    let Some(head) = &exchange.response else { return };
    part.put(b"\"status\":");
    part.put(head.status.as_str().as_bytes());
    part.put(b",\"headers\":{");
    headers(part, &head.headers, false);
    part.number(b"},\"size\":", exchange.bytes_out);
}

/// Whether a text is the same between the quotes of JSON. Without an early end, so that the compiler can make vector
/// instructions of it.
fn is_plain(text: &[u8]) -> bool {
    let odd = |byte: &u8| u8::from(byte.wrapping_sub(b' ') > b'~' - b' ' || *byte == b'"' || *byte == b'\\');
    text.iter().fold(0, |found, byte| found | odd(byte)) == 0
}

/// Names to values; a repeated name to an array. Secrets of the client are not written.
fn headers(part: &mut Record<'_>, headers: &HeaderMap, hide: bool) {
    // The values of one name come one after the other.
    let mut lines = headers.iter().peekable();
    let mut separator: &[u8] = b"\"";
    while let Some((name, first)) = lines.next() {
        part.put(std::mem::replace(&mut separator, b",\""));
        part.put(name.as_str().as_bytes());
        part.put(b"\":");
        let is_secret = hide && (name == http::header::AUTHORIZATION || name == http::header::PROXY_AUTHORIZATION);
        let is_repeated = lines.peek().is_some_and(|(next, _)| *next == name);
        match (is_secret, is_repeated) {
            (false, false) => part.quote(first.as_bytes()),
            (false, true) => {
                part.put(b"[");
                part.quote(first.as_bytes());
                while let Some((_, value)) = lines.next_if(|(next, _)| *next == name) {
                    part.put(b",");
                    part.quote(value.as_bytes());
                }
                part.put(b"]");
            }
            (true, _) => {
                part.quote(b"REDACTED");
                while lines.next_if(|(next, _)| *next == name).is_some() {}
            }
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

fn upstream_uri(record: &mut Record<'_>, exchange: &Exchange) {
    record.put(b"\"");
    record.piece(exchange.upstream.path.as_bytes());
    if let Some(query) = &exchange.upstream.query {
        record.put(b"?");
        record.piece(query.as_bytes());
    }
    record.put(b"\"");
}

fn upstream_status(record: &mut Record<'_>, exchange: &Exchange) {
    record.put(b"\"");
    for (place, status) in exchange.tries.iter().filter_map(|attempt| attempt.status).enumerate() {
        record.put(if place == 0 { b"" } else { b", " });
        record.put(status.as_str().as_bytes());
    }
    record.put(b"\"");
}

fn latencies(part: &mut Record<'_>, exchange: &Exchange, now: Instant) {
    let timing = &exchange.timing;
    let end = timing.finished.unwrap_or(now);
    let request = end.duration_since(timing.started);
    let proxy = timing.upstream_started.map(|from| timing.upstream_answered.unwrap_or(end).duration_since(from));
    let receive = timing.upstream_answered.map_or(Duration::ZERO, |from| end.duration_since(from));
    let kong = request.saturating_sub(proxy.unwrap_or_default()).saturating_sub(receive);
    part.number(b"\"request\":", millis(request));
    part.number(b",\"kong\":", millis(kong));
    match proxy {
        Some(proxy) => part.number(b",\"proxy\":", millis(proxy)),
        None => part.put(b",\"proxy\":-1"),
    }
    part.number(b",\"receive\":", millis(receive));
}

fn tries(record: &mut Record<'_>, exchange: &Exchange) {
    record.put(b"[");
    for (place, attempt) in exchange.tries.iter().enumerate() {
        record.put(if place == 0 { b"{" } else { b",{" });
        one_try(record, attempt);
        record.put(b"}");
    }
    record.put(b"]");
}

fn one_try(part: &mut Record<'_>, attempt: &Try) {
    let start = epoch(attempt.started_at);
    part.put(b"\"ip\":");
    part.address(attempt.address.ip());
    part.number(b",\"port\":", attempt.address.port().into());
    part.number(b",\"balancer_latency\":", millis(attempt.balancer));
    part.number(b",\"balancer_latency_ns\":", nanos(attempt.balancer));
    part.number(b",\"balancer_start\":", millis(start));
    part.number(b",\"balancer_start_ns\":", nanos(start));
    if attempt.failed {
        part.put(b",\"state\":\"failed\"");
        if let Some(status) = attempt.status {
            part.put(b",\"code\":");
            part.put(status.as_str().as_bytes());
        }
    }
}

fn epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whole milliseconds, in 64 bits: 128 would be slow to divide.
fn millis(time: Duration) -> u64 {
    time.as_secs() * 1_000 + u64::from(time.subsec_millis())
}

/// Nanoseconds, up to the year 2554 for times of the calendar.
fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn written(write: impl FnOnce(&mut Record<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Record(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn repeated_headers_are_an_array_and_secrets_are_not_written() {
        let mut map = HeaderMap::new();
        for (name, value) in [("accept", "a"), ("authorization", "b"), ("x", "1"), ("x", "2"), ("authorization", "c")] {
            map.append(name, HeaderValue::from_static(value));
        }
        let text = written(|record| headers(record, &map, true));
        assert_eq!(text, r#""accept":"a","authorization":"REDACTED","x":["1","2"]"#);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_quoted_as_json(text in "\\PC{0,40}", raw in proptest::collection::vec(0_u8.., 0..40)) {
            let quoted = written(|record| record.quote(text.as_bytes()));
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
            let quoted = written(|record| record.quote(&raw));
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), String::from_utf8_lossy(&raw));
        }

        #[test]
        fn any_address_is_quoted_as_its_text(address in proptest::arbitrary::any::<IpAddr>()) {
            assert_eq!(written(|record| record.address(address)), format!("\"{address}\""));
        }
    }
}
