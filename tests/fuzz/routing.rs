//! The router against the plainest router there is: every rule in turn, condition by condition, as Kong describes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use atc_router::{
    ast::{Type, Value},
    context::{Context, Match},
    interpreter::Execute,
    parser,
    schema::Schema,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use regex::bytes::Regex;
use sandgate::router::{Query, RankedExpression, Router, Rule, Transport};

use crate::harness::{Numbers, Target, made};

const NAMES: &[&str] = &["a", "b", "a.b", "b.a", "c.b", "x.a.b", "a.c", "a.b.c", "A.b", "[::1]"];
const HOSTS: &[&str] = &[
    "a",
    "a.b",
    "b.a",
    "*.b",
    "*.a.b",
    "a.*",
    "a.b.*",
    "a:80",
    "a.b:8000",
    "*.b:80",
    "a.*:80",
    "[::1]:80",
    "*.c:99999",
];
const PATHS: &[&str] = &[
    "/",
    "/a",
    "/ab",
    "/a/",
    "/a/b",
    "/b",
    "/a%2Fb",
    "~/a",
    "~/a/?b",
    "~/(a|b)$",
    "~/a+",
    "~/[ab]/b",
    "~/b|/a/",
    "~(?i)/A",
    "~/(?<x>a*)/b",
    "~^/a",
    "~a",
];
const METHODS: &[&str] = &["GET", "PUT", "get", "X-OWN"];
const HEADERS: &[&str] = &["x-h", "X_H", "y", "x-h-"];
const VALUES: &[&str] = &["1", "X", "~*^x", "~*2$", "~*\\D", "", "a, b"];
const SNIS: &[&str] = &["a", "a.b", "*.b", "a.*", "a.b."];

/// Mostly one of the list; now and then something that was made of it.
fn text(numbers: &mut Numbers, list: &[&str]) -> String {
    if numbers.one_in(12) {
        let corpus: Vec<&[u8]> = list.iter().map(|text| text.as_bytes()).collect();
        String::from_utf8_lossy(&made(numbers, &corpus, 24)).into_owned()
    } else {
        (*numbers.of_list(list)).to_owned()
    }
}

fn texts(numbers: &mut Numbers, list: &[&str], most: usize) -> Vec<Arc<str>> {
    let count = numbers.below(most + 1);
    (0..count).map(|_| text(numbers, list).into()).collect()
}

fn rule(numbers: &mut Numbers, at: usize) -> Rule {
    let headers = (0..numbers.below(3)).map(|_| (text(numbers, HEADERS).into(), texts(numbers, VALUES, 2)));
    let headers: BTreeMap<Arc<str>, Vec<Arc<str>>> = headers.collect();
    let hosts = texts(numbers, HOSTS, 3);
    Rule {
        id: format!("{:04}", (at * 7919) % 10_000).into(),
        protocols: vec!["http".into(), "https".into()],
        methods: if numbers.one_in(3) { texts(numbers, METHODS, 2) } else { Vec::new() },
        hosts: (!hosts.is_empty() || numbers.one_in(2)).then_some(hosts),
        paths: texts(numbers, PATHS, 3),
        headers: if numbers.one_in(3) { headers } else { BTreeMap::new() },
        snis: if numbers.one_in(4) { texts(numbers, SNIS, 2) } else { Vec::new() },
        regex_priority: numbers.below(3) as i64,
        ..Rule::default()
    }
}

/// A request that owns its parts.
#[derive(Debug, Clone)]
struct Sent {
    method: Method,
    host: Option<String>,
    path: String,
    arguments: String,
    headers: HeaderMap,
    /// Over TLS, with its server name.
    tls: Option<Option<String>>,
}

