//! An instance of a module: its store, its exported functions, and one call at a time into it.

use std::{
    fmt::Write,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use http::HeaderName;
use wasmtime::{Store, Trap};

use super::{
    arguments::Arguments,
    asked::{Asked, Names},
    bindings::{
        direct::exports::sandgate::plugin as direct,
        exports::sandgate::plugin as phases,
        sandgate::plugin::types::{ChunkDecision, RequestDecision, ResponseDecision},
    },
    chain::Plugin,
    deployment::Deployment,
    exchange::Exchange,
    host::wasi::Wasi,
    limits::{CpuLimit, Limiter, Meter, on_tick},
};

/// In which phase the guest is being called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Between calls, or being made.
    Idle,
    /// `describe` or `validate`.
    Inspect,
    /// `configure` or `release`.
    Configure,
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    ResponseBody,
    Log,
    /// `batch` or `timer`.
    Background,
}

/// What the host functions of one instance work on.
pub(super) struct HostState {
    pub(super) exchange: Option<Box<Exchange>>,
    pub(super) plugin: Option<Arc<Plugin>>,
    pub(super) stage: Stage,
    /// What the call asked for so far.
    pub(super) asked: Asked,
    pub(super) names: Names,
    pub(super) worker: u32,
    pub(super) meter: Meter,
    /// The call has no stack of its own, so it cannot yield.
    pub(super) is_direct: bool,
    pub(super) wasi: Option<Box<Wasi>>,
    limiter: Limiter,
    deployment: Arc<Deployment>,
}

impl HostState {
    pub(super) fn deployment(&self) -> &Arc<Deployment> {
        &self.deployment
    }
}

/// Why a call failed. The instance is not used again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    #[error("it trapped: {0}")]
    Trap(String),
    #[error("{0}")]
    Cpu(String),
    #[error("the host panicked in its call")]
    Panic,
    #[error("it cannot be instantiated: {0}")]
    Instantiate(String),
    #[error("it refused its configuration: {0}")]
    Configure(String),
    #[error("every instance stayed busy for {0:?}")]
    Busy(std::time::Duration),
    #[error("it gave back what cannot be: {0}")]
    Output(String),
    #[error("its circuit is open after repeated failures")]
    Open,
    #[error("{0}")]
    Quarantined(Arc<str>),
}

impl From<wasmtime::Error> for CallError {
    fn from(error: wasmtime::Error) -> Self {
        if let Some(limit) = error.downcast_ref::<CpuLimit>() {
            return Self::Cpu(limit.to_string());
        }
        match error.downcast_ref::<Trap>() {
            Some(trap) => Self::Trap(trap.to_string()),
            None => Self::Trap(error.root_cause().to_string()),
        }
    }
}

/// Exported functions, as far as there are any.
struct Guest {
    lifecycle: phases::lifecycle::Guest,
    request_headers: Option<phases::request_headers::Guest>,
    request_head: Option<phases::request_head::Guest>,
    request_body: Option<phases::request_body::Guest>,
    response_headers: Option<phases::response_headers::Guest>,
    response_head: Option<phases::response_head::Guest>,
    response_body: Option<phases::response_body::Guest>,
    log: Option<phases::log::Guest>,
    batch: Option<phases::batch::Guest>,
    timer: Option<phases::timer::Guest>,
    direct: Direct,
}

/// The phases that may be called on the worker's own stack.
struct Direct {
    request_headers: Option<direct::request_headers::Guest>,
    request_head: Option<direct::request_head::Guest>,
    response_headers: Option<direct::response_headers::Guest>,
    response_head: Option<direct::response_head::Guest>,
    log: Option<direct::log::Guest>,
}

/// A live instance.
pub(super) struct Instance {
    store: Store<HostState>,
    guest: Guest,
    arguments: Arguments,
    configured: Vec<u64>,
    released: u64,
    calls: u64,
}

