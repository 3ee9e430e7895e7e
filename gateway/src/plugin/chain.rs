//! The plugins of a route in the order they run, and the walk through them.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use http::HeaderName;

use super::{
    apply,
    background::Queue,
    bindings::{exports::sandgate::plugin::lifecycle::Scope, sandgate::plugin::types::ChunkDecision},
    deployment::{Deployment, FailurePolicy},
    exchange::Held,
    instance::CallError,
    phases::Phases,
    worker::Lease,
};

/// A configuration of a plugin, as instances get it.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) id: u32,
    pub(super) json: Arc<str>,
    pub(super) scope: Scope,
}

/// A plugin entity, ready to run or known to be broken.
#[derive(Debug)]
pub struct Plugin {
    /// Id of the plugin entity.
    pub id: Arc<str>,
    /// Name of the plugin.
    pub name: Arc<str>,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    Ready(Ready),
    /// Every request that selects it fails, or goes on without it where the operator said so.
    Quarantined(Arc<str>, FailurePolicy),
}

/// What a call needs.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) deployment: Arc<Deployment>,
    pub(super) configuration: Configuration,
    pub(super) request_headers: Vec<HeaderName>,
    pub(super) response_headers: Vec<HeaderName>,
    pub(super) queue: Option<Arc<Queue>>,
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.deployment.release(self.configuration.id);
    }
}

impl Plugin {
    /// A plugin that cannot run; requests that would need it are refused, whatever its module would have said.
    pub fn quarantined(id: Arc<str>, name: Arc<str>, reason: impl Into<Arc<str>>) -> Self {
        Self { id, name, state: State::Quarantined(reason.into(), FailurePolicy::Closed) }
    }

    /// A plugin that cannot run with its configuration; its module says what that does to requests.
    pub(super) fn misconfigured(id: Arc<str>, deployment: &Deployment, reason: impl Into<Arc<str>>) -> Self {
        Self { id, name: deployment.name.clone(), state: State::Quarantined(reason.into(), deployment.policy) }
    }

    /// Why it cannot run, if so.
    pub fn quarantine(&self) -> Option<&Arc<str>> {
        match &self.state {
            State::Ready(_) => None,
            State::Quarantined(reason, _) => Some(reason),
        }
    }

    /// Whether it finds out who the consumer is: plugins before it see none.
    pub fn finds_consumers(&self) -> bool {
        let State::Ready(ready) = &self.state else { return false };
        let manifest = &ready.deployment.manifest;
        !manifest.consumer_scope && manifest.capabilities.iter().any(|asked| asked.name == "consumers")
    }

    pub(super) fn exports(&self, phase: Phases) -> bool {
        match &self.state {
            State::Ready(ready) => ready.deployment.code.phases.has(phase),
            // A broken plugin stands for its request phase: that is where it refuses, if it does.
            State::Quarantined(_, FailurePolicy::Closed) => phase == Phases::REQUEST_HEADERS,
            State::Quarantined(_, FailurePolicy::Open) => false,
        }
    }

    /// The failure, unless the operator said that requests go on without the plugin.
    fn fail(&self, error: &CallError) -> Result<(), PluginFailure> {
        if let State::Ready(ready) = &self.state {
            if !matches!(error, CallError::Open) {
                ready.deployment.failed(error);
            }
            if ready.deployment.policy == FailurePolicy::Open {
                return Ok(());
            }
            ready.deployment.failures.rejections.add(1);
        }
        Err(PluginFailure { plugin: self.name.clone(), reason: error.to_string() })
    }
}

/// Configurations of one plugin name that can win on a route.
#[derive(Debug, Default)]
pub struct Slot {
    /// For a consumer together with the route or the service.
    pub consumer_and_route: HashMap<Arc<str>, Arc<Plugin>>,
    /// For the route and the service together.
    pub route_and_service: Option<Arc<Plugin>>,
    /// For a consumer alone; shared by all routes.
    pub consumer: Option<Arc<HashMap<Arc<str>, Arc<Plugin>>>>,
    /// For the route, else the service, else all requests.
    pub broad: Option<Arc<Plugin>>,
    /// Which of these `broad` is for.
    pub reach: Reach,
}

/// What a configuration without a consumer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// All requests.
    #[default]
    Everywhere,
    /// Those of a service.
    Service,
    /// Those of a route.
    Route,
}

