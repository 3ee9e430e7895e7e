//! Sends an exchange to a target of its service, and to another one if the first gave no answer.

use std::{
    borrow::Cow,
    mem,
    net::SocketAddr,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri, Version, header,
    uri::{Authority, PathAndQuery},
};
use hyper::body::Body as _;

use super::{
    Failure, Proxy, Session,
    exchange::Care,
    failure::status_of,
    filter::Seat,
    hashing, headers,
    headers::without_port,
    payload::{Ahead, Payload},
    refusals::Reason,
    routing::Routed,
    upgrade, words,
};
use crate::{
    balancer::{InFlight, Report},
    model::Route,
    plugin::{Exchange, Try},
    snapshot::{Balanced, Chosen, NoChoice, Security, ServiceEntry, Tried, UpstreamEntry},
    tls::TargetTls,
    upstream::{self, Again, PoolKey, RequestBody, ResponseBody, SendError, Timeouts, TlsIdentity, may_retry},
};

/// Free retries at most: each idle connection of a pool may turn out to be dead.
const FREE_RETRIES: u32 = 1000;

/// Sends the exchange. Returns the target's answer as soon as its head was read.
pub(super) async fn send(
    proxy: &Proxy,
    session: &Session,
    exchange: &mut Care,
    routed: &Routed,
) -> Result<Response<Proxied>, Failure> {
    let service = routed.entry.service.as_deref().ok_or(Failure::NoService)?;
    let ahead = (reading(&routed.entry.route, service), service.write_timeout);
    let payload = Payload::take(exchange, ahead, proxy.settings().body_bytes).await?;
    exchange.timing.upstream_started = Some(Instant::now());
    let hashing = service.upstream.as_deref().and_then(|upstream| upstream.hashing.as_ref());
    let hash = hashing.and_then(|hashing| hashing::hash(exchange, hashing));
    if service.http2 {
        exchange.upstream.version = Version::HTTP_2;
    }
    let mut forwarding = Forwarding { proxy, session, routed, service, payload, hash, tried: Tried::new() };
    let (mut retries, mut free) = (service.retries, FREE_RETRIES);
    loop {
        let error = match forwarding.attempt(exchange).await {
            Ok(answer) if upgrade::is_unasked(exchange, &answer) => return Err(Failure::Switched),
            Ok(answer) => {
                exchange.timing.upstream_answered = Some(Instant::now());
                return Ok(answer);
            }
            Err(Failure::Upstream(error)) => error,
            Err(failure) => return Err(failure),
        };
        let left = match may_retry(&error, &exchange.request.method, forwarding.payload.is_replayable()) {
            Again::Never => return Err(error.into()),
            Again::Counted => &mut retries,
            Again::Free => {
                // An idle connection that was dead already: no attempt on the target.
                exchange.tries.pop();
                &mut free
            }
        };
        if *left == 0 {
            return Err(error.into());
        }
        *left -= 1;
        tracing::debug!(request_id = exchange.id.as_str(), error = &error as &dyn std::error::Error, "trying again");
    }
}

/// gRPC is a conversation: its client may wait for an answer before it says more.
fn reading(route: &Route, service: &ServiceEntry) -> Ahead {
    match (service.http2, route.request_buffering) {
        (true, _) => Ahead::Here,
        (false, true) => Ahead::Small,
        (false, false) => Ahead::Nothing,
    }
}

/// The attempts of one exchange.
struct Forwarding<'a> {
    proxy: &'a Proxy,
    session: &'a Session,
    routed: &'a Routed,
    service: &'a ServiceEntry,
    payload: Payload,
    /// What consistent hashing goes by.
    hash: Option<u64>,
    /// Addresses that were tried.
    tried: Tried,
}

/// Whom an attempt asks.
struct Picked {
    address: SocketAddr,
    host: HeaderValue,
    /// Its place in the upstream, with when it was picked.
    balanced: Option<(Balanced, Instant)>,
}

impl Picked {
    /// Tells the balancer and the passive checks how the attempt went.
    fn report(&self, upstream: Option<&UpstreamEntry>, sent: Result<StatusCode, &SendError>, proxy: &Proxy) {
        let (Some((balanced, since)), Some(upstream)) = (&self.balanced, upstream) else { return };
        match sent {
            Ok(_) => balanced.in_flight.answered(since.elapsed()),
            Err(_) => balanced.in_flight.failed(),
        }
        let report = match sent {
            // A target that says so of another one is no better.
            Ok(StatusCode::GATEWAY_TIMEOUT) => Some(Report::Timeout),
            Ok(status) => upstream.checks.passive.of_status(status.as_u16()),
            Err(error) => report_of(error),
        };
        upstream.report(balanced, report, sent.ok().map(|status| status.as_u16()), &proxy.settings().manner);
    }
}

