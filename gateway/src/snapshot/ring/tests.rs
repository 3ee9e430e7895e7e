use super::*;
use crate::dns::{Dns, Found};

const SECOND: Duration = Duration::from_secs(1);

fn found(lasts: impl IntoIterator<Item = u8>) -> Found {
    let record = |last| Record { ip: std::net::Ipv4Addr::new(10, 0, 0, last).into(), service: None };
    Found::new(Kind::A, lasts.into_iter().map(record).collect(), 10 * SECOND).unwrap()
}

fn ring(algorithm: Algorithm, names: &[&Arc<Name>]) -> Arc<Ring> {
    let spot = |name: &&Arc<Name>| Spot { place: Place::Named(Arc::clone(name)), port: 80, weight: 100 };
    let spots = names.iter().map(spot).collect();
    Ring::build(Recipe { algorithm, spots, uses_srv_name: false }, None, true)
}

fn health(ring: &Ring, address: &str) -> Option<Arc<Health>> {
    let address = address.parse().unwrap();
    ring.with(|peers| peers.list.iter().find(|peer| peer.address == address).map(|peer| peer.health.clone()))
}

#[test]
fn an_address_fares_as_before_when_it_comes_back_soon() {
    let name = Dns::default().name("a.test");
    name.means(Ok(found([1, 2])));
    let ring = ring(Algorithm::RoundRobin, &[&name]);
    health(&ring, "10.0.0.1:80").unwrap().mark(false);
    for (after, expected) in [(0, false), (290, false), (310, true)] {
        name.means(Ok(found([2])));
        assert!(health(&ring, "10.0.0.1:80").is_none());
        ring.renew_at(Instant::now() + after * SECOND);
        name.means(Ok(found([1, 2])));
        assert_eq!(health(&ring, "10.0.0.1:80").unwrap().is_healthy(), expected, "after {after} s");
        assert!(health(&ring, "10.0.0.2:80").unwrap().is_healthy());
    }
}

#[test]
fn a_ring_of_the_next_configuration_goes_on_where_the_one_before_was() {
    let name = Dns::default().name("a.test");
    name.means(Ok(found([1, 2])));
    let before = ring(Algorithm::RoundRobin, &[&name]);
    health(&before, "10.0.0.1:80").unwrap().mark(false);
    for (fares, expected) in [(true, false), (false, true)] {
        let spots = vec![Spot { place: Place::Named(name.clone()), port: 80, weight: 50 }];
        let recipe = Recipe { algorithm: Algorithm::RoundRobin, spots, uses_srv_name: false };
        let after = Ring::build(recipe, Some(&before.peers()), fares);
        assert_eq!(health(&after, "10.0.0.1:80").unwrap().is_healthy(), expected);
        assert!(after.with(|peers| peers.list.iter().all(|peer| peer.weight == 50)));
    }
}

#[test]
fn a_hash_leads_to_the_same_address_when_others_come_and_go() {
    let name = Dns::default().name("a.test");
    name.means(Ok(found(1..=99)));
    let ring = ring(Algorithm::ConsistentHashing { slots: 10_000 }, &[&name]);
    let picks = || -> Vec<SocketAddr> {
        ring.with(|peers| {
            let pick = |hash: u64| {
                peers.list[peers.balancer.pick(&[], Some(stable_hash(&hash.to_le_bytes()))).unwrap()].address
            };
            (0..10_000).map(pick).collect()
        })
    };
    let before = picks();
    name.means(Ok(found(1..=100)));
    let after = picks();
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
    let (count, newcomer) = (moved.clone().count(), "10.0.0.100:80".parse().unwrap());
    assert!((50..150).contains(&count), "{count} of 10,000 moved");
    assert!(moved.clone().all(|(_, after)| *after == newcomer));
    name.means(Ok(found(1..=99)));
    assert!(picks() == before);
}

#[tokio::test]
async fn waiting_ends_with_the_first_address_or_when_none_will_come() {
    const SHORT: Duration = Duration::from_millis(20);
    let dns = Dns::default();
    let (a, b) = (dns.name("a.test"), dns.name("b.test"));
    let ring = ring(Algorithm::RoundRobin, &[&a, &b]);
    let waits = async |limit| {
        let begun = Instant::now();
        ring.settled(limit).await;
        begun.elapsed() >= limit
    };
    assert!(waits(SHORT).await, "nobody knows anything");
    a.means(Err(NameError::NotFound));
    assert!(waits(SHORT).await, "one of them may still have an address");
    b.means(Ok(found([1])));
    assert!(!waits(60 * SECOND).await);
    assert!(ring.with(|peers| !peers.pending && peers.failure("A.test.") == Some(&NameError::NotFound)));
}