impl Slot {
    /// The one configuration that applies, by the precedence of scopes.
    pub(crate) fn pick(&self, consumer: Option<&str>) -> Option<&Arc<Plugin>> {
        if let Some(consumer) = consumer
            && let Some(plugin) = self.consumer_and_route.get(consumer)
        {
            return Some(plugin);
        }
        if self.route_and_service.is_some() {
            return self.route_and_service.as_ref();
        }
        let of_consumer = consumer.and_then(|consumer| self.consumer.as_ref()?.get(consumer));
        of_consumer.or(self.broad.as_ref())
    }
}

/// The plugins of a route, highest priority first.
#[derive(Debug, Default)]
pub struct Chain {
    slots: Vec<Slot>,
}

/// What the request phases decided.
#[derive(Debug)]
pub enum Flow {
    /// Go on to the upstream.
    Continue,
    /// A plugin answered: the head is in `exchange.response`, the body here.
    Answer(Bytes),
    /// A plugin refused: the proxy words the answer in the format that the client accepts and sets `exchange.response`.
    Refuse(Refusal),
}

/// An answer for the gateway to word.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// 400 to 599.
    pub status: http::StatusCode,
    /// For the client.
    pub message: String,
    /// Headers of the answer.
    pub headers: http::HeaderMap,
}

/// Why a plugin counts as failed.
#[derive(Debug, thiserror::Error)]
#[error("plugin {plugin} failed: {reason}")]
pub struct PluginFailure {
    /// Name of the plugin.
    pub plugin: Arc<str>,
    /// For the log and the Admin API, never for clients.
    pub reason: String,
}

/// Which body a filter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Request bodies on their way to the upstream.
    Request,
    /// Response bodies on their way to the client.
    Response,
}

impl Direction {
    fn phase(self) -> Phases {
        match self {
            Self::Request => Phases::REQUEST_BODY,
            Self::Response => Phases::RESPONSE_BODY,
        }
    }
}

/// Why a body stops.
#[derive(Debug)]
pub enum ChunkStop {
    /// A plugin refused the request.
    Refuse(Refusal),
    /// A plugin failed.
    Failed(PluginFailure),
}

impl Chain {
    /// From slots in the order in which they run.
    pub fn new(slots: Vec<Slot>) -> Self {
        Self { slots }
    }

    /// In the order in which they run.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Whether no plugin takes part.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Selects the plugins for this exchange one by one and runs their request phases. After an answer or refusal the
    /// selection goes on, the request phases do not.
    pub async fn on_request(&self, exchange: &mut Held) -> Result<Flow, PluginFailure> {
        let mut outcome = Ok(Flow::Continue);
        for slot in &self.slots {
            let consumer = exchange.consumer.as_ref().map(|entry| &*entry.consumer.id);
            let Some(plugin) = slot.pick(consumer).cloned() else { continue };
            exchange.selected.push(plugin.clone());
            if matches!(outcome, Ok(Flow::Continue)) && plugin.exports(Phases::REQUEST_HEADERS) {
                let began = exchange.clock();
                let now = Entered::now(&plugin, exchange).map(Entered::request);
                let answer = match now {
                    Some(answer) => answer,
                    None => Box::pin(call_request(&plugin, exchange)).await,
                };
                exchange.spent(began, |trace, took| trace.call(Phases::REQUEST_HEADERS, &plugin, took));
                outcome = answer.or_else(|error| plugin.fail(&error).map(|()| Flow::Continue));
            }
        }
        outcome
    }

    /// Selects the plugins without running their request phases: for requests that match no route.
    pub fn select(&self, exchange: &mut Held) {
        for slot in &self.slots {
            if let Some(plugin) = slot.pick(None) {
                exchange.selected.push(plugin.clone());
            }
        }
    }

    /// Applies what the request phases asked for (`response_changes`) and runs the response phases of the selected plugins
    /// on `exchange.response`. `Some`: a plugin replaced the body.
    pub async fn on_response(exchange: &mut Held) -> Result<Option<Bytes>, PluginFailure> {
        apply::deferred(exchange);
        let mut body = None;
        for place in 0..exchange.selected.len() {
            if exchange.selected[place].exports(Phases::RESPONSE_HEADERS) {
                let plugin = exchange.selected[place].clone();
                let began = exchange.clock();
                let now = Entered::now(&plugin, exchange).map(Entered::response);
                let answer = match now {
                    Some(answer) => answer,
                    None => Box::pin(call_response(&plugin, exchange)).await,
                };
                exchange.spent(began, |trace, took| trace.call(Phases::RESPONSE_HEADERS, &plugin, took));
                let replaced = answer.or_else(|error| plugin.fail(&error).map(|()| None))?;
                body = replaced.or(body);
            }
        }
        Ok(body)
    }

