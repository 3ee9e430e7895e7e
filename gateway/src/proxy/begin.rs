//! Requests → exchanges: what is known of one before anything is decided.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Instant, SystemTime},
};

use http::{HeaderMap, HeaderValue, Method, Request, Version, header, request::Parts};
use hyper::body::{Body as _, Incoming};

use super::{Failure, Proxy, Session, Settings, debug, headers, payload::TooLarge, refusals::Reason, upgrade, words};
use crate::{
    config::Naming,
    plugin::{Exchange, Held, RequestBody, RequestHead, Timing, UpstreamTarget},
    router::NormalPath,
    snapshot::Snapshot,
};

/// Describes a request; the failure says why it must not be served.
pub(super) fn begin(
    proxy: &Proxy,
    session: &Session,
    snapshot: &Snapshot,
    request: Box<Request<Incoming>>,
) -> (Held, Result<(), Failure>) {
    let settings = proxy.settings();
    let (mut parts, body) = request.into_parts();
    let asks_to_switch = upgrade::disarm(&mut parts);
    let switches = asks_to_switch && body.is_end_stream() && upgrade::is_websocket(&parts);
    let client = client(session, &parts.headers, &settings);
    headers::drop_named_by_connection(&mut parts.headers);
    let agreed = give_host(&mut parts);
    let host = one_host(&parts.headers, parts.version).and_then(|host| session.host(host));
    let (host, has_host) = host.map_or_else(|failure| (Arc::default(), Err(failure)), |host| (host, Ok(())));
    let normal = NormalPath::parse(parts.uri.path());
    let path = Arc::from(normal.as_ref().map_or(parts.uri.path(), NormalPath::as_str));
    let admitted =
        admit(&parts, &body, &settings).and(agreed).and(has_host).and(normal.map(drop).map_err(Failure::from));
    let id = proxy.next_id();
    let asked = debug::asked(&mut parts.headers, client, &settings.debugging);
    let exchange = Exchange {
        number: session.count(),
        id,
        id_value: proxy.words.text(id.as_str()),
        timing: timing(),
        client,
        client_method: parts.method.clone(),
        host,
        path,
        upstream: UpstreamTarget::default(),
        upstream_host: None,
        switches,
        body: if body.is_end_stream() { RequestBody::Empty } else { RequestBody::Incoming(body) },
        body_changed: false,
        route: proxy.no_route.clone(),
        captures: Vec::new(),
        directory: snapshot.directory.clone(),
        consumer: None,
        credential: None,
        selected: Default::default(),
        notes: Vec::new(),
        asked,
        log_fields: Vec::new(),
        response_changes: Vec::new(),
        response: None,
        tries: Default::default(),
        bytes_in: 0,
        bytes_out: 0,
        record: None,
        connection: session.connection.clone(),
        request: RequestHead {
            method: parts.method,
            target: parts.uri,
            version: parts.version,
            headers: parts.headers,
        },
    };
    (Held::new(exchange), admitted)
}

fn timing() -> Timing {
    Timing {
        started: Instant::now(),
        started_at: SystemTime::now(),
        upstream_started: None,
        upstream_answered: None,
        finished: None,
    }
}

fn admit(parts: &Parts, body: &Incoming, settings: &Settings) -> Result<(), Failure> {
    if matches!(parts.method, Method::TRACE | Method::CONNECT) {
        return Err(Failure::Method);
    }
    let length = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length > settings.uri_bytes {
        return Err(Failure::UriTooLong);
    }
    if body.size_hint().lower() > settings.body_bytes { Err(TooLarge(settings.body_bytes).into()) } else { Ok(()) }
}

/// HTTP/2 has `:authority` in place of `Host`; everything behind looks for `Host`. Where both say something, or the target of
/// HTTP/1 does too, they must agree: others may believe the other one.
fn give_host(parts: &mut Parts) -> Result<(), Failure> {
    let Some(authority) = parts.uri.authority() else { return Ok(()) };
    let said = match parts.version {
        Version::HTTP_2 => parts.headers.insert(header::HOST, words::text(authority.as_str())),
        // RFC 9112 §3.2.3: only CONNECT names an authority alone, which is never served.
        _ if parts.uri.scheme().is_none() => return Err(Failure::BadRequest(Reason::Target, "its target is a host")),
        Version::HTTP_10 if !parts.headers.contains_key(header::HOST) => {
            parts.headers.insert(header::HOST, words::text(authority.as_str()))
        }
        _ => parts.headers.get(header::HOST).cloned(),
    };
    let agrees = |said: HeaderValue| {
        without_default_port(said.as_bytes(), parts)
            .eq_ignore_ascii_case(without_default_port(authority.as_str().as_bytes(), parts))
    };
    if said.is_none_or(agrees) {
        return Ok(());
    }
    Err(Failure::BadRequest(Reason::Host, "its target names another host than its headers"))
}

