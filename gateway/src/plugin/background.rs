//! Work that plugins do off the workers: batches of what their log phases enqueued, and timers. One instance a
//! deployment, one call at a time.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::{Instant, sleep, timeout},
};

use super::{
    bindings::exports::sandgate::plugin::lifecycle::{Prepared, QueueSettings},
    chain::{Plugin, Ready, State},
    deployment::Deployment,
    instance::{CallError, Instance},
};
use crate::shutdown::Shutdown;

/// Background instances by deployment.
#[derive(Default)]
pub(super) struct Background {
    instances: AsyncMutex<HashMap<u64, Arc<Home>>>,
}

struct Home {
    deployment: Weak<Deployment>,
    instance: AsyncMutex<Option<Instance>>,
}

impl Background {
    /// Asks an instance what a configuration needs. It knows the configuration from then on.
    pub(super) async fn prepare(
        &self,
        deployment: &Arc<Deployment>,
        configuration: &super::chain::Configuration,
    ) -> Result<Prepared, CallError> {
        let home = self.home(deployment).await;
        let mut place = home.instance.lock().await;
        let mut instance = match place.take() {
            Some(instance) => instance,
            None => Instance::new(deployment.clone(), 0).await?,
        };
        let prepared = instance.configure(configuration).await?;
        *place = Some(instance).filter(|instance| !instance.is_worn());
        prepared.ok_or_else(|| CallError::Configure("the host asked twice".into()))
    }

    async fn home(&self, deployment: &Arc<Deployment>) -> Arc<Home> {
        let mut homes = self.instances.lock().await;
        homes.retain(|_, home| home.deployment.upgrade().is_some_and(|deployment| !deployment.is_unused()));
        let new = || Arc::new(Home { deployment: Arc::downgrade(deployment), instance: AsyncMutex::default() });
        homes.entry(deployment.id).or_insert_with(new).clone()
    }

    async fn batch(
        &self,
        plugin: &Arc<Plugin>,
        ready: &Ready,
        entries: &[Vec<u8>],
    ) -> Result<Result<(), String>, CallError> {
        let home = self.home(&ready.deployment).await;
        let mut place = home.instance.lock().await;
        let mut instance = enter(&mut place, plugin, ready).await?;
        let answer = instance.on_batch(ready.configuration.id, entries).await?;
        leave(&mut place, instance);
        Ok(answer)
    }

    async fn tick(&self, plugin: &Arc<Plugin>, ready: &Ready) -> Result<Result<(), String>, CallError> {
        let home = self.home(&ready.deployment).await;
        let mut place = home.instance.lock().await;
        let mut instance = enter(&mut place, plugin, ready).await?;
        let answer = instance.on_timer(ready.configuration.id).await?;
        leave(&mut place, instance);
        Ok(answer)
    }
}

async fn enter(place: &mut Option<Instance>, plugin: &Arc<Plugin>, ready: &Ready) -> Result<Instance, CallError> {
    if !ready.deployment.health.admits() {
        return Err(CallError::Open);
    }
    let mut instance = match place.take() {
        Some(instance) => instance,
        None => Instance::new(ready.deployment.clone(), 0).await?,
    };
    instance.configure(&ready.configuration).await?;
    instance.lend(plugin, None);
    Ok(instance)
}

fn leave(place: &mut Option<Instance>, mut instance: Instance) {
    instance.reclaim();
    *place = Some(instance).filter(|instance| !instance.is_worn());
}

/// Entries of one configuration that wait for their batch.
#[derive(Debug)]
pub(super) struct Queue {
    settings: QueueSettings,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The plugin, as long as entries wait: it may have left the configuration, its entries are sent all the same.
    keeper: Option<Arc<Plugin>>,
    entries: VecDeque<Vec<u8>>,
    bytes: u64,
    dropped: u64,
}

struct Batch {
    entries: Vec<Vec<u8>>,
    dropped: u64,
    plugin: Option<Arc<Plugin>>,
}

