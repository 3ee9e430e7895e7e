//! Instances of one worker thread: a small pool a deployment, and the lease of an instance for a call. An instance that
//! is leased is in nobody's pool: if its call fails, or is dropped half-way, it is gone and the next call gets another.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::{
    chain::Configuration,
    deployment::Deployment,
    instance::{CallError, Instance},
};

/// How long a call waits for an instance when all are busy.
const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    static WORKER: Worker = const { Worker { number: Cell::new(None), pools: RefCell::new(Vec::new()) } };
}

struct Worker {
    /// `None` on other threads.
    number: Cell<Option<u32>>,
    pools: RefCell<Vec<Option<Rc<Pool>>>>,
}

struct Pool {
    id: u64,
    deployment: Weak<Deployment>,
    #[expect(clippy::vec_box, reason = "an instance is large and goes in and out of here with every call")]
    idle: RefCell<Vec<Box<Instance>>>,
    live: Cell<usize>,
    returned: Notify,
}

/// Numbers this thread among the workers, from 0.
pub fn enter_worker(number: u32) {
    WORKER.with(|worker| worker.number.set(Some(number)));
}

/// Ends what this thread holds: instances, and what their sinks have not written.
pub fn leave_worker() {
    WORKER.with(|worker| {
        let pools = std::mem::take(&mut *worker.pools.borrow_mut());
        for pool in pools.into_iter().flatten() {
            if let Some(deployment) = pool.deployment.upgrade() {
                deployment.services.sinks.hand_over();
            }
        }
    });
}

/// Whether this thread is a worker.
pub(super) fn is_worker() -> bool {
    WORKER.with(|worker| worker.number.get().is_some())
}

impl Worker {
    fn pool(&self, deployment: &Arc<Deployment>) -> Rc<Pool> {
        let slot = deployment.slot.0;
        let mut pools = self.pools.borrow_mut();
        if let Some(Some(pool)) = pools.get(slot)
            && pool.id == deployment.id
        {
            return pool.clone();
        }
        // A deployment that is new here: the moment to let go of those that are gone.
        for place in pools.iter_mut() {
            if place.as_ref().is_some_and(|pool| pool.is_abandoned()) {
                *place = None;
            }
        }
        if pools.len() <= slot {
            pools.resize_with(slot + 1, || None);
        }
        let pool = Rc::new(Pool {
            id: deployment.id,
            deployment: Arc::downgrade(deployment),
            idle: RefCell::default(),
            live: Cell::new(0),
            returned: Notify::new(),
        });
        pools[slot] = Some(pool.clone());
        pool
    }
}

impl Pool {
    fn is_abandoned(&self) -> bool {
        self.deployment.upgrade().is_none_or(|deployment| deployment.is_unused())
    }
}

/// An instance for one call.
pub(super) struct Lease {
    instance: Option<Box<Instance>>,
    pool: Rc<Pool>,
}

impl Lease {
    /// Takes an idle instance, if there is one.
    pub(super) fn idle(deployment: &Arc<Deployment>) -> Option<Self> {
        let pool = WORKER.with(|worker| worker.pool(deployment));
        let instance = pool.idle.borrow_mut().pop()?;
        Some(Self { instance: Some(instance), pool })
    }

    /// Takes an idle instance that knows the configuration, if the next one does.
    pub(super) fn knowing(deployment: &Arc<Deployment>, config: &Configuration) -> Option<Self> {
        let pool = WORKER.with(|worker| worker.pool(deployment));
        let instance = pool.idle.borrow_mut().pop_if(|instance| instance.knows(config))?;
        Some(Self { instance: Some(instance), pool })
    }

    /// Takes an idle instance, or makes one, or waits for one.
    pub(super) async fn take(deployment: &Arc<Deployment>) -> Result<Self, CallError> {
        let (pool, number) = WORKER.with(|worker| (worker.pool(deployment), worker.number.get().unwrap_or(0)));
        loop {
            let idle = pool.idle.borrow_mut().pop();
            if let Some(instance) = idle {
                return Ok(Self { instance: Some(instance), pool });
            }
            if pool.live.get() < deployment.limits.instances {
                pool.live.set(pool.live.get() + 1);
                let mut lease = Self { instance: None, pool };
                lease.instance = Some(Box::new(Instance::new(deployment.clone(), number).await?));
                return Ok(lease);
            }
            let returned = pool.returned.notified();
            timeout(PATIENCE, returned).await.map_err(|_| CallError::Busy(PATIENCE))?;
        }
    }

    /// Whether the instance can be called with the configuration as it is.
    pub(super) fn knows(&self, config: &Configuration) -> bool {
        self.instance.as_ref().is_some_and(|instance| instance.knows(config))
    }

    pub(super) fn instance(&mut self) -> &mut Instance {
        self.instance.as_mut().expect("a lease has its instance until it is given back")
    }

    /// The call succeeded: the instance may serve again.
    pub(super) fn give_back(mut self) {
        if let Some(instance) = self.instance.take().filter(|instance| !instance.is_worn()) {
            self.pool.idle.borrow_mut().push(instance);
            self.pool.live.set(self.pool.live.get() + 1);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.live.set(self.pool.live.get() - 1);
        self.pool.returned.notify_one();
    }
}