fn without_default_port<'a>(host: &'a [u8], parts: &Parts) -> &'a [u8] {
    let port: &[u8] = if parts.uri.scheme_str() == Some("https") { b":443" } else { b":80" };
    host.strip_suffix(port).unwrap_or(host)
}

/// The host that headers name. HTTP/1.0 clients may have none.
pub(super) fn host_in(headers: &HeaderMap, version: Version) -> Result<&str, Failure> {
    one_host(headers, version)?.map_or(Ok(""), valid_host)
}

fn one_host(headers: &HeaderMap, version: Version) -> Result<Option<&HeaderValue>, Failure> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Ok(Some(host)),
        (None, _) if version == Version::HTTP_10 => Ok(None),
        (None, _) => Err(Failure::BadRequest(Reason::Host, "it has no host")),
        (Some(_), Some(_)) => Err(Failure::BadRequest(Reason::Host, "it has more than one host")),
    }
}

/// A host as text, without anything that would make it another one elsewhere.
pub(super) fn valid_host(host: &HeaderValue) -> Result<&str, Failure> {
    let is_odd = |byte: &u8| matches!(byte, 0..=b' ' | b'/' | b'\\' | b'@' | b'?' | b'#' | 0x7f..);
    let text = host.to_str().ok().filter(|host| !host.as_bytes().iter().any(is_odd));
    text.ok_or(Failure::BadRequest(Reason::Host, "its host is not valid"))
}

/// The client's address: the peer's, or what a peer we trust says.
fn client(session: &Session, headers: &HeaderMap, settings: &Settings) -> IpAddr {
    let mut client = session.client.ip().to_canonical();
    let Naming::Header(name) = &settings.naming else { return client };
    if !session.is_trusted {
        return client;
    }
    // Bytes, since the start of a line is the client's own and may be anything.
    let lines = headers.get_all(name).iter().rev();
    for said in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        let Some(address) = str::from_utf8(said.trim_ascii()).ok().and_then(named_address) else { break };
        client = address.to_canonical();
        if !settings.real_ip_recursive || !settings.trusted.contains(client) {
            break;
        }
    }
    client
}

/// An address, with or without a port behind it: `1.2.3.4:567`, `[::1]:99`.
fn named_address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    text.parse().ok().or_else(with_port).or_else(in_brackets)
}

/// The client's address as a header value.
pub(super) fn client_value(exchange: &Exchange, session: &Session) -> HeaderValue {
    if exchange.client == session.connection.peer.ip().to_canonical() {
        session.peer.clone()
    } else {
        words::text(&exchange.client.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_address_may_have_a_port() {
        let cases = [
            ("1.2.3.4", Some("1.2.3.4")),
            ("1.2.3.4:567", Some("1.2.3.4")),
            ("::1", Some("::1")),
            ("[::1]:99", Some("::1")),
            ("[::1]", Some("::1")),
            ("[1.2.3.4]", None),
            ("1.2.3.4:", None),
            ("1.2.3.4:66666", None),
            ("unknown", None),
        ];
        for (text, expected) in cases {
            assert_eq!(named_address(text), expected.map(|text| text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_host_is_one_plain_name() {
        let cases = [
            ("a.test", true),
            ("a.test:80", true),
            ("[::1]:80", true),
            ("", true),
            ("a/b", false),
            ("a b", false),
            ("user@a", false),
        ];
        for (host, expected) in cases {
            let value = HeaderValue::from_str(host).unwrap();
            assert_eq!(valid_host(&value).is_ok(), expected, "{host}");
        }
        assert!(valid_host(&HeaderValue::from_bytes(b"\xe4").unwrap()).is_err());
    }
}