    /// Whether a selected plugin wants to see chunks of this body.
    pub fn filters(exchange: &Held, direction: Direction) -> bool {
        exchange.selected.iter().any(|plugin| plugin.exports(direction.phase()))
    }

    /// Sends a chunk (at most 64 KiB) through the selected plugins that export the phase. `Refuse` only for request bodies.
    pub async fn on_chunk(
        exchange: &mut Held,
        direction: Direction,
        chunk: Bytes,
        last: bool,
    ) -> Result<Bytes, ChunkStop> {
        let mut chunk = chunk;
        for place in 0..exchange.selected.len() {
            if exchange.selected[place].exports(direction.phase()) {
                let plugin = exchange.selected[place].clone();
                let began = exchange.clock();
                let filtered = Box::pin(body_phase(&plugin, exchange, direction, (chunk, last))).await;
                exchange.spent(began, |trace, took| trace.call(direction.phase(), &plugin, took));
                chunk = filtered?;
            }
        }
        Ok(chunk)
    }

    /// Whether a selected plugin exports the log phase.
    pub fn logs(exchange: &Held) -> bool {
        !exchange.is_away() && exchange.selected.iter().any(|plugin| plugin.exports(Phases::LOG))
    }

    /// Runs the log phases of the selected plugins.
    pub async fn on_log(exchange: &mut Held) {
        for place in 0..exchange.selected.len() {
            if !exchange.selected[place].exports(Phases::LOG) {
                continue;
            }
            let plugin = exchange.selected[place].clone();
            let now = Entered::now(&plugin, exchange).map(Entered::log);
            let answer = match now {
                Some(answer) => answer,
                None => Box::pin(call_log(&plugin, exchange)).await,
            };
            if let Err(error) = answer {
                // Nothing to refuse any more: the failure is counted and logged.
                let _ = plugin.fail(&error);
            }
        }
    }
}

async fn body_phase(
    plugin: &Arc<Plugin>,
    exchange: &mut Held,
    direction: Direction,
    (chunk, last): (Bytes, bool),
) -> Result<Bytes, ChunkStop> {
    match call_chunk(plugin, exchange, direction, (&chunk, last)).await {
        Ok(ChunkDecision::Pass) => Ok(chunk),
        Ok(ChunkDecision::Replace(bytes)) => Ok(bytes.into()),
        Ok(ChunkDecision::Refuse(raw)) => match apply::refusal(raw) {
            Ok(refusal) if direction == Direction::Request => Err(ChunkStop::Refuse(refusal)),
            _ => {
                let error = CallError::Output("a response body cannot be refused any more".into());
                plugin.fail(&error).map(|()| chunk).map_err(ChunkStop::Failed)
            }
        },
        Err(error) => plugin.fail(&error).map(|()| chunk).map_err(ChunkStop::Failed),
    }
}

/// A leased instance that knows the plugin's configuration and has the exchange.
struct Entered<'p, 'e> {
    ready: &'p Ready,
    lease: Lease,
    exchange: &'e mut Held,
}

impl<'p, 'e> Entered<'p, 'e> {
    async fn new(plugin: &'p Arc<Plugin>, exchange: &'e mut Held) -> Result<Self, CallError> {
        let ready = match &plugin.state {
            State::Ready(ready) => ready,
            State::Quarantined(reason, _) => return Err(CallError::Quarantined(reason.clone())),
        };
        if !ready.deployment.health.admits() {
            return Err(CallError::Open);
        }
        let mut lease = match Lease::idle(&ready.deployment) {
            Some(lease) if lease.knows(&ready.configuration) => lease,
            // Boxed, since it is rare and its future is large: it would be moved about with every call otherwise.
            idle => Box::pin(prepared(idle, ready)).await?,
        };
        lease.instance().lend(plugin, Some(exchange.lend()));
        Ok(Self { ready, lease, exchange })
    }

