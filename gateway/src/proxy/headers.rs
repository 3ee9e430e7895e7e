//! Headers on their way through: what hops drop, what this hop adds.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use smallvec::SmallVec;

use super::{Proxy, Session, begin, debug, upgrade, words};
use crate::{
    config::AnswerHeaders,
    plugin::{Exchange, Origin},
};

/// Headers that a request gains.
const ADDED: usize = 10;

/// Which of the headers that a hop looks after are there. One walk over the few names of a message costs less than asking
/// the map for each of them.
#[derive(Debug, Clone, Copy, Default)]
struct Seen(u16);

impl Seen {
    const CONNECTION: u16 = 1;
    /// `Keep-Alive`, `Proxy-Connection`, `Transfer-Encoding`, `Upgrade`.
    const HOP: u16 = 2;
    const PROXY: u16 = 4;
    const EXPECT: u16 = 8;
    const TE: u16 = 16;
    const VIA: u16 = 32;
    const FORWARDED_FOR: u16 = 64;
    const FORWARDED_PREFIX: u16 = 128;
    const COOKIE: u16 = 256;
    const SERVER: u16 = 512;
    const TRAILER: u16 = 1024;
    /// `X-Kong-Request-Debug`, `-Token`, `-Log`.
    const DEBUG: u16 = 2048;

    fn among(headers: &HeaderMap) -> Self {
        Self(headers.keys().fold(0, |seen, name| seen | Self::flag(name.as_str())))
    }

    fn flag(name: &str) -> u16 {
        match name {
            "connection" => Self::CONNECTION,
            "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => Self::HOP,
            "proxy" => Self::PROXY,
            "expect" => Self::EXPECT,
            "te" => Self::TE,
            "via" => Self::VIA,
            "x-forwarded-for" => Self::FORWARDED_FOR,
            "x-forwarded-prefix" => Self::FORWARDED_PREFIX,
            "cookie" => Self::COOKIE,
            "server" => Self::SERVER,
            "trailer" => Self::TRAILER,
            name if debug::is_question(name) => Self::DEBUG,
            _ => 0,
        }
    }

    fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }
}

/// Turns a client's headers into those for a target, but for `Host`.
pub(super) fn forward(
    headers: &mut HeaderMap,
    proxy: &Proxy,
    exchange: &Exchange,
    session: &Session,
    stripped: Option<&str>,
) {
    headers.reserve(ADDED);
    let seen = Seen::among(headers);
    // What it named is gone since the beginning.
    if seen.has(Seen::CONNECTION) {
        headers.remove(header::CONNECTION);
    }
    drop_hops(headers, seen);
    if seen.has(Seen::PROXY) {
        headers.remove(words::PROXY);
    }
    if seen.has(Seen::EXPECT) {
        headers.remove(header::EXPECT);
    }
    if seen.has(Seen::TE) {
        keep_only_trailers(headers);
    }
    if seen.has(Seen::COOKIE) && exchange.request.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    let via = HeaderValue::from_static(words::via(exchange.request.version));
    add_to_list(headers, seen.has(Seen::VIA), header::VIA, via);
    add_to_list(headers, seen.has(Seen::FORWARDED_FOR), words::X_FORWARDED_FOR, session.peer.clone());
    headers.insert(words::X_REAL_IP, begin::client_value(exchange, session));
    describe(headers, proxy, exchange, session);
    match stripped.map(words::text) {
        _ if session.is_trusted && seen.has(Seen::FORWARDED_PREFIX) => {}
        Some(prefix) => drop(headers.insert(words::X_FORWARDED_PREFIX, prefix)),
        None if seen.has(Seen::FORWARDED_PREFIX) => drop(headers.remove(words::X_FORWARDED_PREFIX)),
        None => {}
    }
    // A secret, unless the node takes it for a header like any other.
    if seen.has(Seen::DEBUG) && proxy.settings.borrow().debugging.times {
        debug::forget_question(headers);
    }
    if proxy.settings.borrow().tells_upstream {
        headers.insert(words::X_KONG_REQUEST_ID, exchange.id_value.clone());
    }
    if exchange.switches {
        upgrade::ask(headers);
    }
}

