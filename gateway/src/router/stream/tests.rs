use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

fn addresses(texts: &[&str]) -> Vec<StreamAddress> {
    let one = |text: &&str| {
        let (ip, port) = text.rsplit_once('#').unwrap_or((text, ""));
        StreamAddress { ip: (!ip.is_empty()).then(|| ip.into()), port: port.parse().ok() }
    };
    texts.iter().map(one).collect()
}

fn names(texts: &[&str]) -> Vec<Arc<str>> {
    texts.iter().map(|text| Arc::from(*text)).collect()
}

/// Addresses are written `ip#port`.
fn rule(id: &str, protocols: &[&str], snis: &[&str], sources: &[&str], destinations: &[&str]) -> StreamRule {
    let (sources, destinations) = (addresses(sources), addresses(destinations));
    let (id, protocols, snis) = (id.into(), names(protocols), names(snis));
    StreamRule { id, protocols, snis, sources, destinations, expression: None }
}

fn query<'a>(protocol: StreamProtocol, source: &str, destination: &str, sni: Option<&'a str>) -> StreamQuery<'a> {
    StreamQuery { protocol, source: source.parse().unwrap(), destination: destination.parse().unwrap(), sni }
}

fn winner(rules: &[StreamRule], query: &StreamQuery<'_>) -> Option<String> {
    let (router, rejected) =
        StreamRouter::build(rules.iter().map(|rule| (rule.clone(), rule.id.to_string())).collect());
    assert!(rejected.is_empty(), "{rejected:?}");
    router.find(query).map(|found| found.value.clone())
}

#[test]
fn a_stream_is_told_by_port_address_network_and_protocol() {
    let rules = [
        rule("port", &["tcp"], &[], &[], &["#9000"]),
        rule("source", &["tcp"], &[], &["10.1.2.3"], &[]),
        rule("network", &["tcp"], &[], &["10.0.0.0/8"], &[]),
        rule("datagram", &["udp"], &[], &[], &["127.0.0.1#53", "#54"]),
    ];
    use StreamProtocol::{Tcp, Udp};
    let table = [
        ("destination port", Tcp, "1.1.1.1:1", "127.0.0.1:9000", Some("port")),
        ("a source weighs more", Tcp, "10.1.2.3:1", "127.0.0.1:9000", Some("source")),
        ("a network weighs less than an address", Tcp, "10.1.2.4:1", "127.0.0.1:1", Some("network")),
        ("an IPv4 address in IPv6 form", Tcp, "[::ffff:10.1.2.3]:1", "127.0.0.1:1", Some("source")),
        ("nothing", Tcp, "1.1.1.1:1", "127.0.0.1:1", None),
        ("not for TCP", Tcp, "1.1.1.1:1", "127.0.0.1:53", None),
        ("a datagram", Udp, "1.1.1.1:1", "127.0.0.1:53", Some("datagram")),
        ("any entry will do", Udp, "1.1.1.1:1", "9.9.9.9:54", Some("datagram")),
        ("both parts of an entry must fit", Udp, "1.1.1.1:1", "9.9.9.9:53", None),
    ];
    for (label, protocol, source, destination, expected) in table {
        let query = query(protocol, source, destination, None);
        assert_eq!(winner(&rules, &query).as_deref(), expected, "{label}");
    }
}

#[test]
fn a_server_name_comes_first_and_is_only_asked_for_over_tls() {
    let rules = [
        rule("name", &["tls"], &["a.test"], &[], &[]),
        rule("start", &["tls"], &["a.*"], &[], &[]),
        rule("end", &["tls_passthrough"], &["*.test"], &[], &[]),
        rule("port", &["tls"], &[], &[], &["127.0.0.1#9443"]),
        rule("both", &["tcp", "tls"], &["b.org"], &[], &[]),
    ];
    let to = |sni| query(StreamProtocol::Tls, "1.1.1.1:1", "127.0.0.1:9443", sni);
    assert_eq!(winner(&rules, &to(Some("a.org"))).as_deref(), Some("start"));
    assert_eq!(winner(&rules, &to(Some("x.y.test"))).as_deref(), Some("end"));
    assert_eq!(winner(&rules, &to(Some("c.org"))).as_deref(), Some("port"));
    assert_eq!(winner(&rules, &to(Some("b.org"))).as_deref(), Some("both"));
    assert_eq!(winner(&rules, &to(None)).as_deref(), Some("port"));
    // Nothing but the id orders these three.
    assert_eq!(winner(&rules, &to(Some("a.test"))).as_deref(), Some("start"));
    let plain = query(StreamProtocol::Tcp, "1.1.1.1:1", "127.0.0.1:9443", None);
    assert_eq!(winner(&rules, &plain).as_deref(), Some("both"));
}

#[test]
fn a_match_says_where_it_stood_and_whether_tls_ends_here() {
    let rules =
        vec![(rule("a", &["tls"], &["a"], &[], &[]), ()), (rule("b", &["tls_passthrough"], &["b"], &[], &[]), ())];
    let (router, _) = StreamRouter::build(rules);
    for (sni, index, is_passthrough) in [("a", 0, false), ("b", 1, true)] {
        let found = router.find(&query(StreamProtocol::Tls, "1.1.1.1:1", "1.1.1.1:2", Some(sni))).unwrap();
        assert_eq!((found.index, found.is_passthrough), (index, is_passthrough), "{sni}");
    }
}