impl Instance {
    /// Makes an instance for `worker`.
    pub(super) async fn new(deployment: Arc<Deployment>, worker: u32) -> Result<Self, CallError> {
        let code = deployment.code.clone();
        let limits = deployment.limits.clone();
        let state = HostState {
            exchange: None,
            plugin: None,
            stage: Stage::Idle,
            asked: Asked::default(),
            names: Names::default(),
            worker,
            meter: Meter::default(),
            is_direct: false,
            wasi: code.needs_wasi.then(|| Box::new(Wasi::new(deployment.name.clone()))),
            limiter: Limiter::new(&limits),
            deployment,
        };
        let released = state.deployment.release_mark();
        let mut store = Store::new(&code.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.epoch_deadline_callback(on_tick);
        store.set_hostcall_fuel(limits.output);
        store.set_epoch_deadline(1);
        let meter = store.data().meter.clone();
        let failed = |error: CallError| CallError::Instantiate(error.to_string());
        let instance = watch(&meter, code.pre.instantiate_async(&mut store)).await.map_err(failed)?;
        let guest = Guest::load(&code.exports, &mut store, &instance).map_err(|error| failed(error.into()))?;
        Ok(Self { store, guest, arguments: Arguments::default(), configured: Vec::new(), released, calls: 0 })
    }

    /// Whether it has served long enough.
    pub(super) fn is_worn(&self) -> bool {
        let limits = &self.store.data().deployment.limits;
        limits.fresh || self.calls >= limits.recycle_after
    }

    /// Takes back what [`Self::lend`] lent, even after a failure.
    pub(super) fn reclaim(&mut self) -> Option<Box<Exchange>> {
        let state = self.store.data_mut();
        state.plugin = None;
        state.stage = Stage::Idle;
        state.exchange.take()
    }

    /// Takes what the last call asked for.
    pub(super) fn take_asked(&mut self) -> Asked {
        std::mem::take(&mut self.store.data_mut().asked)
    }

    /// Lends an exchange for the next call.
    pub(super) fn lend(&mut self, plugin: &Arc<Plugin>, exchange: Option<Box<Exchange>>) {
        let state = self.store.data_mut();
        state.plugin = Some(plugin.clone());
        state.exchange = exchange;
    }

    fn begin(&mut self, stage: Stage) -> Meter {
        self.start(stage, false);
        self.store.data().meter.clone()
    }

    fn start(&mut self, stage: Stage, is_direct: bool) {
        self.calls += 1;
        self.store.set_epoch_deadline(1);
        let state = self.store.data_mut();
        state.stage = stage;
        state.is_direct = is_direct;
        state.meter.reset();
    }

    /// Calls on the worker's own stack, for components that import nothing that waits.
    fn call_now<R>(
        &mut self,
        stage: Stage,
        call: impl FnOnce(&mut Store<HostState>, &Direct, &Arguments) -> Option<wasmtime::Result<R>>,
    ) -> Result<R, CallError> {
        self.start(stage, true);
        let Self { store, guest, arguments, .. } = self;
        // A panic of a host function ends only the call.
        match catch_unwind(AssertUnwindSafe(|| call(store, &guest.direct, arguments))) {
            Ok(Some(answer)) => answer.map_err(CallError::from),
            Ok(None) => Err(not_exported()),
            Err(_panic) => Err(CallError::Panic),
        }
    }

    /// `describe`.
    pub(super) async fn describe(&mut self) -> Result<phases::lifecycle::Manifest, CallError> {
        let meter = self.begin(Stage::Inspect);
        watch(&meter, self.guest.lifecycle.call_describe(&mut self.store)).await
    }

    /// `validate`: place and message of each mistake.
    pub(super) async fn validate(&mut self, config: &str) -> Result<Vec<(String, String)>, CallError> {
        let meter = self.begin(Stage::Inspect);
        let verdict = watch(&meter, self.guest.lifecycle.call_validate(&mut self.store, config)).await?;
        let errors = verdict.err().unwrap_or_default();
        Ok(errors.into_iter().map(|error| (error.path, error.message)).collect())
    }

    /// Makes the configuration known to the instance, and forgets those that are gone. `None`: it knew it already.
    pub(super) async fn configure(
        &mut self,
        config: &super::chain::Configuration,
    ) -> Result<Option<phases::lifecycle::Prepared>, CallError> {
        self.forget_released().await?;
        let (word, bit) = (config.id as usize / 64, 1 << (config.id % 64));
        if self.configured.get(word).is_some_and(|bits| bits & bit != 0) {
            return Ok(None);
        }
        let meter = self.begin(Stage::Configure);
        let call = self.guest.lifecycle.call_configure(&mut self.store, config.id, &config.json, &config.scope);
        let prepared = watch(&meter, call).await?.map_err(|errors| CallError::Configure(describe_errors(&errors)))?;
        if self.configured.len() <= word {
            self.configured.resize(word + 1, 0);
        }
        self.configured[word] |= bit;
        Ok(Some(prepared))
    }

    /// Whether it can be called with the configuration as it is.
    pub(super) fn knows(&self, config: &super::chain::Configuration) -> bool {
        let (word, bit) = (config.id as usize / 64, 1 << (config.id % 64));
        let known = self.configured.get(word).is_some_and(|bits| bits & bit != 0);
        known && !self.store.data().deployment.has_released(self.released)
    }

    async fn forget_released(&mut self) -> Result<(), CallError> {
        let deployment = self.store.data().deployment.clone();
        if !deployment.has_released(self.released) {
            return Ok(());
        }
        let Some((ids, mark)) = deployment.released_since(self.released) else {
            self.calls = u64::MAX;
            return Ok(());
        };
        self.released = mark;
        for id in ids {
            let (word, bit) = (id as usize / 64, 1 << (id % 64));
            if self.configured.get(word).is_none_or(|bits| bits & bit == 0) {
                continue;
            }
            self.configured[word] &= !bit;
            let meter = self.begin(Stage::Configure);
            watch(&meter, self.guest.lifecycle.call_release(&mut self.store, id)).await?;
        }
        Ok(())
    }

    fn fill_request(&mut self, declared: &[HeaderName]) {
        if let Some(exchange) = &self.store.data().exchange {
            self.arguments.fill(declared, &exchange.request.headers, self.guest.request_head.is_some());
        }
    }

    /// Fills the arguments and tells the status of the answer.
    fn fill_response(&mut self, declared: &[HeaderName]) -> u16 {
        match self.store.data().exchange.as_ref().and_then(|exchange| exchange.response.as_ref()) {
            Some(response) => {
                self.arguments.fill(declared, &response.headers, self.guest.response_head.is_some());
                response.status.as_u16()
            }
            None => 0,
        }
    }

    /// `request-headers` on the worker's own stack.
    pub(super) fn on_request_now(
        &mut self,
        config: u32,
        declared: &[HeaderName],
    ) -> Result<RequestDecision, CallError> {
        self.fill_request(declared);
        self.call_now(Stage::RequestHeaders, |store, guest, arguments| {
            if let Some(guest) = &guest.request_head {
                let told = guest.call_on_request(&mut *store, config, &arguments.text);
                return Some(told.map(|()| store.data_mut().asked.request_decision()));
            }
            let guest = guest.request_headers.as_ref()?;
            Some(guest.call_on_request(store, config, &arguments.values, arguments.repeated))
        })
    }

    /// `response-headers` on the worker's own stack.
    pub(super) fn on_response_now(
        &mut self,
        config: u32,
        declared: &[HeaderName],
    ) -> Result<ResponseDecision, CallError> {
        let status = self.fill_response(declared);
        self.call_now(Stage::ResponseHeaders, |store, guest, arguments| {
            if let Some(guest) = &guest.response_head {
                let told = guest.call_on_response(&mut *store, config, status, &arguments.text);
                return Some(told.map(|()| store.data_mut().asked.response_decision()));
            }
            let guest = guest.response_headers.as_ref()?;
            Some(guest.call_on_response(store, config, status, &arguments.values, arguments.repeated))
        })
    }

    /// `log` on the worker's own stack.
    pub(super) fn on_log_now(&mut self, config: u32) -> Result<(), CallError> {
        self.call_now(Stage::Log, |store, guest, _| Some(guest.log.as_ref()?.call_on_log(store, config)))
    }

    /// `request-headers`.
    pub(super) async fn on_request(
        &mut self,
        config: u32,
        declared: &[HeaderName],
    ) -> Result<RequestDecision, CallError> {
        let meter = self.begin(Stage::RequestHeaders);
        self.fill_request(declared);
        if let Some(guest) = &self.guest.request_head {
            watch(&meter, guest.call_on_request(&mut self.store, config, &self.arguments.text)).await?;
            return Ok(self.store.data_mut().asked.request_decision());
        }
        let guest = self.guest.request_headers.as_ref().ok_or_else(not_exported)?;
        watch(&meter, guest.call_on_request(&mut self.store, config, &self.arguments.values, self.arguments.repeated))
            .await
    }

    /// `response-headers`.
    pub(super) async fn on_response(
        &mut self,
        config: u32,
        declared: &[HeaderName],
    ) -> Result<ResponseDecision, CallError> {
        let meter = self.begin(Stage::ResponseHeaders);
        let status = self.fill_response(declared);
        let arguments = &self.arguments;
        if let Some(guest) = &self.guest.response_head {
            watch(&meter, guest.call_on_response(&mut self.store, config, status, &arguments.text)).await?;
            return Ok(self.store.data_mut().asked.response_decision());
        }
        let guest = self.guest.response_headers.as_ref().ok_or_else(not_exported)?;
        watch(&meter, guest.call_on_response(&mut self.store, config, status, &arguments.values, arguments.repeated))
            .await
    }

    /// `request-body`.
    pub(super) async fn on_request_chunk(
        &mut self,
        config: u32,
        chunk: &[u8],
        last: bool,
    ) -> Result<ChunkDecision, CallError> {
        let meter = self.begin(Stage::RequestBody);
        let guest = self.guest.request_body.as_ref().ok_or_else(not_exported)?;
        watch(&meter, guest.call_on_request_chunk(&mut self.store, config, chunk, last)).await
    }

    /// `response-body`.
    pub(super) async fn on_response_chunk(
        &mut self,
        config: u32,
        chunk: &[u8],
        last: bool,
    ) -> Result<ChunkDecision, CallError> {
        let meter = self.begin(Stage::ResponseBody);
        let guest = self.guest.response_body.as_ref().ok_or_else(not_exported)?;
        watch(&meter, guest.call_on_response_chunk(&mut self.store, config, chunk, last)).await
    }

    /// `log`.
    pub(super) async fn on_log(&mut self, config: u32) -> Result<(), CallError> {
        let meter = self.begin(Stage::Log);
        let guest = self.guest.log.as_ref().ok_or_else(not_exported)?;
        watch(&meter, guest.call_on_log(&mut self.store, config)).await
    }

    /// `batch`: the plugin's own error is the inner one.
    pub(super) async fn on_batch(&mut self, config: u32, entries: &[Vec<u8>]) -> Result<Result<(), String>, CallError> {
        let meter = self.begin(Stage::Background);
        let guest = self.guest.batch.as_ref().ok_or_else(not_exported)?;
        watch(&meter, guest.call_on_batch(&mut self.store, config, entries)).await
    }

    /// `timer`: the plugin's own error is the inner one.
    pub(super) async fn on_timer(&mut self, config: u32) -> Result<Result<(), String>, CallError> {
        let meter = self.begin(Stage::Background);
        let guest = self.guest.timer.as_ref().ok_or_else(not_exported)?;
        watch(&meter, guest.call_on_timer(&mut self.store, config)).await
    }
}

impl Guest {
    fn load(
        exports: &super::catalog::Exports,
        store: &mut Store<HostState>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<Self> {
        macro_rules! phase {
            ($($name:ident).+) => {
                exports.$($name).+.as_ref().map(|indices| indices.load(&mut *store, instance)).transpose()?
            };
        }
        Ok(Self {
            lifecycle: exports.lifecycle.load(&mut *store, instance)?,
            request_headers: phase!(request_headers),
            request_head: phase!(request_head),
            request_body: phase!(request_body),
            response_headers: phase!(response_headers),
            response_head: phase!(response_head),
            response_body: phase!(response_body),
            log: phase!(log),
            batch: phase!(batch),
            timer: phase!(timer),
            direct: Direct {
                request_headers: phase!(direct.request_headers),
                request_head: phase!(direct.request_head),
                response_headers: phase!(direct.response_headers),
                response_head: phase!(direct.response_head),
                log: phase!(direct.log),
            },
        })
    }
}

fn not_exported() -> CallError {
    CallError::Output("the phase is not exported".into())
}

fn describe_errors(errors: &[phases::lifecycle::ConfigError]) -> String {
    errors.iter().fold(String::new(), |mut text, error| {
        let separator = if text.is_empty() { "" } else { "; " };
        let _ = write!(text, "{separator}{}: {}", error.path, error.message);
        text
    })
}

/// Awaits a call: the time between polls is not counted as its own, and a panic of a host function ends only the call.
async fn watch<R>(meter: &Meter, call: impl Future<Output = wasmtime::Result<R>>) -> Result<R, CallError> {
    let mut call = pin!(call);
    std::future::poll_fn(|context| {
        meter.resume();
        match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(answer.map_err(CallError::from)),
            Err(_panic) => Poll::Ready(Err(CallError::Panic)),
        }
    })
    .await
}