/// Turns a target's headers into those for the client.
pub(super) fn receive(headers: &mut HeaderMap, status: StatusCode, proxy: &Proxy, exchange: &Exchange) {
    let seen = Seen::among(headers);
    drop_hop_by_hop(headers, seen);
    // A product names itself once (RFC 9110 §10.2.4); of several lines clients get the first, as from Kong.
    if seen.has(Seen::SERVER) && headers.get_all(header::SERVER).iter().nth(1).is_some() {
        let first = headers[header::SERVER].clone();
        headers.insert(header::SERVER, first);
    }
    if seen.has(Seen::TRAILER) && !takes_trailers(&exchange.request.headers) {
        headers.remove(header::TRAILER);
    }
    if proxy.settings.borrow().headers.has(AnswerHeaders::UPSTREAM_STATUS) {
        headers.insert(words::X_KONG_UPSTREAM_STATUS, HeaderValue::from(status.as_u16()));
    }
}

/// Drops what the client's `Connection` names, before plugins see the request: later, a client could name what they set
/// (RFC 9110 §7.6.1). `Connection` itself goes when the request is sent on.
pub(super) fn drop_named_by_connection(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let lines: SmallVec<[HeaderValue; 2]> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    lines.iter().for_each(|line| drop_named(headers, line));
}

/// Drops what concerns one connection only: `Connection`, what it names, and what should have been named (RFC 9110 §7.6.1).
fn drop_hop_by_hop(headers: &mut HeaderMap, seen: Seen) {
    if seen.has(Seen::CONNECTION) {
        drop_named_by_connection(headers);
        headers.remove(header::CONNECTION);
    }
    drop_hops(headers, seen);
}

fn drop_hops(headers: &mut HeaderMap, seen: Seen) {
    if seen.has(Seen::HOP) {
        for name in [words::KEEP_ALIVE, words::PROXY_CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
            headers.remove(name);
        }
    }
}

fn drop_named(headers: &mut HeaderMap, connection: &HeaderValue) {
    let names = connection.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    for name in names {
        // Headers that carry the message's meaning cannot be dropped by naming them; the others have rules of their own.
        let is_common = name.eq_ignore_ascii_case(b"keep-alive") || name.eq_ignore_ascii_case(b"close");
        let kept = [header::HOST, header::CONTENT_LENGTH, header::TE, header::TRANSFER_ENCODING, header::UPGRADE];
        if let Ok(name) = HeaderName::from_bytes(name)
            && !is_common
            && !kept.contains(&name)
        {
            headers.remove(name);
        }
    }
}

/// `TE` goes on only as `trailers`.
fn keep_only_trailers(headers: &mut HeaderMap) {
    if takes_trailers(headers) {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(header::TE);
    }
}

/// HTTP/2 clients may split cookies; HTTP/1.1 has one line (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, cookie);
    }
}

/// Adds to a header that is a list, in one line.
fn add_to_list(headers: &mut HeaderMap, is_there: bool, name: HeaderName, value: HeaderValue) {
    if !is_there {
        headers.insert(name, value);
        return;
    }
    let mut joined = Vec::with_capacity(64);
    for line in headers.get_all(&name) {
        joined.extend_from_slice(line.as_bytes());
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(value.as_bytes());
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        headers.insert(name, joined);
    }
}

