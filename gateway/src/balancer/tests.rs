use std::time::Duration;

use proptest::prelude::*;

use super::*;

const HASHING: Algorithm = Algorithm::ConsistentHashing { slots: 10_000 };
const ALL: [Algorithm; 4] = [Algorithm::RoundRobin, HASHING, Algorithm::LeastConnections, Algorithm::Latency];

fn addresses(weights: &[u32]) -> Vec<Address> {
    let numbered = weights.iter().enumerate();
    numbered.map(|(at, weight)| Address { key: format!("10.0.0.{at}:80").into(), weight: *weight }).collect()
}

fn hashes(count: u64) -> impl Iterator<Item = Option<u64>> {
    (0..count).map(|number| Some(stable_hash(&number.to_le_bytes())))
}

/// How often each address is picked, nothing having been tried.
fn counts(balancer: &Balancer, size: usize, hashes: impl Iterator<Item = Option<u64>>) -> Vec<usize> {
    let mut counts = vec![0; size];
    hashes.for_each(|hash| counts[balancer.pick(&[], hash).unwrap()] += 1);
    counts
}

proptest! {
    #[test]
    fn a_round_honours_the_weights_exactly(weights in prop::collection::vec(0_u32..40, 1..12)) {
        let total: u32 = weights.iter().sum();
        prop_assume!(total > 0);
        let balancer = Balancer::build(Algorithm::RoundRobin, &addresses(&weights));
        let counts = counts(&balancer, weights.len(), (0..total).map(|_| None));
        prop_assert_eq!(counts, weights.iter().map(|weight| *weight as usize).collect::<Vec<_>>());
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn hashed_picks_are_within_one_percent_of_the_weights(weights in prop::collection::vec(0_u32..200, 1..8)) {
        let total: u32 = weights.iter().sum();
        prop_assume!(total > 0);
        let slots = Algorithm::ConsistentHashing { slots: 60_000 };
        let balancer = Balancer::build(slots, &addresses(&weights));
        let counts = counts(&balancer, weights.len(), hashes(60_000));
        for (count, weight) in counts.into_iter().zip(weights) {
            let (share, due) = (count as f64 / 60_000.0, f64::from(weight) / f64::from(total));
            prop_assert!((share - due).abs() < 0.01, "{share} instead of {due}");
        }
    }

    #[test]
    fn every_algorithm_picks_only_what_it_may(
        weights in prop::collection::vec(0_u32..3, 0..6),
        tried in prop::collection::vec(0_usize..6, 0..5),
        hash in prop::option::of(any::<u64>()),
    ) {
        for algorithm in ALL {
            let balancer = Balancer::build(algorithm, &addresses(&weights));
            let allowed: Vec<_> = (0..weights.len()).filter(|at| weights[*at] > 0 && !tried.contains(at)).collect();
            for _ in 0..4 {
                let picked = balancer.pick(&tried, hash);
                prop_assert_eq!(picked.is_some(), !allowed.is_empty(), "{:?}", algorithm);
                prop_assert!(picked.is_none_or(|index| allowed.contains(&index)), "{:?}", algorithm);
            }
        }
    }
}

#[test]
fn a_heavy_address_is_not_picked_in_one_stretch() {
    let balancer = Balancer::build(Algorithm::RoundRobin, &addresses(&[50, 50]));
    let picks: Vec<_> = (0..6).map(|_| balancer.pick(&[], None).unwrap()).collect();
    assert!(picks.windows(2).all(|pair| pair[0] != pair[1]), "{picks:?}");
    let balancer = Balancer::build(Algorithm::RoundRobin, &addresses(&[8, 1, 1]));
    let picks: Vec<_> = (0..20).map(|_| balancer.pick(&[], None).unwrap()).collect();
    let stretches = picks.split(|index| *index != 0).map(<[usize]>::len);
    assert!(stretches.max().unwrap() < 8, "{picks:?}");
}

#[test]
fn the_others_share_the_load_of_an_unusable_address_by_weight() {
    let balancer = Balancer::build(Algorithm::RoundRobin, &addresses(&[4, 3, 1]));
    let mut counts = [0_i32; 3];
    (0..8_000).for_each(|_| counts[balancer.pick(&[0], None).unwrap()] += 1);
    assert_eq!(counts[0], 0);
    assert!((counts[1] - 6_000).abs() < 80, "{counts:?}");
}

#[test]
fn a_rebuilt_wheel_goes_on_where_it_was() {
    let mut balancer = Balancer::build(Algorithm::RoundRobin, &addresses(&[1, 1]));
    let mut counts = [0; 2];
    for _ in 0..10 {
        counts[balancer.pick(&[], None).unwrap()] += 1;
        balancer = balancer.rebuild(Algorithm::RoundRobin, &addresses(&[1, 1]));
    }
    assert_eq!(counts, [5, 5]);
}

#[test]
fn weights_of_any_size_make_a_small_wheel() {
    let balancer = Balancer::build(Algorithm::RoundRobin, &addresses(&[u32::MAX, u32::MAX - 1, 1]));
    assert!((0..100).all(|_| balancer.pick(&[], None).is_some()));
}

#[test]
fn removing_one_of_a_hundred_moves_only_its_keys() {
    let all = addresses(&[100; 100]);
    let (before, after) = (Balancer::build(HASHING, &all), Balancer::build(HASHING, &all[..99]));
    let moved = hashes(20_000).filter(|hash| before.pick(&[], *hash) != after.pick(&[], *hash)).count();
    assert!(moved <= 300, "{moved} of 20000");
    for hash in hashes(20_000).filter(|hash| before.pick(&[], *hash) != Some(99)) {
        assert_eq!(before.pick(&[], hash), after.pick(&[], hash));
    }
}

#[test]
fn the_order_of_addresses_does_not_matter_to_a_hash() {
    let all = addresses(&[10, 20, 30]);
    let turned: Vec<_> = all.iter().rev().cloned().collect();
    let (one, other) = (Balancer::build(HASHING, &all), Balancer::build(HASHING, &turned));
    for hash in hashes(1_000) {
        assert_eq!(one.pick(&[], hash), other.pick(&[], hash).map(|index| 2 - index));
    }
    assert_eq!(one.pick(&[], None), one.pick(&[], None));
}

#[test]
fn least_connections_evens_out_what_is_under_way() {
    let balancer = Balancer::build(Algorithm::LeastConnections, &addresses(&[1, 1, 2]));
    let mut under_way: Vec<_> =
        (0..8).map(|_| balancer.pick(&[], None).unwrap()).map(|at| (at, balancer.started(at))).collect();
    let count = |index| under_way.iter().filter(|(at, _)| *at == index).count();
    assert_eq!([count(0), count(1), count(2)], [2, 2, 4]);
    under_way.retain(|(at, _)| *at != 1);
    assert_eq!(balancer.pick(&[], None), Some(1));
}

#[test]
fn least_connections_takes_turns_when_idle() {
    let balancer = Balancer::build(Algorithm::LeastConnections, &addresses(&[1, 1, 1]));
    assert_eq!(counts(&balancer, 3, (0..30).map(|_| None)), [10, 10, 10]);
}

#[test]
fn what_is_under_way_is_known_to_the_next_balancer() {
    let first = Balancer::build(Algorithm::LeastConnections, &addresses(&[1, 1]));
    let under_way = [first.started(1), first.started(1)];
    let second = first.rebuild(Algorithm::LeastConnections, &addresses(&[1, 1, 1]));
    assert_eq!(counts(&second, 3, (0..30).map(|_| None))[1], 0);
    drop(under_way);
    assert_eq!(counts(&second, 3, (0..30).map(|_| None)), [10, 10, 10]);
}

#[test]
fn latency_avoids_a_slow_and_a_failing_address() {
    let balancer = Balancer::build(Algorithm::Latency, &addresses(&[1; 4]));
    for (index, latency) in [(0, 5), (1, 500), (2, 5)] {
        balancer.started(index).answered(Duration::from_millis(latency));
    }
    balancer.started(3).failed();
    let counts = counts(&balancer, 4, (0..1_000).map(|_| None));
    assert_eq!(counts[3], 0, "{counts:?}");
    assert!(counts[1] < 250 && counts[0] > 300 && counts[2] > 300, "{counts:?}");
}

#[test]
fn workers_that_pick_at_the_same_time_still_get_exact_rounds() {
    let balancer = Balancer::build(Algorithm::RoundRobin, &addresses(&[3, 2, 1]));
    let totals = std::thread::scope(|scope| {
        let pick = || counts(&balancer, 3, (0..1_500).map(|_| None));
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(pick)).collect();
        let picked = workers.into_iter().map(|worker| worker.join().unwrap());
        picked.fold([0; 3], |totals, counts| std::array::from_fn(|at| totals[at] + counts[at]))
    });
    assert_eq!(totals, [3_000, 2_000, 1_000]);
}