impl Sent {
    fn any(numbers: &mut Numbers) -> Self {
        let mut headers = HeaderMap::new();
        for _ in 0..numbers.below(3) {
            let name = *numbers.of_list(&["x-h", "x_h", "y", "x-h_"]);
            let value = *numbers.of_list(&[&b"1"[..], b"x", b"X2", b"2", b"a, b", b"\xff2", b""]);
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        let host = (!numbers.one_in(10)).then(|| {
            let port = *numbers.of_list(&["", "", "", ":80", ":8000", ":x", ":"]);
            format!("{}{port}", numbers.of_list(NAMES))
        });
        // Normal paths have no empty segment but the last.
        let segments = numbers.some(&["a", "b", "ab", "A", "aa", "a%2Fb", "c"], 4);
        let path =
            format!("/{}{}", segments.join("/"), if numbers.one_in(3) && !segments.is_empty() { "/" } else { "" });
        let sni =
            numbers.of_list(&[None, Some("a"), Some("a.b"), Some("c.b"), Some("a.c"), Some("z")]).map(str::to_owned);
        let arguments = numbers.some(&["q=1", "q=2", "q", "r=a%20b", "r=A"], 2).join("&");
        Self {
            method: Method::from_bytes(numbers.of_list(METHODS).as_bytes()).unwrap(),
            host,
            path,
            arguments,
            headers,
            tls: numbers.one_in(2).then_some(sni),
        }
    }

    fn query(&self) -> Query<'_> {
        Query {
            method: &self.method,
            host: self.host.as_deref(),
            port: 8000,
            path: &self.path,
            headers: &self.headers,
            transport: self.tls.as_ref().map_or(Transport::Plain, |sni| Transport::Tls { sni: sni.as_deref() }),
            arguments: Some(&self.arguments),
            source: "10.1.2.3:4711".parse().ok(),
            destination: "127.0.0.1:8000".parse().ok(),
        }
    }
}

/// A name and the port behind it, if it is one.
fn split_port(host: &str) -> (&str, Option<u16>) {
    let Some((name, text)) = host.rsplit_once(':') else { return (host, None) };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if is_number && (!name.contains(':') || name.ends_with(']')) => (name, Some(port)),
        _ => (host, None),
    }
}

fn name_fits(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => name == pattern,
    }
}

fn host_fits(pattern: &str, sent: &Sent) -> bool {
    let (name, port) = split_port(sent.host.as_deref().unwrap_or_default());
    let (wanted, wanted_port) = split_port(pattern);
    !name.is_empty() && name_fits(wanted, name) && wanted_port.is_none_or(|wanted| wanted == port.unwrap_or(8000))
}

/// How much of the path it matches.
fn path_fits(pattern: &str, path: &str) -> Option<usize> {
    match pattern.strip_prefix('~') {
        Some(expression) => {
            regex::Regex::new(&format!("^(?:{expression})")).unwrap().find(path).map(|found| found.end())
        }
        None => path.starts_with(pattern).then_some(pattern.len()),
    }
}

fn header_fits(name: &str, values: &[Arc<str>], headers: &HeaderMap) -> bool {
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let lower = |value: &[u8]| value.to_ascii_lowercase();
    let sent = headers.iter().filter(|(sent, _)| plain(sent.as_str()) == plain(name));
    let mut sent = sent.map(|(_, value)| lower(value.as_bytes()));
    sent.any(|sent| {
        values.iter().any(|value| match value.to_ascii_lowercase().strip_prefix("~*") {
            Some(expression) => Regex::new(expression).unwrap().is_match(&sent),
            None => sent == lower(value.as_bytes()),
        })
    })
}

fn sni_fits(snis: &[Arc<str>], sent: &Sent) -> bool {
    let Some(sni) = &sent.tls else { return true };
    let wanted = |pattern: &Arc<str>| {
        sni.as_ref().is_some_and(|sni| name_fits(pattern.strip_suffix('.').unwrap_or(pattern), sni))
    };
    snis.is_empty() || snis.iter().any(wanted)
}

/// Attributes, plain hosts, headers, whether it is an expression, `regex_priority`, length, id.
type Rank = (usize, bool, usize, bool, i64, usize, Arc<str>);

/// Where a rule stands on one of its paths, by the bits of Kong's priority.
fn rank(rule: &Rule, path: Option<&str>) -> Rank {
    let hosts = rule.hosts.as_deref().unwrap_or_default();
    let set = [
        !rule.methods.is_empty(),
        !hosts.is_empty(),
        !rule.headers.is_empty(),
        !rule.paths.is_empty(),
        !rule.snis.is_empty(),
    ];
    let is_pattern = path.is_some_and(|path| path.starts_with('~'));
    (
        set.into_iter().filter(|is_set| *is_set).count(),
        rule.hosts.is_some() && !hosts.iter().any(|host| host.contains('*')),
        rule.headers.len(),
        is_pattern,
        if is_pattern { rule.regex_priority } else { 0 },
        if is_pattern { 0 } else { path.map_or(0, str::len) },
        rule.id.clone(),
    )
}

