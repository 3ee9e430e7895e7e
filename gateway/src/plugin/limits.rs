//! What a module may use: CPU time a call, memory, tables, bytes through host calls, and the size of what it gives back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use super::instance::HostState;

/// Bounds of one module's instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// CPU time a call may take, measured in ticks of 5 ms. Default 50 ms.
    pub cpu: Duration,
    /// Bytes of linear memory. Default 16 MiB.
    pub memory: usize,
    /// Elements of a table. Default 20,000.
    pub table_elements: usize,
    /// Headers that a plugin may hand back in one call, on each side: the request's and the answer's. Default 100.
    pub headers: usize,
    /// Bytes that a plugin may hand back in one decision or host call, and in all header changes that a call asks for.
    /// Default 8 MiB.
    pub output: usize,
    /// Instances a worker keeps at once. Default 8.
    pub instances: usize,
    /// Calls after which an instance is replaced. Default 100,000.
    pub recycle_after: u64,
    /// A fresh instance for every call.
    pub fresh: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(50),
            memory: 16 << 20,
            table_elements: 20_000,
            headers: 100,
            output: 8 << 20,
            instances: 8,
            recycle_after: 100_000,
            fresh: false,
        }
    }
}

/// Refuses growth beyond the limits; the guest sees a failed allocation.
#[derive(Debug)]
pub(super) struct Limiter {
    memory: usize,
    table_elements: usize,
}

impl Limiter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { memory: limits.memory, table_elements: limits.table_elements }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.memory)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.table_elements)
    }

    fn memories(&self) -> usize {
        1
    }
}

/// A call used more CPU time than it may.
#[derive(Debug, thiserror::Error)]
#[error("the call took more than {0:?} of CPU time")]
pub(super) struct CpuLimit(Duration);

/// Measures the CPU time of one call, from the first tick of the epoch that finds it running. An ordinary call ends
/// before any tick and pays for nothing: the thread's CPU clock is read only at ticks, and at each resume after one.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Arc<MeterCells>);

#[derive(Debug, Default)]
struct MeterCells {
    /// Nanoseconds used up to the last tick.
    used: AtomicU64,
    /// Thread CPU clock when the call last went on, in nanoseconds; 0 as long as no tick has found it running.
    resumed: AtomicU64,
}

impl Meter {
    /// Before a call.
    pub(super) fn reset(&self) {
        self.0.used.store(0, Relaxed);
        self.0.resumed.store(0, Relaxed);
    }

    /// Before each poll of the call: the time between polls is not its own.
    pub(super) fn resume(&self) {
        if self.0.resumed.load(Relaxed) != 0 {
            self.0.resumed.store(thread_cpu(), Relaxed);
        }
    }

    /// At a tick, within the call: the time used so far, as far as it is known.
    fn tick(&self) -> Duration {
        let now = thread_cpu();
        let since = self.0.resumed.swap(now, Relaxed);
        let spent = if since == 0 { 0 } else { now.saturating_sub(since) };
        Duration::from_nanos(self.0.used.fetch_add(spent, Relaxed) + spent)
    }
}

/// A call that takes this much is no longer made on the worker's own stack.
const LINGERING: Duration = Duration::from_millis(2);

/// What happens at a tick: go on after a yield, so that other requests of the worker proceed, or end the call. A call on
/// the worker's own stack cannot yield: it goes on, and the next calls of its module get a stack of their own.
pub(super) fn on_tick(mut store: StoreContextMut<'_, HostState>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data_mut();
    let limit = state.deployment().limits.cpu;
    let used = state.meter.tick();
    if used >= LINGERING && state.is_direct {
        state.deployment().found_lingering();
    }
    if used >= limit {
        return Err(CpuLimit(limit).into());
    }
    Ok(if state.is_direct { UpdateDeadline::Continue(1) } else { UpdateDeadline::Yield(1) })
}

/// CPU time of this thread in nanoseconds, never 0. By the C library: a direct look at the vDSO fails under valgrind.
fn thread_cpu() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).max(1)
}