#[test]
fn an_expression_comes_first() {
    let expression = |id: &str, text: &str, priority| {
        let expression = Some(RankedExpression { text: text.into(), priority });
        StreamRule { expression, ..rule(id, &["tcp"], &[], &[], &[]) }
    };
    let rules = [
        rule("classic", &["tcp"], &[], &["1.1.1.1#1"], &["127.0.0.1#9000"]),
        expression("port", "net.dst.port == 9000", 1),
        expression("network", "net.src.ip in 1.1.1.0/24", 2),
        expression("datagram", r#"net.protocol == "udp""#, 3),
    ];
    let to = |source| query(StreamProtocol::Tcp, source, "127.0.0.1:9000", None);
    assert_eq!(winner(&rules, &to("1.1.1.1:1")).as_deref(), Some("network"));
    assert_eq!(winner(&rules, &to("2.2.2.2:1")).as_deref(), Some("port"));
}

#[test]
fn rules_that_cannot_be_served_are_returned() {
    let bad = [
        rule("http", &["http"], &[], &[], &["#1"]),
        rule("empty", &["tcp"], &[], &[], &[]),
        rule("address", &["tcp"], &[], &["10.0.0.0/99"], &[]),
        rule("name", &["tls"], &["a*b"], &[], &[]),
    ];
    let (router, rejected) = StreamRouter::build(bad.map(|rule| (rule, ())).into());
    assert!(router.is_empty());
    assert!(matches!(rejected[0].reason, RuleError::NotStream));
    assert!(matches!(rejected[1].reason, RuleError::UnconditionalStream));
    assert!(matches!(rejected[2].reason, RuleError::Address(_)));
    assert!(matches!(rejected[3].reason, RuleError::Name(_)));
}

const PROTOCOLS: &[&[&str]] = &[&["tcp"], &["tls"], &["tcp", "tls", "udp"], &["tls_passthrough"], &["udp"]];
const SNIS: &[&str] = &["a", "a.b", "*.b", "a.*"];
const ADDRESSES: &[&str] = &["10.0.0.1", "10.0.0.2#1", "10.0.0.0/30", "#1", "#2", "10.0.0.3#2", "::1", "::/0"];

fn any_rule() -> impl Strategy<Value = StreamRule> {
    let list = |choices: &'static [&'static str]| subsequence(choices, 0..=2);
    (select(PROTOCOLS), list(SNIS), list(ADDRESSES), list(ADDRESSES)).prop_map(|(protocols, snis, from, mut to)| {
        if snis.is_empty() && from.is_empty() && to.is_empty() {
            to.push("#1");
        }
        rule("", protocols, &snis, &from, &to)
    })
}

fn any_query() -> impl Strategy<Value = StreamQuery<'static>> {
    let address = || {
        let ip = select(vec!["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9", "[::1]"]);
        (ip, 1..3_u16).prop_map(|(ip, port)| format!("{ip}:{port}"))
    };
    let protocol = select(vec![StreamProtocol::Tcp, StreamProtocol::Tls, StreamProtocol::Udp]);
    let sni = prop::option::of(select(vec!["a", "a.b", "c.b", "a.c", "z"]));
    (protocol, address(), address(), sni).prop_map(|(protocol, from, to, sni)| query(protocol, &from, &to, sni))
}

proptest! {
    #[test]
    fn streams_find_what_comparing_each_rule_finds(
        rules in prop::collection::vec(any_rule(), 1..60),
        queries in prop::collection::vec(any_query(), 60),
    ) {
        let numbered = rules.into_iter().enumerate();
        let rules: Vec<_> =
            numbered.map(|(at, rule)| StreamRule { id: format!("{:02}", (at * 37) % 100).into(), ..rule }).collect();
        let (router, _) = StreamRouter::build(rules.iter().map(|rule| (rule.clone(), rule.id.clone())).collect());
        let entries: Vec<_> = rules.iter().map(|rule| Entry::compile(rule, 0, rule.id.clone()).unwrap()).collect();
        for query in queries {
            let matching = entries.iter().filter(|entry| entry.matches(&query));
            let expected = matching.max_by_key(|entry| entry.precedence.clone()).map(|entry| &entry.value);
            prop_assert_eq!(router.find(&query).map(|found| found.value), expected, "{:?}", query);
        }
    }
}

#[test]
fn a_lookup_among_many_streams_costs_about_as_much_as_among_few() {
    let cost = |size: usize| {
        let rules = (0..size).map(|at| match at % 3 {
            0 => rule(&format!("{at:05}"), &["tls"], &[&format!("h{at}.test")], &[], &[]),
            1 => rule(&format!("{at:05}"), &["tcp"], &[], &[], &[&format!("10.{}.{}.1", at / 256, at % 256)]),
            _ => rule(&format!("{at:05}"), &["tcp"], &[], &[&format!("10.{}.{}.2", at / 256, at % 256)], &[]),
        });
        let rules: Vec<_> = rules.map(|rule| (rule.clone(), rule.id)).collect();
        let began = std::time::Instant::now();
        let (router, rejected) = StreamRouter::build(rules);
        let built = began.elapsed();
        assert!(rejected.is_empty());
        let round = || {
            let began = std::time::Instant::now();
            for at in (0..size).step_by(3).cycle().take(300) {
                let sni = format!("h{at}.test");
                let found = router.find(&query(StreamProtocol::Tls, "1.1.1.1:1", "1.1.1.1:2", Some(&sni)));
                assert_eq!(&**found.unwrap().value, format!("{at:05}"));
            }
            began.elapsed() / 300
        };
        (built, (0..5).map(|_| round()).min().unwrap())
    };
    let ((_, few), (built, many)) = (cost(6), cost(10_000));
    println!("{few:?} among 6, {many:?} among 10,000, which were built in {built:?}");
    assert!(many < few * 10, "{few:?} among 6, {many:?} among 10,000");
}