/// The id of the rule, and how much of the path it matches.
type Answer = Option<(Arc<str>, Option<usize>)>;

fn naive(rules: &[Rule], sent: &Sent) -> Answer {
    let mut best: Option<(Rank, &Rule, Option<usize>)> = None;
    for rule in rules {
        let hosts = rule.hosts.as_deref().unwrap_or_default();
        let fits = (rule.methods.is_empty() || rule.methods.iter().any(|method| **method == *sent.method.as_str()))
            && (hosts.is_empty() || hosts.iter().any(|host| host_fits(host, sent)))
            && rule.headers.iter().all(|(name, values)| header_fits(name, values, &sent.headers))
            && sni_fits(&rule.snis, sent);
        if !fits {
            continue;
        }
        let pathless = rule.paths.is_empty().then_some((rank(rule, None), rule, None));
        let paths = rule
            .paths
            .iter()
            .filter_map(|path| Some((rank(rule, Some(path)), rule, Some(path_fits(path, &sent.path)?))));
        for candidate in paths.chain(pathless) {
            // Among equals, the earlier of a rule's paths.
            if best.as_ref().is_none_or(|(rank, ..)| candidate.0 > *rank) {
                best = Some(candidate);
            }
        }
    }
    best.map(|(_, rule, length)| (rule.id.clone(), length))
}

fn indexed<T: Clone>(router: &Router<T>, sent: &Sent, id: impl Fn(&T) -> Arc<str>) -> Answer {
    let query = sent.query();
    let found = router.find(&query)?;
    Some((id(found.value), found.prefix.map(str::len)))
}

#[test]
fn the_router_answers_as_the_plainest_one() {
    let make = |numbers: &mut Numbers| {
        let count = if numbers.one_in(4) { 120 } else { 12 };
        let crowd = numbers.one_in(4);
        let mut rules: Vec<Rule> = (0..1 + numbers.below(count)).map(|at| rule(numbers, at)).collect();
        if crowd {
            rules.iter_mut().for_each(|rule| (rule.hosts, rule.paths) = (None, vec!["/".into()]));
        }
        let sent: Vec<Sent> = (0..20).map(|_| Sent::any(numbers)).collect();
        (rules, sent)
    };
    Target { name: "the_router_answers_as_the_plainest_one", runs: 400 }.run(make, |(rules, sent)| {
        let (router, rejected) = Router::build(rules.iter().map(|rule| (rule.clone(), rule.id.clone())).collect());
        let is_served = |rule: &&Rule| !rejected.iter().any(|rejected| rejected.id == rule.id);
        let served: Vec<Rule> = rules.iter().filter(is_served).cloned().collect();
        assert!(served.len() * 4 + 20 > rules.len(), "few are refused");
        for sent in sent {
            assert_eq!(indexed(&router, sent, Arc::clone), naive(&served, sent), "{sent:?}");
        }
    });
}

/// Whether a router with this rule alone finds it, or nothing if it refuses the rule.
fn is_found(rule: Rule, sent: &Sent) -> Option<bool> {
    let rule = Rule { protocols: vec!["http".into(), "https".into()], ..rule };
    let (router, rejected) = Router::build(vec![(rule, ())]);
    rejected.is_empty().then(|| router.find(&sent.query()).is_some())
}

/// A text of the list as it is, with one byte changed, or made of several.
fn near(numbers: &mut Numbers, list: &[&str]) -> String {
    let mut text = (*numbers.of_list(list)).to_owned();
    match numbers.below(4) {
        0 => text = text.to_ascii_uppercase(),
        1 => text.push_str(numbers.of_list::<&str>(&[".", ":80", ":0", ":65536", "a", "*", "-", ":8000"])),
        2 => text.insert_str(0, numbers.of_list::<&str>(&["a.", ".", "*.", "x", "b.", "[", " "])),
        _ => {}
    }
    text
}