impl Queue {
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self { settings, waiting: Mutex::default(), arrived: Notify::new() }
    }

    /// Adds an entry of `plugin`; the oldest go when there is no room.
    pub(super) fn push(&self, entry: Vec<u8>, plugin: &Arc<Plugin>) {
        let mut waiting = self.lock();
        waiting.keeper.get_or_insert_with(|| plugin.clone());
        waiting.bytes += entry.len() as u64;
        waiting.entries.push_back(entry);
        while waiting.entries.len() > self.settings.max_entries as usize
            || self.settings.max_bytes.is_some_and(|most| waiting.bytes > most)
        {
            let Some(oldest) = waiting.entries.pop_front() else { break };
            waiting.bytes -= oldest.len() as u64;
            waiting.dropped += 1;
        }
        let (count, most) = (waiting.entries.len(), self.settings.max_batch_size as usize);
        drop(waiting);
        if count == 1 || count >= most {
            self.arrived.notify_one();
        }
    }

    fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    fn is_full_batch(&self) -> bool {
        self.lock().entries.len() >= self.settings.max_batch_size as usize
    }

    fn take(&self) -> Batch {
        let mut waiting = self.lock();
        let count = waiting.entries.len().min(self.settings.max_batch_size as usize);
        let batch: Vec<Vec<u8>> = waiting.entries.drain(..count).collect();
        waiting.bytes -= batch.iter().map(|entry| entry.len() as u64).sum::<u64>();
        let plugin = if waiting.entries.is_empty() { waiting.keeper.take() } else { waiting.keeper.clone() };
        Batch { entries: batch, dropped: std::mem::take(&mut waiting.dropped), plugin }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the batches of a plugin until it is gone, or the gateway ends, and its queue is empty.
pub(super) async fn run_queue(
    background: Arc<Background>,
    plugin: Weak<Plugin>,
    queue: Arc<Queue>,
    shutdown: Shutdown,
) {
    loop {
        if queue.is_empty() {
            if plugin.strong_count() == 0 || shutdown.is_triggered() {
                return;
            }
            // Either arm may be dropped: an arrival is kept by `Notify`, the wish to end by `Shutdown`.
            tokio::select! {
                _ = timeout(Duration::from_secs(1), queue.arrived.notified()) => {}
                () = shutdown.triggered() => {}
            }
            continue;
        }
        coalesce(&queue, &shutdown).await;
        let batch = queue.take();
        let Some(plugin) = batch.plugin else { continue };
        if batch.dropped > 0 {
            tracing::warn!(plugin = %plugin.name, dropped = batch.dropped, "the queue was full; the oldest entries are gone");
        }
        send(&background, &plugin, &queue.settings, batch.entries).await;
    }
}

/// Waits until a batch is full, its first entry has waited long enough, or the gateway ends.
async fn coalesce(queue: &Queue, shutdown: &Shutdown) {
    let deadline = Instant::now() + Duration::from_millis(queue.settings.max_coalescing_delay.into());
    while !queue.is_full_batch() && !shutdown.is_triggered() {
        let arrived = queue.arrived.notified();
        // Dropping either arm loses nothing, as above.
        tokio::select! {
            arrived = tokio::time::timeout_at(deadline, arrived) => if arrived.is_err() { return },
            () = shutdown.triggered() => {}
        }
    }
}

/// Tries until the plugin takes the batch or its time for retries is over.
async fn send(background: &Background, plugin: &Arc<Plugin>, settings: &QueueSettings, batch: Vec<Vec<u8>>) {
    let State::Ready(ready) = &plugin.state else { return };
    let began = Instant::now();
    let mut delay = Duration::from_millis(settings.initial_retry_delay.max(1).into());
    loop {
        let reason = match background.batch(plugin, ready, &batch).await {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(error) => {
                ready.deployment.failed(&error);
                error.to_string()
            }
        };
        let over =
            settings.max_retry_time.is_none_or(|most| began.elapsed() + delay > Duration::from_millis(most.into()));
        if over {
            tracing::error!(plugin = %plugin.name, entries = batch.len(), reason, "a batch was dropped");
            return;
        }
        tracing::warn!(plugin = %plugin.name, entries = batch.len(), reason, "a batch failed and will be tried again");
        sleep(delay).await;
        delay = (delay * 2).min(Duration::from_millis(settings.max_retry_delay.max(1).into()));
    }
}

/// Calls the timer of a plugin until it is gone.
pub(super) async fn run_timer(background: Arc<Background>, plugin: Weak<Plugin>, every: Duration, shutdown: Shutdown) {
    loop {
        // Either arm may be dropped: nothing has been begun.
        tokio::select! {
            () = sleep(every) => {}
            () = shutdown.triggered() => return,
        }
        let Some(plugin) = plugin.upgrade() else { return };
        let State::Ready(ready) = &plugin.state else { return };
        match background.tick(&plugin, ready).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => tracing::warn!(plugin = %plugin.name, reason, "the timer failed"),
            Err(error) => ready.deployment.failed(&error),
        }
    }
}