/// What an attempt without an answer says of the target.
fn report_of(error: &SendError) -> Option<Report> {
    match error {
        SendError::Connect(..)
        | SendError::Broken { reused: false, .. }
        | SendError::Invalid(..)
        | SendError::Ambiguous(..) => Some(Report::TcpFailure),
        SendError::ConnectTimeout(..) | SendError::WriteTimeout(..) | SendError::ReadTimeout(..) => {
            Some(Report::Timeout)
        }
        // An idle connection may end at any time; bodies are the client's affair.
        SendError::Broken { reused: true, .. } | SendError::Upload(_) => None,
    }
}

/// The body of a target's answer.
pub(super) struct Proxied {
    pub(super) body: ResponseBody,
    pub(super) beside: Beside,
}

/// What ends when the body of an answer is dropped.
pub(super) enum Beside {
    Nothing,
    /// The target counts as busy.
    InFlight(#[expect(dead_code, reason = "it counts until it is dropped")] InFlight),
    /// The rest of an upload needs the exchange, too.
    Upload(Box<(Option<InFlight>, Option<Seat>)>),
}

impl Beside {
    fn new(in_flight: Option<InFlight>, upload: Option<Seat>) -> Self {
        match (in_flight, upload) {
            (None, None) => Self::Nothing,
            (Some(in_flight), None) => Self::InFlight(in_flight),
            (in_flight, upload @ Some(_)) => Self::Upload(Box::new((in_flight, upload))),
        }
    }
}

impl Proxied {
    /// What the rest of an upload shares with the body, unless there is none of that: then the upload ends with it.
    pub(super) fn take_upload(&mut self) -> Option<Seat> {
        match &mut self.beside {
            Beside::Upload(both) if !self.body.is_end_stream() => both.1.take(),
            Beside::Nothing | Beside::InFlight(_) | Beside::Upload(_) => None,
        }
    }
}

impl Forwarding<'_> {
    async fn attempt(&mut self, exchange: &mut Care) -> Result<Response<Proxied>, Failure> {
        let picked = self.pick(exchange).await?;
        let key = self.key(&picked)?;
        let Some(body) = self.payload.attempt() else {
            return Err(Failure::BadRequest(Reason::Malformed, "its body was sent already"));
        };
        let request = self.request(exchange, picked.host.clone(), body)?;
        let started_at = start_of_attempt(exchange);
        let service = self.service;
        let timeouts =
            Timeouts { connect: service.connect_timeout, write: service.write_timeout, read: service.read_timeout };
        let upstream = &self.proxy.upstream;
        let (sent, upload) = match self.payload.seat() {
            None => (upstream.send(&key, request, &timeouts).await, Ok(None)),
            Some(seat) => Box::pin(on_shelf(seat, exchange, upstream.send(&key, request, &timeouts))).await?,
        };
        let status = Some(sent.as_ref().map_or_else(status_of, Response::status));
        let failed = sent.is_err();
        let waited = std::time::Duration::ZERO;
        exchange.tries.push(Try { address: picked.address, started_at, balancer: waited, status, failed });
        picked.report(service.upstream.as_deref(), sent.as_ref().map(Response::status), self.proxy);
        let (upload, answer) = (upload?, sent?);
        let in_flight = picked.balanced.map(|(balanced, _)| balanced.in_flight);
        Ok(answer.map(|body| Proxied { body, beside: Beside::new(in_flight, upload) }))
    }

    async fn pick(&mut self, exchange: &Exchange) -> Result<Picked, Failure> {
        let (service, settings) = (self.service, self.proxy.settings());
        let chosen = match service.choose(&mut self.tried, self.hash, &settings.manner) {
            Ok(chosen) => chosen,
            // Boxed: it is rare.
            Err(NoChoice::Pending) => {
                Box::pin(service.choose_late(&mut self.tried, self.hash, &settings.manner)).await?
            }
            Err(none) => return Err(none.into()),
        };
        let Chosen { address, host, balanced } = chosen;
        let of_target = balanced.as_ref().zip(service.upstream.as_deref());
        let configured = of_target.map_or(Cow::Borrowed(&service.host_header), |(balanced, upstream)| {
            let (target, is_named) = (&upstream.targets[balanced.target], host.is_some());
            let own = host.as_ref().unwrap_or(&target.host_header);
            let port = if is_named { address.port() } else { target.port };
            match upstream.upstream.host_header.as_deref() {
                Some(host) => Cow::Owned(words::text(host)),
                None if port == service.default_port() => Cow::Owned(self.without_port(own)),
                None => Cow::Borrowed(own),
            }
        });
        let host = self.host(exchange, &configured);
        if service.http2 && Authority::try_from(host.as_bytes()).is_err() {
            return Err(Failure::BadRequest(Reason::Host, "its host cannot be sent on"));
        }
        Ok(Picked { address, host, balanced: balanced.map(|balanced| (balanced, Instant::now())) })
    }