    /// On the worker's own stack, if the plugin may be called so and an instance is ready for it: the common case, in which
    /// nothing is awaited.
    fn now(plugin: &'p Arc<Plugin>, exchange: &'e mut Held) -> Option<Self> {
        let State::Ready(ready) = &plugin.state else { return None };
        if !ready.deployment.is_direct() || !ready.deployment.health.is_closed() {
            return None;
        }
        let mut lease = Lease::knowing(&ready.deployment, &ready.configuration)?;
        lease.instance().lend(plugin, Some(exchange.lend()));
        Some(Self { ready, lease, exchange })
    }

    fn request(mut self) -> Result<Flow, CallError> {
        let ready = self.ready;
        let answer = self.lease.instance().on_request_now(ready.configuration.id, &ready.request_headers);
        let asked = self.lease.instance().take_asked();
        let (decision, exchange) = self.leave(answer)?;
        apply::request(decision, asked, exchange, &ready.deployment.limits)
    }

    fn response(mut self) -> Result<Option<Bytes>, CallError> {
        let ready = self.ready;
        let answer = self.lease.instance().on_response_now(ready.configuration.id, &ready.response_headers);
        let asked = self.lease.instance().take_asked();
        let (decision, exchange) = self.leave(answer)?;
        apply::response(decision, asked, exchange, &ready.deployment.limits)
    }

    fn log(mut self) -> Result<(), CallError> {
        let answer = self.lease.instance().on_log_now(self.ready.configuration.id);
        self.leave(answer).map(drop)
    }

    /// Takes the exchange back; the instance goes to its pool only after a success.
    fn leave<R>(mut self, answer: Result<R, CallError>) -> Result<(R, &'e mut Held), CallError> {
        if let Some(exchange) = self.lease.instance().reclaim() {
            self.exchange.give_back(exchange);
        }
        if answer.is_ok() {
            self.ready.deployment.health.succeeded();
            self.lease.give_back();
        }
        answer.map(|answer| (answer, self.exchange))
    }
}

/// An instance that knows the configuration, made or taught if need be.
async fn prepared(idle: Option<Lease>, ready: &Ready) -> Result<Lease, CallError> {
    let mut lease = match idle {
        Some(lease) => lease,
        None => Lease::take(&ready.deployment).await?,
    };
    lease.instance().configure(&ready.configuration).await?;
    Ok(lease)
}

async fn call_request(plugin: &Arc<Plugin>, exchange: &mut Held) -> Result<Flow, CallError> {
    let mut entered = Entered::new(plugin, exchange).await?;
    let ready = entered.ready;
    let answer = entered.lease.instance().on_request(ready.configuration.id, &ready.request_headers).await;
    let asked = entered.lease.instance().take_asked();
    let (decision, exchange) = entered.leave(answer)?;
    apply::request(decision, asked, exchange, &ready.deployment.limits)
}

async fn call_response(plugin: &Arc<Plugin>, exchange: &mut Held) -> Result<Option<Bytes>, CallError> {
    let mut entered = Entered::new(plugin, exchange).await?;
    let ready = entered.ready;
    let answer = entered.lease.instance().on_response(ready.configuration.id, &ready.response_headers).await;
    let asked = entered.lease.instance().take_asked();
    let (decision, exchange) = entered.leave(answer)?;
    apply::response(decision, asked, exchange, &ready.deployment.limits)
}

async fn call_chunk(
    plugin: &Arc<Plugin>,
    exchange: &mut Held,
    direction: Direction,
    (chunk, last): (&[u8], bool),
) -> Result<ChunkDecision, CallError> {
    let mut entered = Entered::new(plugin, exchange).await?;
    let config = entered.ready.configuration.id;
    let instance = entered.lease.instance();
    let answer = match direction {
        Direction::Request => instance.on_request_chunk(config, chunk, last).await,
        Direction::Response => instance.on_response_chunk(config, chunk, last).await,
    };
    entered.leave(answer).map(|(decision, _)| decision)
}

async fn call_log(plugin: &Arc<Plugin>, exchange: &mut Held) -> Result<(), CallError> {
    let mut entered = Entered::new(plugin, exchange).await?;
    let config = entered.ready.configuration.id;
    let answer = entered.lease.instance().on_log(config).await;
    entered.leave(answer).map(drop)
}
