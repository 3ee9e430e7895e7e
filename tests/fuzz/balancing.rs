//! The balancer against what weights and hashes promise.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandgate::balancer::{Address, Algorithm, Balancer, stable_hash};

use crate::harness::{Numbers, Target};

const PICKS: usize = 100_000;

fn address(numbers: &mut Numbers, weight: u32) -> Address {
    let at = numbers.next().to_le_bytes();
    Address { key: format!("10.{}.{}.{}:{}", at[0], at[1], at[2], 1 + numbers.below(65_535)).into(), weight }
}

/// Addresses that differ, in no order.
fn addresses(numbers: &mut Numbers, count: usize, weight: impl Fn(&mut Numbers) -> u32) -> Vec<Address> {
    let mut found = BTreeMap::<Arc<str>, Address>::new();
    while found.len() < count {
        let weight = weight(numbers);
        let address = address(numbers, weight);
        found.insert(address.key.clone(), address);
    }
    let mut list: Vec<_> = found.into_values().collect();
    (1..count).for_each(|at| list.swap(at, numbers.below(at + 1)));
    list
}

/// Keys of clients, as they are hashed.
fn hashes(seed: u64, count: usize) -> impl Iterator<Item = Option<u64>> {
    (0..count).map(move |number| Some(stable_hash(format!("{seed}-{number}").as_bytes())))
}

/// What each address gets beyond what is due to its weight, at the most, as a share of all picks.
fn unfairness(balancer: &Balancer, addresses: &[Address], usable: &[bool], seed: u64) -> f64 {
    let mut counts = vec![0_usize; addresses.len()];
    for hash in hashes(seed, PICKS) {
        counts[balancer.pick_where(&|index| usable[index], hash).unwrap()] += 1;
    }
    let due = |index: usize| if usable[index] { f64::from(addresses[index].weight) } else { 0.0 };
    let all: f64 = (0..addresses.len()).map(due).sum();
    let shares = counts.iter().enumerate();
    let off = shares.map(|(index, count)| (*count as f64 / PICKS as f64 - due(index) / all).abs());
    off.fold(0.0, f64::max)
}

#[test]
fn picks_are_within_one_percent_of_the_weights() {
    let make = |numbers: &mut Numbers| {
        let count = 1 + numbers.below(40);
        let mut addresses = addresses(numbers, count, |numbers| numbers.below(1_000) as u32);
        addresses[0].weight += 1;
        // Some are down.
        let down = numbers.one_in(2);
        let usable: Vec<bool> = (0..count).map(|at| at == 0 || !down || !numbers.one_in(4)).collect();
        (addresses, usable, numbers.next())
    };
    Target { name: "picks_are_within_one_percent_of_the_weights", runs: 30 }.run(make, |(addresses, usable, seed)| {
        for algorithm in [Algorithm::RoundRobin, Algorithm::ConsistentHashing { slots: 65_536 }] {
            let balancer = Balancer::build(algorithm, addresses);
            let off = unfairness(&balancer, addresses, usable, *seed);
            assert!(off < 0.01, "{algorithm:?} is off by {off}");
        }
    });
}

#[test]
fn one_of_a_hundred_takes_its_keys_along_and_no_others() {
    let make = |numbers: &mut Numbers| {
        let addresses = addresses(numbers, 100, |_| 100);
        (addresses, numbers.below(100), numbers.next())
    };
    Target { name: "one_of_a_hundred_takes_its_keys_along_and_no_others", runs: 20 }.run(make, |(all, gone, seed)| {
        let algorithm = Algorithm::ConsistentHashing { slots: 10_000 };
        let rest: Vec<_> = all.iter().enumerate().filter(|(at, _)| at != gone).map(|(_, one)| one.clone()).collect();
        let (before, after) = (Balancer::build(algorithm, all), Balancer::build(algorithm, &rest));
        let mut moved = 0;
        for hash in hashes(*seed, PICKS) {
            let (old, new) = (before.pick(&[], hash).unwrap(), after.pick(&[], hash).unwrap());
            let is_moved = all[old].key != rest[new].key;
            assert!(!is_moved || old == *gone, "a key of {} moved", all[old].key);
            moved += usize::from(is_moved);
        }
        assert!(moved * 1_000 <= PICKS * 15, "{moved} of {PICKS} keys moved");
    });
}