/// Says how the request reached the gateway, unless a peer that is trusted has said so.
fn describe(headers: &mut HeaderMap, proxy: &Proxy, exchange: &Exchange, session: &Session) {
    let mut say = |name: HeaderName, value: HeaderValue| {
        if !session.is_trusted || !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    };
    let scheme = if exchange.connection.tls.is_some() { "https" } else { "http" };
    say(words::X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    say(words::X_FORWARDED_HOST, forwarded_host(exchange));
    say(words::X_FORWARDED_PORT, session.port.clone());
    say(words::X_FORWARDED_PATH, proxy.words.text(exchange.request.target.path()));
}

/// The client's host in lower case without its port. A client of HTTP/1.0 that sent none gets Kong's own name.
fn forwarded_host(exchange: &Exchange) -> HeaderValue {
    let host = without_port(&exchange.host);
    if host.is_empty() {
        return HeaderValue::from_static("kong");
    }
    let is_as_sent = host.len() == exchange.host.len() && !host.bytes().any(|byte| byte.is_ascii_uppercase());
    match exchange.request.headers.get(header::HOST) {
        // A plugin may have set another.
        Some(sent) if is_as_sent && sent.as_bytes() == host.as_bytes() => sent.clone(),
        _ => words::text(&host.to_ascii_lowercase()),
    }
}

/// A host without its port; brackets of an IPv6 address stay.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

/// Marks the answer of a target or of the gateway before it goes to the client.
pub(super) fn finish(proxy: &Proxy, exchange: &mut Exchange) {
    let timing = &exchange.timing;
    let (started, until, answered) = (timing.started, timing.upstream_started, timing.upstream_answered);
    let version = exchange.upstream.version;
    debug::answer(exchange);
    let said = proxy.settings.borrow().headers;
    let last = exchange.tries.last().and_then(|last| last.status);
    let Some(head) = &mut exchange.response else { return };
    let headers = &mut head.headers;
    headers.reserve(4);
    if head.origin != Origin::Upstream {
        name_oneself(headers, said);
    }
    let is_in_vain = head.origin == Origin::Gateway && last.is_some();
    if let Some(status) = last.filter(|_| is_in_vain && said.has(AnswerHeaders::UPSTREAM_STATUS)) {
        headers.insert(words::X_KONG_UPSTREAM_STATUS, HeaderValue::from(status.as_u16()));
    }
    // An answer that a target gave, or was asked for in vain.
    if let Some(until) = until.filter(|_| is_in_vain || head.origin == Origin::Upstream) {
        if said.has(AnswerHeaders::VIA) {
            let is_there = headers.contains_key(header::VIA);
            add_to_list(headers, is_there, header::VIA, HeaderValue::from_static(words::via(version)));
        }
        if said.has(AnswerHeaders::UPSTREAM_LATENCY) {
            let waited = answered.unwrap_or_else(Instant::now) - until;
            headers.insert(words::X_KONG_UPSTREAM_LATENCY, proxy.words.number(waited.as_millis()));
        }
        if said.has(AnswerHeaders::PROXY_LATENCY) {
            headers.insert(words::X_KONG_PROXY_LATENCY, proxy.words.number((until - started).as_millis()));
        }
    } else if said.has(AnswerHeaders::RESPONSE_LATENCY) {
        let took = Instant::now() - started;
        headers.insert(words::X_KONG_RESPONSE_LATENCY, proxy.words.number(took.as_millis()));
    }
    if said.has(AnswerHeaders::REQUEST_ID) {
        headers.insert(words::X_KONG_REQUEST_ID, exchange.id_value.clone());
    }
}

/// Who made an answer. If the node does not say so, no plugin says so for it, as at Kong.
pub(super) fn name_oneself(headers: &mut HeaderMap, said: AnswerHeaders) {
    if said.has(AnswerHeaders::SERVER) {
        headers.insert(header::SERVER, HeaderValue::from_static(words::IDENTITY));
    } else {
        headers.remove(header::SERVER);
    }
}

/// Whether the client takes trailers.
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::TE).iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_concerns_one_connection_goes_no_further() {
        let mut sent = headers(&[
            ("connection", "x-hop, Close, host"),
            ("connection", "x-other"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("host", "a"),
            ("keep-alive", "5"),
            ("proxy-connection", "a"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "x"),
            ("proxy-authorization", "b"),
        ]);
        let seen = Seen::among(&sent);
        drop_hop_by_hop(&mut sent, seen);
        let mut left: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["host", "proxy-authorization"]);
    }

    #[test]
    fn lists_grow_in_one_line() {
        let mut sent = headers(&[("via", "1.0 a"), ("via", "1.1 b")]);
        add_to_list(&mut sent, true, header::VIA, HeaderValue::from_static(words::via(Version::HTTP_10)));
        let lines: Vec<&HeaderValue> = sent.get_all("via").iter().collect();
        assert_eq!(lines, [&*format!("1.0 a, 1.1 b, 1 {}", words::IDENTITY)]);
    }

    #[test]
    fn only_trailers_of_te_go_on() {
        for (te, expected) in [("gzip, Trailers", Some("trailers")), ("gzip", None)] {
            let mut sent = headers(&[("te", te)]);
            keep_only_trailers(&mut sent);
            assert_eq!(sent.get("te").map(|te| te.to_str().unwrap()), expected, "{te}");
        }
    }

    #[test]
    fn a_host_loses_its_port_and_nothing_else() {
        let cases = [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", "")];
        for (host, expected) in cases {
            assert_eq!(without_port(host), expected, "{host}");
        }
    }
}
