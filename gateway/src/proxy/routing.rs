//! Which route a request takes, whether it may take it, and which path goes upstream.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderValue, StatusCode, Version, header};

use super::{Failure, Session, begin::valid_host, headers::without_port, words};
use crate::{
    plugin::Exchange,
    router::{Query, Transport, escape_for_upstream, upstream_path},
    snapshot::{Hashing, RouteEntry, Snapshot},
};

/// The route of a request.
pub(super) struct Routed {
    pub(super) entry: Arc<RouteEntry>,
    /// How much of the start of the canonical path is cut off, if the route says so.
    strips: Option<usize>,
}

impl Routed {
    /// What `X-Forwarded-Prefix` says.
    pub(super) fn stripped<'e>(&self, exchange: &'e Exchange) -> Option<&'e str> {
        self.strips.map(|length| &exchange.path[..length]).filter(|prefix| *prefix != "/")
    }
}

/// Finds the route and notes in the exchange what it settles.
pub(super) fn find(snapshot: &Snapshot, exchange: &mut Exchange, session: &Session) -> Result<Routed, Failure> {
    let (path, host) = (exchange.path.clone(), exchange.host.clone());
    let tls = exchange.connection.tls.as_ref();
    let query = Query {
        method: &exchange.request.method,
        host: Some(&*host).filter(|host| !host.is_empty()),
        port: session.reached.port(),
        path: &path,
        headers: &exchange.request.headers,
        transport: tls.map_or(Transport::Plain, |tls| Transport::Tls { sni: tls.sni.as_deref() }),
        arguments: exchange.request.target.query(),
        source: Some(SocketAddr::new(exchange.client, session.client.port())),
        destination: Some(session.reached),
    };
    let found = snapshot.router.find(&query).ok_or(Failure::NoRoute)?;
    let entry = found.value.clone();
    let strips = found.prefix.filter(|_| entry.route.strip_path).map(str::len);
    if found.has_captures() && (!entry.chain.is_empty() || hashes_captures(&entry)) {
        exchange.captures = found.named_captures();
    }
    Ok(Routed { entry, strips })
}

fn hashes_captures(entry: &RouteEntry) -> bool {
    let upstream = entry.service.as_ref().and_then(|service| service.upstream.as_ref());
    upstream.and_then(|upstream| upstream.hashing.as_ref()).is_some_and(Hashing::wants_captures)
}

/// Notes what the exchange takes from its route: what it is called, and where it leads.
pub(super) fn follow(routed: &Routed, exchange: &mut Exchange) {
    exchange.route = routed.entry.facts.clone();
    exchange.upstream.path = upstream(&routed.entry, &exchange.path, routed.strips);
    exchange.upstream.query = exchange.request.target.query().map(str::to_owned);
}

/// The path that goes upstream; `strips` is how much of the start of the canonical path is cut off.
pub(super) fn upstream(entry: &RouteEntry, path: &str, strips: Option<usize>) -> String {
    let service_path = entry.service.as_ref().and_then(|service| service.service.path.as_deref());
    let stripped = strips.map(|length| &path[..length]);
    escape_for_upstream(&upstream_path(service_path, path, stripped, entry.path_handling)).into_owned()
}

/// How a request came.
pub(super) struct Came<'a> {
    pub(super) content_type: Option<&'a HeaderValue>,
    pub(super) version: Version,
    pub(super) is_tls: bool,
    /// The host that the client asked.
    pub(super) host: &'a str,
    pub(super) target: &'a str,
}

impl<'a> Came<'a> {
    pub(super) fn of(exchange: &'a Exchange, session: &Session) -> Self {
        Self {
            content_type: exchange.request.headers.get(header::CONTENT_TYPE),
            version: exchange.request.version,
            is_tls: came_over_tls(exchange, session),
            host: asked_host(exchange, session),
            target: exchange.request.target.path_and_query().map_or("/", |target| target.as_str()),
        }
    }
}

/// Whether the exchange may take its route: nearly all may, without a look at how they came.
pub(super) fn admit(routed: &Routed, exchange: &Exchange, session: &Session) -> Result<(), Failure> {
    if routed.entry.route.protocols.iter().any(|spoken| **spoken == *"http") {
        return Ok(());
    }
    enforce(&routed.entry, &Came::of(exchange, session))
}

/// Whether the request came the way that the route asks for.
pub(super) fn enforce(entry: &RouteEntry, came: &Came<'_>) -> Result<(), Failure> {
    let speaks = |protocol: &str| entry.route.protocols.iter().any(|spoken| **spoken == *protocol);
    if speaks("http") {
        return Ok(());
    }
    let is_grpc_route = speaks("grpc") || speaks("grpcs");
    if is_grpc_route {
        require_grpc(came)?;
    }
    if speaks("grpc") || came.is_tls {
        return Ok(());
    }
    if is_grpc_route {
        return Err(Failure::PlainGrpc);
    }
    Err(match entry.route.https_redirect_status_code {
        code @ (301 | 302 | 307 | 308) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::MOVED_PERMANENTLY);
            Failure::HttpsRedirect(status, https_address(came))
        }
        _ => Failure::HttpsRequired,
    })
}

fn require_grpc(came: &Came<'_>) -> Result<(), Failure> {
    if !words::is_grpc(came.content_type) {
        return Err(Failure::NotGrpc);
    }
    if came.version == Version::HTTP_2 { Ok(()) } else { Err(Failure::Http2Required) }
}

/// By the connection, or by the word of a peer that is trusted.
fn came_over_tls(exchange: &Exchange, session: &Session) -> bool {
    let said = exchange.request.headers.get(words::X_FORWARDED_PROTO).filter(|_| session.is_trusted);
    said.map_or(exchange.connection.tls.is_some(), |proto| proto.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// By the connection, or by the word of a peer that is trusted; a word that is no host does not count.
fn asked_host<'a>(exchange: &'a Exchange, session: &Session) -> &'a str {
    let said = exchange.request.headers.get(words::X_FORWARDED_HOST).filter(|_| session.is_trusted);
    said.and_then(|host| valid_host(host).ok())
        .filter(|host| !host.is_empty() && !host.contains(','))
        .unwrap_or(&exchange.host)
}

fn https_address(came: &Came<'_>) -> String {
    format!("https://{}{}", without_port(came.host), came.target)
}