    /// What a plugin set, else what the client sent where the route keeps that, else the target's.
    fn host(&self, exchange: &Exchange, configured: &HeaderValue) -> HeaderValue {
        let preserved = || {
            let is_wanted = self.routed.entry.route.preserve_host && !exchange.host.is_empty();
            is_wanted.then(|| self.proxy.words.text(&exchange.host))
        };
        exchange.upstream_host.clone().or_else(preserved).unwrap_or_else(|| configured.clone())
    }

    fn without_port(&self, host: &HeaderValue) -> HeaderValue {
        host.to_str().map_or_else(|_| host.clone(), |host| self.proxy.words.text(without_port(host)))
    }

    fn key(&self, picked: &Picked) -> Result<PoolKey, Failure> {
        let tls = match &self.service.tls {
            Security::Clear => None,
            Security::Tls(settings) => Some(identity(settings, picked)),
            Security::Unfit(_) => return Err(Failure::NoTls),
        };
        let protocol = if self.service.http2 { upstream::Protocol::Http2 } else { upstream::Protocol::Http1 };
        Ok(PoolKey { address: picked.address, tls, protocol })
    }

    fn request(
        &self,
        exchange: &mut Exchange,
        host: HeaderValue,
        body: RequestBody,
    ) -> Result<Request<RequestBody>, Failure> {
        let mut request = Request::new(body);
        *request.method_mut() = exchange.request.method.clone();
        *request.uri_mut() = target(exchange)?;
        // The map that goes out comes back around as that of later messages, so that it has room for what is added.
        let kept = exchange.request.headers.clone();
        let mut sent = mem::replace(&mut exchange.request.headers, kept);
        headers::forward(&mut sent, self.proxy, exchange, self.session, self.routed.stripped(exchange));
        sent.insert(header::HOST, host);
        *request.headers_mut() = sent;
        Ok(request)
    }
}

/// The name is that of the Host header; an address if that cannot be a name.
fn identity(settings: &TargetTls, picked: &Picked) -> TlsIdentity {
    TlsIdentity::of(picked.host.to_str().map(without_port).unwrap_or_default(), picked.address, settings)
}

/// What became of an attempt, and of its upload: a plugin ended it, or the rest of it goes on beside the answer.
type Attempted = (Result<Response<ResponseBody>, SendError>, Result<Option<Seat>, Failure>);

/// Sends a body that needs the exchange on its way.
async fn on_shelf(
    place: &mut Option<Seat>,
    exchange: &mut Care,
    sending: impl Future<Output = Result<Response<ResponseBody>, SendError>>,
) -> Result<Attempted, Failure> {
    let seat = place.as_ref().ok_or(Failure::Crashed)?;
    seat.put(exchange.lend());
    let sent = sending.await;
    let (back, stopped) = seat.take().await;
    *exchange = back.ok_or(Failure::Crashed)?;
    let goes_on = sent.is_ok() && stopped.is_none() && seat.is_needed();
    let upload = if goes_on { place.take() } else { None };
    Ok((sent, stopped.map_or(Ok(upload), Err)))
}

/// The target of the request line; the client's own where nothing was changed.
fn target(exchange: &Exchange) -> Result<Uri, Failure> {
    let wanted = &exchange.upstream;
    if let Some(sent) = exchange.request.target.path_and_query()
        && sent.path() == wanted.path
        && sent.query() == wanted.query.as_deref()
    {
        return Ok(Uri::from(sent.clone()));
    }
    let text = match &wanted.query {
        None => Bytes::from(wanted.path.clone()),
        Some(query) => Bytes::from([&*wanted.path, "?", query].concat()),
    };
    let target = PathAndQuery::from_maybe_shared(text);
    target.map(Uri::from).map_err(|_| Failure::BadRequest(Reason::Target, "its target cannot be sent on"))
}

/// The first attempt begins when the exchange says; later ones now.
fn start_of_attempt(exchange: &Exchange) -> SystemTime {
    let timing = &exchange.timing;
    match timing.upstream_started.filter(|_| exchange.tries.is_empty()) {
        Some(begun) => timing.started_at + (begun - timing.started),
        None => SystemTime::now(),
    }
}
