//! Idle connections of one worker, the latest first.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    hash::{BuildHasherDefault, Hasher},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use super::{PoolKey, Settings, link::Link};

/// What the pool of a worker holds and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Idle connections now.
    pub idle: usize,
    /// Requests that found an idle connection.
    pub reused: u64,
    /// Idle connections that turned out to be closed by their target.
    pub stale: u64,
}

/// Places, each an address and a TLS identity, whose idle connections are kept.
const PLACES: usize = 4096;

/// Idle connections by where they lead.
#[derive(Debug)]
pub(super) struct Pool {
    settings: Rc<Cell<Settings>>,
    #[expect(clippy::vec_box, reason = "a connection is large and goes in and out of here with every request")]
    idle: RefCell<HashMap<PoolKey, Vec<Box<Link>>, BuildHasherDefault<KeyHasher>>>,
    status: Cell<PoolStatus>,
    clock: Cell<u32>,
}

impl Pool {
    pub(super) fn new(settings: Rc<Cell<Settings>>) -> Self {
        Self { settings, idle: RefCell::default(), status: Cell::default(), clock: Cell::new(0) }
    }

    /// The connection that became idle last. It was open a moment ago; if it is no more, the request comes back unsent, since
    /// the engine reads before it writes.
    pub(super) fn take(&self, key: &PoolKey) -> Option<Box<Link>> {
        self.pop(key).inspect(|_| self.note(|status| status.reused += 1))
    }

    /// The connection that became idle last and is still open, as far as events tell: for a request that can be sent only
    /// once.
    pub(super) async fn take_proven(&self, key: &PoolKey) -> Option<Box<Link>> {
        poll_fn(|cx| {
            while let Some(mut link) = self.pop(key) {
                if link.is_usable(cx) {
                    self.note(|status| status.reused += 1);
                    return Poll::Ready(Some(link));
                }
                self.note(|status| status.stale += 1);
            }
            Poll::Ready(None)
        })
        .await
    }

    /// A connection turned out to be closed when a request was to be sent on it.
    pub(super) fn note_stale(&self) {
        self.note(|status| {
            status.reused -= 1;
            status.stale += 1;
        });
    }

    /// Keeps a connection whose exchange is over, unless it is worn out or there are too many.
    pub(super) fn put(&self, mut link: Box<Link>) {
        if link.requests >= self.settings.get().requests_per_connection || !link.is_idle() {
            return;
        }
        link.idle_since = self.clock.get();
        let mut idle = self.idle.borrow_mut();
        let is_crowded = idle.len() >= PLACES;
        match idle.get_mut(&*link.key) {
            Some(links) if links.len() >= self.settings.get().pool_size => return,
            Some(links) => links.push(link),
            None if self.settings.get().pool_size == 0 || is_crowded => return,
            None => drop(idle.insert((*link.key).clone(), vec![link])),
        }
        self.note(|status| status.idle += 1);
    }

    /// A second went by.
    pub(super) fn tick(&self) {
        let now = self.clock.get().wrapping_add(1);
        self.clock.set(now);
        let limit = self.settings.get().idle_timeout.as_secs();
        let mut cx = Context::from_waker(Waker::noop());
        let (mut kept, mut stale) = (0, 0);
        self.idle.borrow_mut().retain(|_, links| {
            links.retain_mut(|link| {
                let is_young = u64::from(now.wrapping_sub(link.idle_since)) <= limit;
                let is_alive = is_young && link.is_usable(&mut cx);
                stale += u64::from(is_young && !is_alive);
                is_alive
            });
            kept += links.len();
            !links.is_empty()
        });
        self.note(|status| (status.idle, status.stale) = (kept, status.stale + stale));
    }

    pub(super) fn status(&self) -> PoolStatus {
        self.status.get()
    }

    fn pop(&self, key: &PoolKey) -> Option<Box<Link>> {
        let link = self.idle.borrow_mut().get_mut(key)?.pop()?;
        self.note(|status| status.idle -= 1);
        Some(link)
    }

    fn note(&self, change: impl FnOnce(&mut PoolStatus)) {
        let mut status = self.status.get();
        change(&mut status);
        self.status.set(status);
    }
}

/// Hashes a key in a few instructions. Clients may choose the name in it (`preserve_host`); who makes keys collide finds at
/// most [`PLACES`] of them, and equality compares all of the key.
#[derive(Debug, Default)]
pub(super) struct KeyHasher(u64);

impl KeyHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_ne_bytes(word));
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.mix(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.mix(number.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
