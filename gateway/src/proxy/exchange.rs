//! One request on one screen.

use std::{
    ops::{Deref, DerefMut},
    rc::Rc,
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::{
    Body, Failure, Proxy, Session, access_log, answer,
    begin::begin,
    forward::{self, Proxied},
    headers, linger,
    logging::Running,
    routing::{self, Routed},
    upgrade,
};
use crate::{
    plugin::{Chain, Direction, Flow, Held, Origin, ResponseHead},
    snapshot::Snapshot,
};

/// The body of an answer; its head is in the exchange.
enum Answer {
    Made(Bytes),
    Proxied(Proxied),
}

/// Answers one request. Every path ends in an answer.
pub(super) async fn serve(proxy: Rc<Proxy>, session: Rc<Session>, request: Box<Request<Incoming>>) -> Response<Body> {
    let snapshot = proxy.snapshot();
    let (exchange, admitted) = begin(&proxy, &session, &snapshot, request);
    let mut exchange = Care::new(exchange, proxy.clone());
    let outcome = match admitted {
        Ok(()) => run(&proxy, &session, &snapshot, &mut exchange).await,
        Err(failure) => Err(failure),
    };
    let answer = outcome.unwrap_or_else(|failure| word(&mut exchange, failure));
    let answer = respond(&mut exchange, answer).await;
    if upgrade::is_switched(&exchange)
        && let Answer::Proxied(body) = answer
    {
        return upgrade::switch(&proxy, &session, exchange, body);
    }
    finish(&proxy, exchange, answer)
}

async fn run(proxy: &Proxy, session: &Session, snapshot: &Snapshot, exchange: &mut Care) -> Result<Answer, Failure> {
    let routed = route(session, snapshot, exchange)?;
    match routed.entry.chain.on_request(exchange).await? {
        Flow::Answer(body) => return Ok(Answer::Made(answer::suit(exchange, body))),
        Flow::Refuse(refusal) => return Err(Failure::Refused(Box::new(refusal))),
        Flow::Continue => {}
    }
    let (mut head, body) = forward::send(proxy, session, exchange, &routed).await?.into_parts();
    headers::receive(&mut head.headers, head.status, proxy, exchange);
    exchange.response = Some(ResponseHead { status: head.status, headers: head.headers, origin: Origin::Upstream });
    Ok(Answer::Proxied(body))
}

/// Settles the route. Without one that may be taken, the plugins of all requests see the answer.
fn route(session: &Session, snapshot: &Snapshot, exchange: &mut Care) -> Result<Routed, Failure> {
    let began = exchange.clock();
    let found = routing::find(snapshot, exchange, session);
    exchange.spent(began, |trace, took| trace.router = Some(took));
    let found = found.and_then(|routed| routing::admit(&routed, exchange, session).map(|()| routed));
    match found {
        Ok(routed) => {
            routing::follow(&routed, exchange);
            Ok(routed)
        }
        Err(failure) => {
            snapshot.global.select(exchange);
            Err(failure)
        }
    }
}

fn word(exchange: &mut Care, failure: Failure) -> Answer {
    exchange.tell(&failure);
    let settings = exchange.proxy.settings();
    Answer::Made(answer::word(exchange, failure, &settings.errors))
}

/// Runs the response phases.
async fn respond(exchange: &mut Care, answer: Answer) -> Answer {
    let now = exchange.clock();
    exchange.spent(now, |trace, _| trace.answered = now);
    if exchange.selected.is_empty() && exchange.response_changes.is_empty() {
        return answer;
    }
    match Chain::on_response(exchange).await {
        Ok(None) => answer,
        Ok(Some(body)) => {
            if let Some(head) = &mut exchange.response {
                head.headers.remove(header::CONTENT_LENGTH);
                head.headers.remove(header::TRANSFER_ENCODING);
            }
            Answer::Made(body)
        }
        Err(failure) => word(exchange, Failure::Plugin(failure)),
    }
}

/// The finished answer, with whatever still has to happen to its body.
fn finish(proxy: &Proxy, mut exchange: Care, mut answer: Answer) -> Response<Body> {
    if let (Answer::Made(bytes), Some(head)) = (&answer, &mut exchange.response)
        && head.status != StatusCode::NO_CONTENT
    {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    headers::finish(proxy, &mut exchange);
    let filters = !exchange.selected.is_empty() && Chain::filters(&exchange, Direction::Response);
    let upload = match &mut answer {
        Answer::Proxied(body) if !exchange.selected.is_empty() => body.take_upload(),
        Answer::Proxied(_) | Answer::Made(_) => None,
    };
    let keeps = filters || upload.is_some() || exchange.is_logged();
    let head = if keeps { exchange.response.clone() } else { exchange.response.take() };
    let head = head.unwrap_or_else(|| ResponseHead {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        headers: HeaderMap::new(),
        origin: Origin::Gateway,
    });
    let body = match answer {
        Answer::Made(bytes) => Body::from(bytes),
        Answer::Proxied(body) => Body::proxied(body),
    };
    let mut response = Response::new(if keeps { body.kept(exchange, filters, upload) } else { body });
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    if filters {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response
}

/// An exchange whose log phase runs whatever becomes of it: when the answer has been sent, or the client has gone.
pub(super) struct Care {
    exchange: Option<Held>,
    proxy: Rc<Proxy>,
}

impl Care {
    fn new(exchange: Held, proxy: Rc<Proxy>) -> Self {
        Self { exchange: Some(exchange), proxy }
    }

    /// Takes the exchange out to lend it to a body on its way; this one is hollow until it gets it back.
    pub(super) fn lend(&mut self) -> Self {
        Self { exchange: self.exchange.take(), proxy: self.proxy.clone() }
    }

    /// Logs and counts what went wrong.
    pub(super) fn tell(&self, failure: &Failure) {
        failure.log(self.id.as_str(), self.client, &self.proxy.settings().refusals);
    }

    /// Whether anyone wants to hear of the exchange when it is over.
    fn is_logged(&self) -> bool {
        self.proxy.settings().access_log.is_some() || (!self.selected.is_empty() && Chain::logs(self))
    }
}

impl Deref for Care {
    type Target = Held;

    fn deref(&self) -> &Held {
        self.exchange.as_ref().expect("taken only when it is dropped")
    }
}

impl DerefMut for Care {
    fn deref_mut(&mut self) -> &mut Held {
        self.exchange.as_mut().expect("taken only when it is dropped")
    }
}

impl Drop for Care {
    fn drop(&mut self) {
        // A plugin call that was dropped took the exchange along.
        let Some(exchange) = self.exchange.as_mut().filter(|exchange| !exchange.is_away()) else { return };
        linger::over(exchange);
        if !self.is_logged() {
            return;
        }
        if let Some(exchange) = self.exchange.take() {
            let (proxy, running) = (self.proxy.clone(), self.proxy.logs.begin());
            tokio::task::spawn_local(log(proxy, exchange, running));
        }
    }
}

async fn log(proxy: Rc<Proxy>, mut exchange: Held, _running: Running) {
    exchange.timing.finished = Some(Instant::now());
    if exchange.response.is_none() {
        // The client went away before there was an answer: nginx's status for that.
        let status = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
        exchange.response = Some(ResponseHead { status, headers: HeaderMap::new(), origin: Origin::Gateway });
    }
    Chain::on_log(&mut exchange).await;
    if let Some(log) = proxy.settings().access_log.as_ref().filter(|_| !exchange.is_away()) {
        log.note(access_log::line(&exchange));
    }
}