#[test]
fn one_host_matches_as_by_plain_comparison() {
    let make = |numbers: &mut Numbers| {
        let pattern = near(numbers, HOSTS);
        let sent: Vec<Sent> = (0..40)
            .map(|_| {
                let mut sent = Sent::any(numbers);
                // Mostly a host that the pattern was made for.
                let named = pattern.replace('*', numbers.of_list::<&str>(&["a", "b", "a.b", ""]));
                sent.host = Some(near(numbers, &[&named, "a.b", "x.a.b", "[::1]"]));
                sent
            })
            .collect();
        (pattern, sent)
    };
    let matched = std::cell::Cell::new(0_u64);
    let target = Target { name: "one_host_matches_as_by_plain_comparison", runs: 2_000 };
    target.run(make, |(pattern, sent)| {
        for sent in sent {
            let rule = Rule { id: "r".into(), hosts: Some(vec![pattern.as_str().into()]), ..Rule::default() };
            let Some(found) = is_found(rule, sent) else { return };
            assert_eq!(found, host_fits(pattern, sent), "{pattern} {:?}", sent.host);
            matched.set(matched.get() + u64::from(found));
        }
    });
    assert!(target.is_repeated() || matched.get() > 1_000, "both answers are tried, not {}", matched.get());
}

#[test]
fn one_header_matches_as_by_plain_comparison() {
    let make = |numbers: &mut Numbers| {
        let name = near(numbers, HEADERS);
        let values: Vec<String> = (0..1 + numbers.below(2)).map(|_| near(numbers, VALUES)).collect();
        let sent: Vec<Sent> = (0..40).map(|_| Sent::any(numbers)).collect();
        (name, values, sent)
    };
    let matched = std::cell::Cell::new(0_u64);
    let target = Target { name: "one_header_matches_as_by_plain_comparison", runs: 2_000 };
    target.run(make, |(name, values, sent)| {
        let values: Vec<Arc<str>> = values.iter().map(|value| value.as_str().into()).collect();
        for sent in sent {
            let headers = BTreeMap::from([(name.as_str().into(), values.clone())]);
            let Some(found) = is_found(Rule { id: "r".into(), headers, ..Rule::default() }, sent) else { return };
            assert_eq!(found, header_fits(name, &values, &sent.headers), "{name} {values:?} {:?}", sent.headers);
            matched.set(matched.get() + u64::from(found));
        }
    });
    assert!(target.is_repeated() || matched.get() > 1_000, "both answers are tried, not {}", matched.get());
}

const PREDICATES: &[&str] = &[
    r#"http.host == "a""#,
    r#"http.host == "A.b""#,
    r#"lower(http.host) == "a.b""#,
    r#"http.host =^ ".b""#,
    r#"http.host ^= "a.""#,
    r#"http.host != "a""#,
    r#"http.path == "/a""#,
    r#"http.path == "/a/b""#,
    r#"http.path ^= "/a""#,
    r#"http.path ~ "^/a+/?b""#,
    r#"http.path ~ "b$""#,
    r#"lower(http.path) ^= "/a""#,
    r#"http.path.segments.0 == "a""#,
    r#"http.path.segments.1_2 == "a/b""#,
    r#"http.path.segments.1_2 == "a%2Fb/a""#,
    "http.path.segments.len == 2",
    r#"http.method == "GET""#,
    r#"lower(http.method) == "get""#,
    r#"http.headers.x_h == "1""#,
    r#"any(http.headers.x_h) == "1""#,
    r#"any(lower(http.headers.x_h)) == "x2""#,
    r#"http.headers.y == """#,
    r#"http.queries.q == "1""#,
    r#"any(http.queries.q) == "2""#,
    r#"http.queries.r == "a b""#,
    r#"any(lower(http.queries.r)) == "a""#,
    r#"tls.sni == "a""#,
    r#"tls.sni =^ ".b""#,
    r#"lower(tls.sni) ^= "a.""#,
    r#"net.protocol == "https""#,
    "net.port == 8000",
    "net.dst.port == 80",
    "net.src.port == 4711",
    "net.src.ip == 10.1.2.3",
    "net.src.ip in 10.0.0.0/8",
    "net.dst.ip == 10.0.0.1",
];

fn expression(numbers: &mut Numbers, depth: usize) -> String {
    if depth == 0 || numbers.one_in(3) {
        return (*numbers.of_list(PREDICATES)).to_owned();
    }
    let members: Vec<String> = (0..2 + numbers.below(2)).map(|_| expression(numbers, depth - 1)).collect();
    match numbers.below(7) {
        0 => format!("!({})", members[0]),
        1..=3 => format!("({})", members.join(" && ")),
        4 | 5 => format!("({})", members.join(" || ")),
        // `||` binds tighter.
        _ => format!("{} && {}", members[0], members[1..].join(" || ")),
    }
}

