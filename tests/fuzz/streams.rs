//! The router of streams against the plainest one there is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use sandgate::router::{StreamAddress, StreamProtocol, StreamQuery, StreamRouter, StreamRule};

use crate::harness::{Numbers, Target};

const IPS: &[&str] =
    &["10.0.0.1", "10.0.0.2", "10.0.0.0/30", "10.0.0.0/8", "0.0.0.0/0", "::1", "::/0", "10.0.0.3/32", "x"];
const SNIS: &[&str] = &["a", "a.b", "*.b", "a.*", "a.b.", "*.a.b"];

fn address(numbers: &mut Numbers) -> StreamAddress {
    let ip = (!numbers.one_in(3)).then(|| Arc::from(*numbers.of_list(IPS)));
    let port = (ip.is_none() || numbers.one_in(2)).then(|| 1 + numbers.below(3) as u16);
    StreamAddress { ip, port }
}

fn rule(numbers: &mut Numbers, at: usize) -> StreamRule {
    let addresses = |numbers: &mut Numbers| (0..numbers.below(3)).map(|_| address(numbers)).collect::<Vec<_>>();
    let kinds: &[&[&str]] =
        &[&["tcp"], &["tls"], &["tcp", "tls"], &["udp"], &["tcp", "tls", "udp"], &["tls_passthrough"]];
    StreamRule {
        id: format!("{:04}", (at * 7919) % 10_000).into(),
        protocols: numbers.of_list(kinds).iter().map(|protocol| Arc::from(*protocol)).collect(),
        snis: numbers.some(SNIS, 2).into_iter().map(Arc::from).collect(),
        sources: addresses(numbers),
        destinations: addresses(numbers),
        expression: None,
    }
}

type Stream = (StreamProtocol, SocketAddr, SocketAddr, Option<&'static str>);

fn stream(numbers: &mut Numbers) -> Stream {
    let ips = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.9.9.9", "::1", "::ffff:10.0.0.1"];
    let address =
        |numbers: &mut Numbers| SocketAddr::new(numbers.of_list(&ips).parse().unwrap(), 1 + numbers.below(3) as u16);
    let protocol = *numbers.of_list(&[StreamProtocol::Tcp, StreamProtocol::Tls, StreamProtocol::Udp]);
    let sni = *numbers.of_list(&[None, Some("a"), Some("a.b"), Some("c.b"), Some("a.c"), Some("x.a.b"), Some("z")]);
    (protocol, address(numbers), address(numbers), sni)
}

fn network(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|_| IpNet::from(text.parse::<IpAddr>().unwrap()))
}

fn entry_fits(entry: &StreamAddress, address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    entry.port.is_none_or(|port| port == address.port())
        && entry.ip.as_ref().is_none_or(|text| network(text).contains(&ip))
}

fn name_fits(pattern: &str, name: &str) -> bool {
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => name == pattern,
    }
}

fn fits(rule: &StreamRule, (protocol, source, destination, sni): Stream) -> bool {
    let wanted: &[&str] = match protocol {
        StreamProtocol::Tcp => &["tcp"],
        StreamProtocol::Tls => &["tls", "tls_passthrough"],
        StreamProtocol::Udp => &["udp"],
    };
    let any = |entries: &[StreamAddress], address| {
        entries.is_empty() || entries.iter().any(|entry| entry_fits(entry, address))
    };
    rule.protocols.iter().any(|own| wanted.contains(&&**own))
        && (protocol != StreamProtocol::Tls
            || rule.snis.is_empty()
            || sni.is_some_and(|sni| rule.snis.iter().any(|pattern| name_fits(pattern, sni))))
        && any(&rule.sources, source)
        && any(&rule.destinations, destination)
}

/// 8 for an address, 4 for a port, 1 for a network.
fn weight(entries: &[StreamAddress]) -> u8 {
    entries.iter().fold(0, |weight, entry| {
        let of_ip = entry.ip.as_ref().map_or(0, |text| {
            let network = network(text);
            if network.prefix_len() == network.max_prefix_len() { 8 } else { 1 }
        });
        weight | of_ip | if entry.port.is_some() { 4 } else { 0 }
    })
}

fn rank(rule: &StreamRule) -> impl Ord + use<> {
    let is_narrow = !rule.snis.is_empty() || !(rule.sources.is_empty() || rule.destinations.is_empty());
    (is_narrow, weight(&rule.sources), weight(&rule.destinations), rule.id.clone())
}

#[test]
fn streams_are_found_as_by_the_plainest_router() {
    let make = |numbers: &mut Numbers| {
        let count = if numbers.one_in(4) { 200 } else { 12 };
        let rules: Vec<StreamRule> = (0..1 + numbers.below(count)).map(|at| rule(numbers, at)).collect();
        let streams: Vec<Stream> = (0..40).map(|_| stream(numbers)).collect();
        (rules, streams)
    };
    Target { name: "streams_are_found_as_by_the_plainest_router", runs: 800 }.run(make, |(rules, streams)| {
        let (router, rejected) =
            StreamRouter::build(rules.iter().map(|rule| (rule.clone(), rule.id.clone())).collect());
        let is_served = |rule: &&StreamRule| !rejected.iter().any(|rejected| rejected.id == rule.id);
        let served: Vec<&StreamRule> = rules.iter().filter(is_served).collect();
        for stream in streams {
            let (protocol, source, destination, sni) = *stream;
            let found = router.find(&StreamQuery { protocol, source, destination, sni });
            let expected = served.iter().filter(|rule| fits(rule, *stream)).max_by_key(|rule| rank(rule));
            assert_eq!(found.as_ref().map(|found| found.value), expected.map(|rule| &rule.id), "{stream:?}");
            if let (Some(found), Some(rule)) = (found, expected) {
                let ends_here = protocol != StreamProtocol::Tls || rule.protocols.iter().any(|own| **own == *"tls");
                assert_eq!(found.is_passthrough, !ends_here, "{stream:?}");
            }
        }
    });
}
