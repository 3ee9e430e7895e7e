//! Sessions that go on in another connection: the state of a session, encrypted, which the client keeps (RFC 5077, and
//! RFC 8446 §4.6.1). The keys are of this process, the same for all of its workers, and change while it runs; who takes over
//! from it gets them, from memory to memory. Nothing on the way of a handshake waits for another worker.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
    rand,
};
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::TicketLife;
use crate::clock::unix_now;

/// Bytes by which a ticket names its key.
const NAME: usize = 16;
/// Bytes that say when it, or its key, was made.
const TIME: usize = 8;
/// Bytes of the secret of a key.
const SECRET: usize = 32;
/// Bytes of a key that is handed on: name, secret, time.
const HANDED_ON: usize = NAME + SECRET + TIME;
/// The longest ticket that is read.
const LONGEST: usize = 32 << 10;
/// Old keys that are kept at most.
const KEPT: usize = 100;

/// Makes and reads tickets.
#[derive(Debug)]
pub struct Tickets {
    ring: ArcSwap<Ring>,
}

/// The keys of one moment, the one that encrypts first.
#[derive(Debug)]
struct Ring {
    keys: Vec<Arc<Key>>,
    life: TicketLife,
}

struct Key {
    name: [u8; NAME],
    cipher: RandomizedNonceKey,
    /// What the cipher was made of, for the process that takes over.
    secret: Zeroizing<[u8; SECRET]>,
    made: Duration,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Key").finish_non_exhaustive()
    }
}

impl Key {
    fn new() -> Result<Self, Unspecified> {
        let (mut name, mut secret) = ([0; NAME], Zeroizing::new([0; SECRET]));
        rand::fill(&mut name)?;
        rand::fill(&mut *secret)?;
        Self::of(name, secret, unix_now())
    }

    fn of(name: [u8; NAME], secret: Zeroizing<[u8; SECRET]>, made: Duration) -> Result<Self, Unspecified> {
        Ok(Self { name, cipher: RandomizedNonceKey::new(&AES_256_GCM, &*secret)?, secret, made })
    }

    /// Reads a key that was handed on.
    fn read(bytes: &[u8; HANDED_ON]) -> Result<Self, Unspecified> {
        let (name, rest) = bytes.split_first_chunk().ok_or(Unspecified)?;
        let (secret, rest) = rest.split_first_chunk().ok_or(Unspecified)?;
        let made = rest.first_chunk().ok_or(Unspecified)?;
        Self::of(*name, Zeroizing::new(*secret), Duration::from_secs(u64::from_be_bytes(*made)))
    }
}

