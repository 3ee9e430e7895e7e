//! A module as an operator runs it: code, grants, limits, failure policy, health.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use super::{
    catalog::LoadedModule, grants::Grants, health::Health, host::Services, instance::CallError, limits::Limits,
    manifest::Manifest,
};
use crate::telemetry::{Counter, Metrics, metric};

/// What a failed plugin does to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The request is answered 503.
    Closed,
    /// The request goes on without the plugin.
    Open,
}

/// A module in use. A new one is made when code, grants, limits or policy change; requests in flight end on the old one.
#[derive(Debug)]
pub struct Deployment {
    /// Never reused in this process.
    pub id: u64,
    /// Name of the plugin.
    pub name: Arc<str>,
    /// Compiled code.
    pub code: Arc<LoadedModule>,
    /// What the module says of itself.
    pub manifest: Arc<Manifest>,
    /// Effective capabilities.
    pub grants: Grants,
    /// Bounds of its instances.
    pub limits: Limits,
    /// What its failures do to requests.
    pub policy: FailurePolicy,
    /// Higher runs earlier.
    pub priority: i32,
    /// Failures and the circuit.
    pub health: Health,
    pub(super) services: Arc<Services>,
    pub(super) failures: Failures,
    /// Place in every worker's table of pools; reused after the deployment has gone.
    pub(super) slot: Slot,
    configs: AtomicU32,
    users: AtomicU64,
    released: Mutex<Released>,
    releases: AtomicU64,
    /// A call took long enough to be in the way of others.
    lingers: AtomicBool,
}

/// What went wrong, for `/metrics`.
#[derive(Debug)]
pub(super) struct Failures {
    traps: Arc<Counter>,
    timeouts: Arc<Counter>,
    pub(super) rejections: Arc<Counter>,
}

impl Failures {
    fn of(metrics: &Metrics, plugin: &str) -> Self {
        // A name that exists as another kind cannot be: these three are counters only.
        let counter = |definition| metrics.counter(definition, &[("plugin", plugin)]).unwrap_or_default();
        Self {
            traps: counter(&metric::PLUGIN_TRAPS),
            timeouts: counter(&metric::PLUGIN_TIMEOUTS),
            rejections: counter(&metric::PLUGIN_REJECTIONS),
        }
    }
}

/// Configurations that no request uses any more, in the order they were let go.
#[derive(Debug, Default)]
struct Released {
    first: u64,
    ids: VecDeque<u32>,
}

/// At most so many released configurations are remembered; an instance that lags further behind is replaced.
const REMEMBERED: usize = 4_096;

/// What an operator decided about a module.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Effective capabilities.
    pub grants: Grants,
    /// Bounds of its instances.
    pub limits: Limits,
    /// What its failures do to requests.
    pub policy: FailurePolicy,
    /// Higher runs earlier.
    pub priority: i32,
}

impl Deployment {
    pub(super) fn new(code: Arc<LoadedModule>, manifest: Arc<Manifest>, terms: Terms, services: Arc<Services>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let failures = Failures::of(&services.telemetry, &manifest.name);
        Self {
            id: NEXT.fetch_add(1, Relaxed),
            name: manifest.name.as_str().into(),
            code,
            manifest,
            grants: terms.grants,
            limits: terms.limits,
            policy: terms.policy,
            priority: terms.priority,
            health: Health::default(),
            failures,
            services,
            slot: Slot::take(),
            configs: AtomicU32::new(0),
            users: AtomicU64::new(0),
            released: Mutex::default(),
            releases: AtomicU64::new(0),
            lingers: AtomicBool::new(false),
        }
    }

    /// Whether its calls may run on the worker's own stack: none waits, and none has been found to take long.
    pub(super) fn is_direct(&self) -> bool {
        !self.code.may_wait && !self.lingers.load(Relaxed)
    }

    /// From now on its calls get a stack of their own, so that they can yield.
    pub(super) fn found_lingering(&self) {
        if !self.lingers.swap(true, Relaxed) {
            tracing::info!(plugin = %self.name, "calls take long: from now on they yield to other requests");
        }
    }

    /// A number for a configuration, unused so far. The deployment is in use until it is released.
    pub(super) fn next_config(&self) -> u32 {
        self.users.fetch_add(1, Relaxed);
        self.configs.fetch_add(1, Relaxed)
    }

    /// Whether no configuration uses it: idle instances may go.
    pub(super) fn is_unused(&self) -> bool {
        self.users.load(Relaxed) == 0
    }

    /// The configuration may be forgotten by every instance.
    pub(super) fn release(&self, config: u32) {
        self.users.fetch_sub(1, Relaxed);
        let mut released = self.lock_released();
        released.ids.push_back(config);
        if released.ids.len() > REMEMBERED {
            released.ids.pop_front();
            released.first += 1;
        }
        self.releases.fetch_add(1, Relaxed);
    }

    /// Whether there is something to forget since `seen`.
    pub(super) fn has_released(&self, seen: u64) -> bool {
        self.releases.load(Relaxed) != seen
    }

    /// What was let go since `seen`, and the new mark. `None`: the memory does not reach back.
    pub(super) fn released_since(&self, seen: u64) -> Option<(Vec<u32>, u64)> {
        let released = self.lock_released();
        let skip = usize::try_from(seen.checked_sub(released.first)?).ok()?;
        let ids: Vec<u32> = released.ids.iter().skip(skip).copied().collect();
        Some((ids, released.first + released.ids.len() as u64))
    }

    /// Mark of a new instance: it knows nothing that could have been let go.
    pub(super) fn release_mark(&self) -> u64 {
        let released = self.lock_released();
        released.first + released.ids.len() as u64
    }

    /// Counts a failure of a call.
    pub(super) fn failed(&self, error: &CallError) {
        match error {
            CallError::Cpu(_) => self.failures.timeouts.add(1),
            _ => self.failures.traps.add(1),
        }
        let reason = error.to_string();
        self.health.failed(&reason, Instant::now());
        tracing::warn!(plugin = %self.name, digest = %self.code.digest, reason, "a plugin call failed");
    }

    fn lock_released(&self) -> MutexGuard<'_, Released> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A small number that one deployment has at a time.
#[derive(Debug)]
pub(super) struct Slot(pub(super) usize);

static FREE: Mutex<(usize, Vec<usize>)> = Mutex::new((0, Vec::new()));

impl Slot {
    fn take() -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let number = free.1.pop().unwrap_or_else(|| {
            free.0 += 1;
            free.0 - 1
        });
        Self(number)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        FREE.lock().unwrap_or_else(PoisonError::into_inner).1.push(self.0);
    }
}
