//! The wasmtime engine, its ticker, and the linkers. One of each in a process.

use std::{path::Path, thread, time::Duration};

use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    component::{HasSelf, Linker},
};

use super::{bindings::sandgate::plugin as wit, instance::HostState};

/// Ticks at which running calls yield and their CPU time is looked at.
const TICK: Duration = Duration::from_millis(5);
/// Instances, memories and call stacks that may exist at once, all workers and the background together; and the address
/// space of each memory, `None` being wasmtime's 4 GiB. The first that the system grants is taken: a container may limit
/// address space, and a smaller reservation makes the compiled code check its bounds.
const POOLS: [(u32, Option<u64>); 3] = [(1_000, None), (64, None), (64, Some(MEMORY_CEILING as u64))];
/// Core modules that a component may bring (a WASI one has its adapters).
const CORES_A_COMPONENT: u32 = 8;
/// No module may be granted more linear memory than this.
pub(super) const MEMORY_CEILING: usize = 256 << 20;

/// Bounds that hold for every module of the process.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of stack that WebAssembly may use in a call. Default 512 KiB.
    pub stack: usize,
    /// Elements that a table may have. Default 20,000.
    pub table_elements: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { stack: 512 << 10, table_elements: 20_000 }
    }
}

/// Makes the engine, with compiled code kept in `cache` (a folder that only this user may enter).
pub(super) fn engine(cache: &Path, bounds: Bounds) -> wasmtime::Result<Engine> {
    let mut folder = CacheConfig::new();
    folder.with_directory(cache);
    let cache = Cache::new(folder)?;
    let mut refused = None;
    for (slots, reservation) in POOLS {
        match Engine::new(&config(cache.clone(), bounds, (slots, reservation))) {
            Ok(engine) => {
                tick(&engine);
                return Ok(engine);
            }
            Err(error) => {
                tracing::warn!(slots, %error, "the system grants no address space for so many plugin instances");
                refused = Some(error);
            }
        }
    }
    Err(refused.unwrap_or_else(|| wasmtime::Error::msg("no pool was tried")))
}

fn config(cache: Cache, bounds: Bounds, (slots, reservation): (u32, Option<u64>)) -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(bounds.stack);
    // Host functions run on it too.
    config.async_stack_size(bounds.stack + (512 << 10));
    config.cranelift_opt_level(OptLevel::Speed);
    // Compilation has a thread of its own; spreading it over all cores would take them from the workers.
    config.parallel_compilation(false);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(bounds, slots)));
    if let Some(reservation) = reservation {
        config.memory_reservation(reservation);
        config.memory_guard_size(64 << 10);
    }
    config.cache(Some(cache));
    config
}

fn pool(bounds: Bounds, slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(slots);
    pool.total_core_instances(slots * 4);
    pool.total_memories(slots);
    pool.total_tables(slots * 4);
    pool.total_stacks(slots);
    pool.max_core_instances_per_component(CORES_A_COMPONENT);
    pool.max_tables_per_component(CORES_A_COMPONENT * 2);
    pool.max_memories_per_component(1);
    pool.max_memory_size(MEMORY_CEILING);
    pool.table_elements(bounds.table_elements);
    pool.linear_memory_keep_resident(2 << 20);
    pool.pagemap_scan(Enabled::Auto);
    pool
}

/// Ticks on an OS thread, so that a stuck runtime cannot stop it. Ends with the engine.
fn tick(engine: &Engine) {
    let engine = engine.weak();
    let ticker = thread::Builder::new().name("wasm-ticker".into());
    let started = ticker.spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    });
    started.expect("the process can start a thread at its start");
}

/// Linker for modules that import only our interfaces, and one for those that bring WASI 0.2 too.
pub(super) struct Linkers {
    pub(super) plain: Linker<HostState>,
    pub(super) wasi: Linker<HostState>,
}

impl Linkers {
    pub(super) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let mut plain = Linker::new(engine);
        link(&mut plain)?;
        let mut wasi = plain.clone();
        wasmtime_wasi::p2::add_to_linker_async(&mut wasi)?;
        Ok(Self { plain, wasi })
    }
}

/// Every interface, granted or not: an ungranted one answers with a refusal that names it.
fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    type Host = HasSelf<HostState>;
    wit::types::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::request::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::response::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::changes::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::notes::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::logging::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::clock::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::random::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::node::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::consumers::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::counters::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::key_value::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::metrics::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::queue::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::sinks::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::outbound_http::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::crypto::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::secrets::add_to_linker::<_, Host>(linker, |state| state)
}
