//! What is known of every open connection, for idle limits and the drain. Of one worker, so nothing locks.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Settings, frames::FrameScan, head::HeadScan};

/// What a connection is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was read yet, TLS handshake included.
    Fresh,
    /// A request head is being read.
    Head,
    /// A request is being answered.
    Busy,
    /// Between two requests.
    Idle,
    /// Refused; what the client still sends is thrown away.
    Linger,
}

/// What a connection is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Nothing.
    None,
    /// End with the next answer over HTTP/1, after the requests that are open over HTTP/2.
    Retire,
    /// End after the requests that are open.
    Finish,
    /// End now.
    Cut,
}

/// Why a connection was ended for what its client did, or did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offence {
    /// No request head in time.
    Head,
    /// The client takes no bytes.
    Send,
    /// Too many HTTP/2 frames that bring nothing.
    Frames,
}

/// How long an idle connection that was told to end may take for it.
const CLOSING: Duration = Duration::from_secs(5);

/// How long a connection keeps the buffers of its engine between two requests. Taking them anew costs about as much as a
/// tenth of a request.
const SLEEPS_AFTER: Duration = Duration::from_secs(1);

/// Seconds as counted by the worker.
pub(super) type Tick = u32;

/// The state of one connection, shared by its I/O, its requests and the sweep.
#[derive(Debug)]
pub(super) struct Watch {
    clock: Rc<Cell<Tick>>,
    stage: Cell<Stage>,
    since: Cell<Tick>,
    /// Since when the client takes no more bytes.
    stuck: Cell<Option<Tick>>,
    open_requests: Cell<u32>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
    multiplexed: Cell<bool>,
    /// The frames that are being read, HTTP/2 only; how many of this second brought nothing, and how many may.
    frames: RefCell<FrameScan>,
    idle_frames: Cell<(Tick, u32)>,
    frame_limit: Cell<u32>,
    /// Streams that became requests, HTTP/2 only.
    served: Cell<u32>,
    /// Answers of HTTP/2 that wait for the client's window, since when nothing of any answer went out while some did, and
    /// whether anything ever went out.
    held: Cell<u32>,
    moved: Cell<Tick>,
    drawn: Cell<bool>,
    offence: Cell<Option<Offence>>,
    /// Whether bytes that are written now belong to an answer of the service. If not, HTTP/1 wrote them by itself.
    ours: Cell<bool>,
    /// The answer has left the service, but perhaps not the buffers.
    ended: Cell<bool>,
    /// It has waited for a request long enough to wait without its engine, HTTP/1 only.
    asleep: Cell<bool>,
    /// The messages that are being read, HTTP/1 only.
    pub(super) head: RefCell<HeadScan>,
}

impl Watch {
    fn new(clock: Rc<Cell<Tick>>) -> Self {
        Self {
            since: Cell::new(clock.get()),
            clock,
            stage: Cell::new(Stage::Fresh),
            stuck: Cell::new(None),
            open_requests: Cell::new(0),
            order: Cell::new(Order::None),
            waker: RefCell::new(None),
            multiplexed: Cell::new(false),
            frames: RefCell::default(),
            idle_frames: Cell::default(),
            frame_limit: Cell::new(u32::MAX),
            served: Cell::new(0),
            held: Cell::new(0),
            moved: Cell::new(0),
            drawn: Cell::new(false),
            offence: Cell::new(None),
            ours: Cell::new(false),
            ended: Cell::new(false),
            asleep: Cell::new(false),
            head: RefCell::default(),
        }
    }

    /// The connection speaks HTTP/2: bytes belong to no request in particular. So many frames a second may bring nothing.
    pub(super) fn multiplex(&self, frame_limit: u32) {
        self.multiplexed.set(true);
        self.frame_limit.set(frame_limit);
        self.ours.set(true);
        self.enter(Stage::Idle);
    }

    /// Whether nothing was read yet of any request.
    pub(super) fn is_fresh(&self) -> bool {
        self.stage.get() == Stage::Fresh
    }

    /// Whether nothing was read yet, and more than a second has gone by since it was accepted.
    fn is_silent(&self) -> bool {
        self.is_fresh() && self.clock.get().wrapping_sub(self.since.get()) > 1
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.get()
    }

    /// The connection has left HTTP: no limit of requests concerns it.
    pub(super) fn leave_http(&self) {
        self.stuck.set(None);
        self.stage.set(Stage::Busy);
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        self.since.set(self.clock.get());
    }

    pub(super) fn order(&self) -> Order {
        self.order.get()
    }