fn schema() -> Schema {
    let mut schema = Schema::default();
    for (name, kind) in [
        ("net.protocol", Type::String),
        ("net.port", Type::Int),
        ("net.src.ip", Type::IpAddr),
        ("net.src.port", Type::Int),
        ("net.dst.ip", Type::IpAddr),
        ("net.dst.port", Type::Int),
        ("tls.sni", Type::String),
        ("http.method", Type::String),
        ("http.host", Type::String),
        ("http.path", Type::String),
        ("http.path.segments.len", Type::Int),
        ("http.path.segments.*", Type::String),
        ("http.headers.*", Type::String),
        ("http.queries.*", Type::String),
    ] {
        schema.add_field(name, kind);
    }
    schema
}

/// The fields of a request as Kong fills them in for its own interpreter.
fn context<'s>(schema: &'s Schema, sent: &Sent) -> Context<'s> {
    let mut context = Context::new(schema);
    let mut text = |name: &str, value: &str| context.add_value(name, Value::String(value.to_owned()));
    text("net.protocol", if sent.tls.is_some() { "https" } else { "http" });
    text("http.method", sent.method.as_str());
    text("http.path", &sent.path);
    let (host, _) = split_port(sent.host.as_deref().unwrap_or_default());
    if !host.is_empty() {
        text("http.host", host);
    }
    if let Some(Some(sni)) = &sent.tls {
        text("tls.sni", sni);
    }
    let segments: Vec<&str> = sent.path.split('/').filter(|segment| !segment.is_empty()).collect();
    for (at, segment) in segments.iter().enumerate() {
        text(&format!("http.path.segments.{at}"), segment);
        for last in at + 1..segments.len() {
            text(&format!("http.path.segments.{at}_{last}"), &segments[at..=last].join("/"));
        }
    }
    for (name, value) in &sent.headers {
        let name = name.as_str().replace('-', "_");
        text(&format!("http.headers.{name}"), &String::from_utf8_lossy(value.as_bytes()));
    }
    for (name, value) in form_urlencoded::parse(sent.arguments.as_bytes()) {
        text(&format!("http.queries.{name}"), &value);
    }
    for (name, port) in [("net.port", 8000), ("net.dst.port", 8000), ("net.src.port", 4711)] {
        context.add_value(name, Value::Int(port));
    }
    context.add_value("http.path.segments.len", Value::Int(segments.len() as i64));
    context.add_value("net.src.ip", Value::IpAddr("10.1.2.3".parse().unwrap()));
    context.add_value("net.dst.ip", Value::IpAddr("127.0.0.1".parse().unwrap()));
    context
}

#[test]
fn expressions_are_found_as_by_kongs_own_interpreter() {
    let make = |numbers: &mut Numbers| {
        let count = if numbers.one_in(4) { 200 } else { 10 };
        let routes: Vec<(u64, String)> =
            (0..1 + numbers.below(count)).map(|_| (numbers.below(4) as u64, expression(numbers, 3))).collect();
        let sent: Vec<Sent> = (0..12).map(|_| Sent::any(numbers)).collect();
        (routes, sent)
    };
    let schema = schema();
    Target { name: "expressions_are_found_as_by_kongs_own_interpreter", runs: 250 }.run(make, |(routes, sent)| {
        let identified = routes.iter().enumerate().map(|(at, route)| (format!("{:04}", (at * 7919) % 10_000), route));
        let rules = identified.clone().map(|(id, (priority, text))| {
            let expression = Some(RankedExpression { text: text.as_str().into(), priority: *priority });
            let id: Arc<str> = id.into();
            (Rule { id: id.clone(), protocols: vec!["http".into()], expression, ..Rule::default() }, id)
        });
        let (router, rejected) = Router::build(rules.collect());
        assert!(rejected.is_empty(), "{rejected:?}");
        let read: Vec<_> = identified
            .map(|(id, (priority, text))| (*priority, id, parser::parse(text).expect("the router read it")))
            .collect();
        for sent in sent {
            let holds = |expression: &atc_router::ast::Expression| {
                expression.execute(&mut context(&schema, sent), &mut Match::new())
            };
            let matching = read.iter().filter(|(.., expression)| holds(expression));
            let expected = matching.map(|(priority, id, _)| (*priority, id)).max().map(|(_, id)| id.as_str());
            let query = sent.query();
            assert_eq!(router.find(&query).map(|found| &**found.value), expected, "{sent:?}");
        }
    });
}
