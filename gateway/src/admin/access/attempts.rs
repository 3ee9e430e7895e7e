//! Attempts that were denied, by address. They bound what strangers can make the node say and store; a valid token is
//! never kept out by them, so that nobody locks an operator out by guessing beside them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Denials of one address that are told apart, within [`WINDOW`].
const PER_WINDOW: u32 = 10;
/// How long denials are remembered.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; the rest share one place.
const ADDRESSES: usize = 4096;
/// Where they share it.
const OTHERS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// What is done about a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// It is logged, and answered with the reason.
    Noted,
    /// There were too many: the client is told to wait so long.
    TooMany(Duration),
}

/// Denials of the last minute.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, Counted>>);

#[derive(Debug)]
struct Counted {
    since: Instant,
    count: u32,
}

impl Attempts {
    /// Counts one more at this moment.
    pub(super) fn count(&self, address: IpAddr, now: Instant) -> Attempt {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut address = network(address);
        if counted.len() >= ADDRESSES && !counted.contains_key(&address) {
            counted.retain(|_, counted| now.duration_since(counted.since) < WINDOW);
            if counted.len() >= ADDRESSES {
                address = OTHERS;
            }
        }
        let entry = counted.entry(address).or_insert(Counted { since: now, count: 0 });
        let age = now.duration_since(entry.since);
        if age >= WINDOW {
            *entry = Counted { since: now, count: 0 };
        }
        entry.count = entry.count.saturating_add(1);
        if entry.count <= PER_WINDOW { Attempt::Noted } else { Attempt::TooMany(WINDOW.saturating_sub(age)) }
    }
}

/// Of IPv6 the network counts: one client has a whole one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_to_wait_after_ten_denials_in_a_minute() {
        let (attempts, begin) = (Attempts::default(), Instant::now());
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let at = |seconds| begin + Duration::from_secs(seconds);
        for _ in 0..10 {
            assert_eq!(attempts.count(one, at(0)), Attempt::Noted);
        }
        assert_eq!(attempts.count(one, at(20)), Attempt::TooMany(Duration::from_secs(40)));
        assert_eq!(attempts.count(other, at(20)), Attempt::Noted);
        assert_eq!(attempts.count(one, at(60)), Attempt::Noted);
    }

    #[test]
    fn many_addresses_take_bounded_memory() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..20_000_u32 {
            attempts.count(std::net::Ipv4Addr::from(number).into(), now);
        }
        assert!(attempts.0.lock().unwrap().len() <= ADDRESSES + 1);
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for number in 0..10 {
            attempts.count(format!("2001:db8::{number}").parse().unwrap(), now);
        }
        assert!(matches!(attempts.count("2001:db8::ffff".parse().unwrap(), now), Attempt::TooMany(_)));
    }
}