    /// Gives an order and wakes the connection to see it. An order is never taken back.
    pub(super) fn give(&self, order: Order) {
        if order > self.order.get() {
            self.order.set(order);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Remembers whom to wake; a task's waker stays the same, so once is enough.
    pub(super) fn keep_waker(&self, cx: &Context<'_>) {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
    }

    /// Why it was ended.
    pub(super) fn offence(&self) -> Option<Offence> {
        self.offence.get()
    }

    fn cut_for(&self, offence: Offence) {
        self.offence.set(Some(offence));
        self.give(Order::Cut);
    }

    /// Streams of HTTP/2 that never became requests.
    pub(super) fn unserved(&self) -> u32 {
        if self.multiplexed.get() { self.frames.borrow().opened().saturating_sub(self.served.get()) } else { 0 }
    }

    /// Bytes were read. Counts as a request head unless one is being answered.
    pub(super) fn on_read(&self, bytes: &[u8]) {
        if self.multiplexed.get() {
            self.count_frames(bytes);
        } else {
            self.head.borrow_mut().see(bytes);
            if !self.ours.get() && self.stage.get() != Stage::Head {
                self.enter(Stage::Head);
            }
        }
    }

    fn count_frames(&self, bytes: &[u8]) {
        let idle = self.frames.borrow_mut().see(bytes);
        if idle == 0 {
            return;
        }
        let (now, (second, before)) = (self.clock.get(), self.idle_frames.get());
        let count = if second == now { before.saturating_add(idle) } else { idle };
        self.idle_frames.set((now, count));
        if count > self.frame_limit.get() {
            self.cut_for(Offence::Frames);
        }
    }

    /// An answer begins to wait for the client's window. Another one that does so already has waited for longer.
    pub(super) fn hold(&self) {
        let held = self.held.get();
        if held == 0 {
            self.moved.set(self.clock.get());
        }
        self.held.set(held + 1);
    }

    /// It waits no more, for one reason or another.
    pub(super) fn release(&self) {
        self.held.set(self.held.get() - 1);
    }

    /// An answer went on, or could have.
    pub(super) fn went_on(&self) {
        self.moved.set(self.clock.get());
        self.drawn.set(true);
    }

    pub(super) fn on_write(&self, is_pending: bool) {
        match (is_pending, self.stuck.get()) {
            (false, None) | (true, Some(_)) => {}
            (false, Some(_)) => self.stuck.set(None),
            (true, None) => self.stuck.set(Some(self.clock.get())),
        }
    }

    /// Every byte was handed to the system.
    pub(super) fn on_flushed(&self) {
        if self.ended.get() {
            self.ended.set(false);
            self.ours.set(false);
            self.enter(Stage::Idle);
        }
    }

    /// Whether it is to wait without its engine.
    pub(super) fn is_asleep(&self) -> bool {
        self.asleep.get()
    }

    /// There is something for the engine.
    pub(super) fn wake_up(&self) {
        self.asleep.set(false);
    }

    fn fall_asleep(&self) {
        self.asleep.set(true);
        self.wake();
    }

    pub(super) fn writes_are_ours(&self) -> bool {
        self.ours.get()
    }

    /// A request begins; it ends when the value is dropped.
    pub(super) fn begin(self: &Rc<Self>) -> Open {
        self.open_requests.set(self.open_requests.get() + 1);
        self.served.set(self.served.get().wrapping_add(1));
        self.stage.set(Stage::Busy);
        self.ours.set(true);
        self.ended.set(false);
        Open(self.clone())
    }

    fn end(&self) {
        let open = self.open_requests.get() - 1;
        self.open_requests.set(open);
        if !self.multiplexed.get() {
            self.ended.set(true);
        } else if open == 0 {
            self.enter(Stage::Idle);
        }
    }

    /// Gives the order that the limits ask for.
    fn judge(&self, settings: &Settings) {
        let older = |since: Tick, limit: Duration| u64::from(self.clock.get().wrapping_sub(since)) > limit.as_secs();
        let since = self.since.get();
        if self.stuck.get().is_some_and(|since| older(since, settings.send_timeout)) {
            return self.cut_for(Offence::Send);
        }
        // A client that paused may go on; one that never opened a window has asked for answers that it does not want.
        let patience = if self.drawn.get() { settings.send_timeout } else { settings.http2_window_timeout };
        if self.held.get() > 0 && older(self.moved.get(), patience) {
            return self.cut_for(Offence::Send);
        }
        match self.stage.get() {
            Stage::Busy => {}
            Stage::Fresh | Stage::Head if older(since, settings.head_timeout) => self.cut_for(Offence::Head),
            // Over HTTP/2 a good end takes an answer of the client, which it may owe for ever.
            Stage::Idle if older(since, settings.idle_timeout + CLOSING) => self.give(Order::Cut),
            Stage::Idle if older(since, settings.idle_timeout) => self.give(Order::Finish),
            Stage::Idle if !self.asleep.get() && !self.multiplexed.get() && older(since, SLEEPS_AFTER) => {
                self.fall_asleep()
            }
            Stage::Linger if older(since, settings.linger_timeout) => self.give(Order::Cut),
            Stage::Fresh | Stage::Head | Stage::Idle | Stage::Linger => {}
        }
    }
}

/// A request that is open on a connection.
#[derive(Debug)]
pub(super) struct Open(Rc<Watch>);

impl std::ops::Deref for Open {
    type Target = Watch;

    fn deref(&self) -> &Watch {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The connections of a worker.
#[derive(Debug, Default)]
pub(super) struct Registry {
    clock: Rc<Cell<Tick>>,
    slots: RefCell<Vec<Option<Rc<Watch>>>>,
    free: RefCell<Vec<usize>>,
    open: Cell<usize>,
    emptied: Notify,
}

impl Registry {
    /// Adds a connection; it leaves when the value is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> Place {
        let watch = Rc::new(Watch::new(self.clock.clone()));
        let mut slots = self.slots.borrow_mut();
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        slots[slot] = Some(watch.clone());
        self.open.set(self.open.get() + 1);
        Place { registry: self.clone(), slot, watch }
    }

    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// A second went by: connections over their limits are told to end.
    pub(super) fn tick(&self, settings: &Settings) {
        self.clock.set(self.clock.get().wrapping_add(1));
        self.slots.borrow().iter().flatten().for_each(|watch| watch.judge(settings));
    }

    /// Tells every connection to end with its next answer.
    pub(super) fn retire(&self) {
        self.slots.borrow().iter().flatten().for_each(|watch| watch.give(Order::Retire));
    }

    /// Tells every connection to end after its open requests. Those that are new may still bring their first; those that had
    /// time for it and said nothing end at once.
    pub(super) fn finish(&self) {
        for watch in self.slots.borrow().iter().flatten() {
            watch.give(if watch.is_silent() { Order::Cut } else { Order::Finish });
        }
    }

    /// Tells connections that never brought a byte of a request to end now.
    pub(super) fn cut_fresh(&self) {
        self.slots.borrow().iter().flatten().filter(|watch| watch.is_fresh()).for_each(|watch| watch.give(Order::Cut));
    }

    /// Tells every connection to end now.
    pub(super) fn cut(&self) {
        self.slots.borrow().iter().flatten().for_each(|watch| watch.give(Order::Cut));
    }

    /// Waits until no connection is left.
    pub(super) async fn emptied(&self) {
        while self.open.get() > 0 {
            self.emptied.notified().await;
        }
    }

    fn leave(&self, slot: usize) {
        self.slots.borrow_mut()[slot] = None;
        self.free.borrow_mut().push(slot);
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.emptied.notify_one();
        }
    }
}

/// A connection's place in the registry.
#[derive(Debug)]
pub(super) struct Place {
    registry: Rc<Registry>,
    slot: usize,
    pub(super) watch: Rc<Watch>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.leave(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many ticks from now on a connection is cut for what its client does not take, if that is within so many.
    fn cut_after(registry: &Registry, settings: &Settings, place: &Place, most: u32) -> Option<u32> {
        (1..=most).find(|_| {
            registry.tick(settings);
            place.watch.offence() == Some(Offence::Send)
        })
    }

    #[test]
    fn windows_that_never_open_end_a_connection_within_five_seconds() {
        let (registry, settings) = (Rc::<Registry>::default(), Settings::default());
        let place = registry.enter();
        place.watch.multiplex(1000);
        place.watch.hold();
        registry.tick(&settings);
        registry.tick(&settings);
        // Answers that come later, and those that are taken back, are no progress.
        place.watch.hold();
        place.watch.release();
        assert_eq!(cut_after(&registry, &settings, &place, 100), Some(2));
    }

    #[test]
    fn a_client_that_took_something_may_pause_for_longer() {
        let (registry, settings) = (Rc::<Registry>::default(), Settings::default());
        let place = registry.enter();
        place.watch.multiplex(1000);
        place.watch.hold();
        place.watch.went_on();
        assert_eq!(cut_after(&registry, &settings, &place, 100), Some(61));
    }

    #[test]
    fn at_the_end_only_what_is_new_may_still_say_something() {
        let (registry, settings) = (Rc::<Registry>::default(), Settings::default());
        let (silent, idle) = (registry.enter(), registry.enter());
        idle.watch.enter(Stage::Idle);
        registry.tick(&settings);
        let new = registry.enter();
        registry.tick(&settings);
        registry.finish();
        let orders = [&silent, &idle, &new].map(|place| place.watch.order());
        assert_eq!(orders, [Order::Cut, Order::Finish, Order::Finish]);
        registry.cut_fresh();
        assert_eq!([&idle, &new].map(|place| place.watch.order()), [Order::Finish, Order::Cut]);
    }
}