impl Tickets {
    /// With a key of its own.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(life: TicketLife) -> Result<Self, Unspecified> {
        Ok(Self { ring: ArcSwap::from_pointee(Ring { keys: vec![Arc::new(Key::new()?)], life }) })
    }

    /// How long tickets hold, and keys encrypt.
    pub fn life(&self) -> TicketLife {
        self.ring.load().life
    }

    /// Other times from now on.
    pub fn set_life(&self, life: TicketLife) {
        let keys = self.ring.load().keys.clone();
        self.ring.store(Arc::new(Ring { keys, life }));
    }

    /// Encrypts with a new key from now on, and forgets those whose tickets are all too old.
    ///
    /// # Errors
    /// When the system has no random numbers; then the last key goes on.
    pub fn rotate(&self) -> Result<(), Unspecified> {
        let ring = self.ring.load();
        self.keep(Arc::new(Key::new()?), ring.keys.iter().cloned(), ring.life);
        Ok(())
    }

    /// Every key, secrets included, for the process that takes over.
    pub fn bequeath(&self) -> Zeroizing<Vec<u8>> {
        let keys = &self.ring.load().keys;
        let mut bytes = Zeroizing::new(Vec::with_capacity(keys.len() * HANDED_ON));
        for key in keys {
            bytes.extend_from_slice(&key.name);
            bytes.extend_from_slice(&*key.secret);
            bytes.extend_from_slice(&key.made.as_secs().to_be_bytes());
        }
        bytes
    }

    /// Reads tickets of the process before, too, from what [`Tickets::bequeath`] gave. New ones have a key of this process.
    ///
    /// # Errors
    /// When these are no keys; then nothing changes.
    pub fn inherit(&self, keys: &[u8]) -> Result<(), Unspecified> {
        let (keys, rest) = keys.as_chunks();
        if !rest.is_empty() {
            return Err(Unspecified);
        }
        let old = keys.iter().map(Key::read).collect::<Result<Vec<_>, _>>()?;
        let ring = self.ring.load();
        let own = ring.keys.first().ok_or(Unspecified)?;
        self.keep(own.clone(), old.into_iter().map(Arc::new), ring.life);
        Ok(())
    }

    /// The first encrypts; of the others stay those that a ticket may need.
    fn keep(&self, first: Arc<Key>, others: impl Iterator<Item = Arc<Key>>, life: TicketLife) {
        let now = unix_now();
        // A key made its last ticket when the next one came, which was at most one rotation after itself.
        let is_needed = |key: &Arc<Key>| key.made.saturating_add(life.rotation + life.timeout) > now;
        let keys = std::iter::once(first).chain(others.filter(is_needed).take(KEPT)).collect();
        self.ring.store(Arc::new(Ring { keys, life }));
    }

    fn seal(&self, session: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let ring = self.ring.load();
        let key = ring.keys.first().ok_or(Unspecified)?;
        let mut sealed = Vec::with_capacity(TIME + session.len() + 16);
        sealed.extend_from_slice(&unix_now().as_secs().to_be_bytes());
        sealed.extend_from_slice(session);
        let nonce = key.cipher.seal_in_place_append_tag(Aad::from(key.name), &mut sealed)?;
        Ok([&key.name, nonce.as_ref().as_slice(), &sealed].concat())
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let ring = self.ring.load();
        let key = ring.keys.iter().find(|key| key.name == *name)?;
        let mut sealed = sealed.to_vec();
        let opened = key.cipher.open_in_place(Nonce::from(nonce), Aad::from(key.name), &mut sealed).ok()?;
        let (made, session) = opened.split_first_chunk::<TIME>()?;
        let age = unix_now().checked_sub(Duration::from_secs(u64::from_be_bytes(*made)))?;
        (age <= ring.life.timeout).then(|| session.to_vec())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.life().timeout.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.seal(session).ok()
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > LONGEST { None } else { self.open(ticket) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(timeout: u64) -> Tickets {
        Tickets::new(TicketLife { timeout: Duration::from_secs(timeout), rotation: Duration::from_secs(60) }).unwrap()
    }

    #[test]
    fn a_ticket_outlives_the_rotation_of_its_key() {
        let tickets = tickets(600);
        let ticket = tickets.encrypt(b"session").unwrap();
        for _ in 0..3 {
            tickets.rotate().unwrap();
            assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        }
        let other = tickets.encrypt(b"session").unwrap();
        assert_ne!(ticket[..NAME], other[..NAME], "a new key encrypts");
    }

    #[test]
    fn an_old_ticket_is_refused_and_its_key_forgotten() {
        let tickets = tickets(600);
        let ticket = tickets.encrypt(b"session").unwrap();
        tickets.set_life(TicketLife { timeout: Duration::ZERO, rotation: Duration::ZERO });
        assert!(tickets.ring.load().keys.len() == 1);
        tickets.rotate().unwrap();
        assert_eq!(tickets.ring.load().keys.len(), 1, "only the new one");
        assert!(tickets.decrypt(&ticket).is_none());
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let tickets = tickets(600);
        (0..2 * KEPT).for_each(|_| tickets.rotate().unwrap());
        assert_eq!(tickets.ring.load().keys.len(), KEPT + 1);
    }

    #[test]
    fn whoever_inherits_the_keys_reads_the_tickets_and_makes_others() {
        let (before, after) = (tickets(600), tickets(600));
        let first = before.encrypt(b"first").unwrap();
        before.rotate().unwrap();
        let second = before.encrypt(b"second").unwrap();
        after.inherit(&before.bequeath()).unwrap();
        assert_eq!(after.decrypt(&first).as_deref(), Some(&b"first"[..]));
        assert_eq!(after.decrypt(&second).as_deref(), Some(&b"second"[..]));
        assert!(before.decrypt(&after.encrypt(b"third").unwrap()).is_none(), "a key of its own encrypts");
        let next = tickets(600);
        next.inherit(&after.bequeath()).unwrap();
        assert!(next.decrypt(&first).is_some(), "and hands them on");
    }

    #[test]
    fn what_is_no_key_changes_nothing_and_what_is_too_old_is_not_kept() {
        let (before, after) = (tickets(600), tickets(600));
        let keys = before.bequeath();
        assert!(after.inherit(&keys[1..]).is_err());
        assert_eq!(after.ring.load().keys.len(), 1);
        after.set_life(TicketLife { timeout: Duration::ZERO, rotation: Duration::ZERO });
        after.inherit(&keys).unwrap();
        assert_eq!(after.ring.load().keys.len(), 1);
    }

    #[test]
    fn what_is_no_ticket_of_this_process_is_refused() {
        let (tickets, others) = (tickets(600), tickets(600));
        let ticket = tickets.encrypt(b"session").unwrap();
        assert!(others.decrypt(&ticket).is_none());
        for end in 0..ticket.len() {
            assert!(tickets.decrypt(&ticket[..end]).is_none(), "{end}");
        }
        for place in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[place] ^= 1;
            assert!(tickets.decrypt(&changed).is_none(), "{place}");
        }
    }
}
