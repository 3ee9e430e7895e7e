use std::collections::BTreeMap;

use atc_router::context::{Context, Match};
use atc_router::interpreter::Execute;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::router::ranked::{EVALUATED, Judged, Ranked};
use crate::router::{Query, RankedExpression, Router, Rule, Transport};

fn rule(id: &str, priority: u64, text: &str) -> Rule {
    let expression = Some(RankedExpression { text: text.into(), priority });
    Rule { id: id.into(), protocols: vec!["http".into()], expression, ..Rule::default() }
}

#[derive(Debug, Clone)]
struct Sent {
    method: Method,
    host: Option<String>,
    path: String,
    arguments: String,
    headers: HeaderMap,
    /// Over TLS, with this server name.
    sni: Option<String>,
}

impl Sent {
    fn get(host: &str, path: &str) -> Self {
        let (path, arguments) = path.split_once('?').unwrap_or((path, ""));
        let (host, path, arguments) = (Some(host.to_owned()), path.to_owned(), arguments.to_owned());
        Self { method: Method::GET, host, path, arguments, headers: HeaderMap::new(), sni: None }
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    fn query(&self) -> Query<'_> {
        Query {
            method: &self.method,
            host: self.host.as_deref(),
            port: 8000,
            path: &self.path,
            headers: &self.headers,
            transport: match &self.sni {
                Some(sni) => Transport::Tls { sni: Some(sni) },
                None => Transport::Plain,
            },
            arguments: Some(&self.arguments),
            source: "10.1.2.3:4711".parse().ok(),
            destination: "127.0.0.1:8000".parse().ok(),
        }
    }
}

fn holds(text: &str, sent: &Sent) -> bool {
    let expression = Expression::parse(text, Subsystem::Http).unwrap();
    let query = sent.query();
    expression.holds(Asked::Http(&query), &mut Trace::default())
}

#[test]
fn every_field_can_be_asked() {
    let sent = Sent::get("a.test:8000", "/api/v1/users?id=7&id=8&flag&sp=a%20b").header("x-kind", "One");
    for (text, expected) in [
        (r#"http.method == "GET""#, true),
        (r#"http.host == "a.test""#, true),
        (r#"http.path ^= "/api""#, true),
        (r#"http.path.segments.0 == "api""#, true),
        (r#"http.path.segments.1_2 == "v1/users""#, true),
        (r#"http.path.segments.2_3 == "users""#, false),
        (r#"http.path.segments.2_1 != "x""#, false),
        (r#"http.path.segments.len == 3"#, true),
        (r#"http.headers.x_kind == "One""#, true),
        (r#"lower(http.headers.x_kind) == "one""#, true),
        (r#"http.headers.absent != "x""#, false),
        (r#"http.queries.id == "7""#, false),
        (r#"any(http.queries.id) == "7""#, true),
        (r#"http.queries.flag == """#, true),
        (r#"http.queries.sp == "a b""#, true),
        (r#"net.protocol == "http""#, true),
        (r#"net.port == 8000"#, true),
        (r#"net.dst.port >= 8000"#, true),
        (r#"net.src.ip in 10.0.0.0/8"#, true),
        (r#"net.src.ip not in 10.0.0.0/8"#, false),
        (r#"net.src.port > 5000"#, false),
        (r#"net.dst.ip == 127.0.0.1"#, true),
        (r#"tls.sni != "a""#, false),
        // `||` binds tighter.
        (r#"http.method == "PUT" && http.path ^= "/" || http.path ^= "/api""#, false),
        (r#"!(http.method == "PUT")"#, true),
    ] {
        assert_eq!(holds(text, &sent), expected, "{text}");
    }
}

#[test]
fn what_has_no_meaning_is_refused_in_kongs_words() {
    for (text, expected) in [
        (r#"http.bogus == "a""#, "Unknown LHS field"),
        ("http.path == 1", "Type mismatch between the LHS and RHS values of predicate"),
        ("lower(net.port) == 1", "lower-case transformation function only supported with String type fields"),
        ("net.src.ip in 10.0.0.1", "In/NotIn operators only supports IP in CIDR"),
        ("! a == 1", " --> 1:1\n  |\n1 | ! a == 1\n  | ^---\n  |\n  = expected term"),
    ] {
        let error = Expression::parse(text, Subsystem::Http).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }
    let stream = Expression::parse(r#"http.path == "/""#, Subsystem::Stream).unwrap_err();
    assert_eq!(stream, ExpressionError::Meaning("Unknown LHS field".to_owned()));
    assert!(Expression::parse(r#"tls.sni == "a" && net.dst.port == 1"#, Subsystem::Stream).is_ok());
}

#[test]
fn what_would_use_up_the_stack_is_refused() {
    let deep = format!("{}http.method == \"a\"{}", "(".repeat(49), ")".repeat(49));
    assert_eq!(Expression::parse(&deep, Subsystem::Http).unwrap_err(), ExpressionError::TooDeep);
    let long = vec!["net.port == 1"; 2000].join(" || ");
    assert_eq!(Expression::parse(&long, Subsystem::Http).unwrap_err(), ExpressionError::TooLong);
    let chain = vec!["net.port == 1"; 900].join(" || ");
    assert!(Expression::parse(&chain, Subsystem::Http).is_ok());
}

#[test]
fn the_larger_priority_wins_and_every_expression_comes_before_other_rules() {
    let classic =
        Rule { paths: vec!["/a/b".into()], protocols: vec!["http".into()], id: "zz".into(), ..Rule::default() };
    let rules = [
        rule("a", 5, r#"http.path ^= "/a""#),
        rule("b", 9, r#"http.path ^= "/a" && http.method == "PUT""#),
        rule("c", 5, r#"http.path ^= "/a""#),
        classic.clone(),
        Rule { paths: vec!["/z".into()], id: "y".into(), ..classic },
    ];
    let (router, rejected) = Router::build(rules.map(|rule| (rule.clone(), rule.id)).into());
    assert!(rejected.is_empty());
    let put = Sent { method: Method::PUT, ..Sent::get("h", "/a/b") };
    for (sent, expected) in [(put, "b"), (Sent::get("h", "/a/b"), "c"), (Sent::get("h", "/z"), "y")] {
        assert_eq!(&**router.find(&sent.query()).unwrap().value, expected, "{sent:?}");
    }
}

#[test]
fn a_match_knows_its_prefix_and_captures() {
    for (text, prefix, captures) in [
        (r#"http.path ^= "/user""#, Some("/user"), vec![]),
        (r#"http.path == "/users/42""#, Some("/users/42"), vec![]),
        (r##"http.path ~ r#"^/users/(?<id>\d)"#"##, Some("/users/4"), vec![("0", "/users/4"), ("1", "4"), ("id", "4")]),
        (r#"http.method == "GET""#, None, vec![]),
    ] {
        let (router, _) = Router::build(vec![(rule("a", 0, text), ())]);
        let sent = Sent::get("h", "/users/42");
        let query = sent.query();
        let found = router.find(&query).unwrap();
        let named = found.named_captures();
        let named: Vec<_> = named.iter().map(|(name, text)| (&**name, &**text)).collect();
        assert_eq!((found.prefix, named), (prefix, captures), "{text}");
    }
}

#[test]
fn what_a_request_needs_is_found_in_the_expression() {
    for (text, expected) in [
        (r#"http.host == "A.test" && http.path ^= "/a""#, vec![(Some("a.test"), "/a")]),
        (r#"http.host == "a" || http.host == "b""#, vec![(Some("a"), ""), (Some("b"), "")]),
        (r#"(http.host == "a" || http.host == "b") && http.path == "/x""#, vec![(Some("a"), "/x"), (Some("b"), "/x")]),
        (r#"http.path ^= "/a" && http.path ^= "/a/b""#, vec![(None, "/a/b")]),
        (r##"http.path ~ r#"^/ab?c"#"##, vec![(None, "/a")]),
        (r##"http.path ~ r#"/a"#"##, vec![(None, "")]),
        (r#"!(http.path == "/a")"#, vec![(None, "")]),
        (r#"http.path == "/a" || net.protocol == "http""#, vec![(None, "")]),
        (r#"lower(http.path) == "/a""#, vec![(None, "")]),
        (r#"lower(http.host) == "a""#, vec![(Some("a"), "")]),
    ] {
        let needs = Expression::parse(text, Subsystem::Http).unwrap().needs();
        assert!(needs.iter().all(|need| need.keys.is_empty()), "{text}");
        let needs: Vec<_> = needs.iter().map(|need| (need.host.as_deref(), &*need.path)).collect();
        assert_eq!(needs, expected, "{text}");
    }
}

/// How many expressions are judged for each of some requests among so many routes of a kind.
fn judged_for_each(kind: &str, size: usize) -> f64 {
    let text = |at: usize| match kind {
        "host" => format!(r#"http.host == "h{at}.test""#),
        "wildcard" => format!(r#"http.host =^ ".h{at}.test" && http.method == "GET""#),
        "path" => format!(r#"http.path ^= "/p{at}/" && net.protocol == "http""#),
        "header" => format!(r#"http.method == "GET" && http.headers.x_tenant == "t{at}""#),
        "a header in lower case, or an argument" => {
            format!(r#"any(lower(http.headers.x_tenant)) == "t{at}" || http.queries.tenant == "t{at}""#)
        }
        "segment" => format!(r#"http.path ^= "/p" && http.path.segments.1_2 == "s{at}/x""#),
        "server name" => format!(r#"tls.sni == "h{at}.test" && (http.method == "GET" || http.method == "PUT")"#),
        "port" => format!("net.port == {}", 1 + at),
        "source" => format!("net.src.ip == 10.0.{}.{}", at / 256, at % 256),
        // All of them share the method and one header: the other one is what tells them apart.
        _ => format!(r#"http.method == "GET" && http.headers.x_a == "1" && http.headers.x_tenant == "t{at}""#),
    };
    let rules = (0..size).map(|at| (rule(&format!("{at:05}"), 0, &text(at)), at)).collect();
    let (router, rejected) = Router::build(rules);
    assert!(rejected.is_empty(), "{rejected:?}");
    let (mut found, before) = (0, EVALUATED.get());
    let requests = 50;
    for at in (0..size).cycle().step_by(7).take(requests) {
        let mut sent = Sent::get(&format!("a.h{at}.test"), &format!("/p{at}/s{at}/x"));
        sent.host = Some(if kind == "host" { format!("h{at}.test") } else { format!("a.h{at}.test") });
        sent.headers.insert("x-tenant", HeaderValue::from_str(&format!("t{at}")).unwrap());
        sent.headers.insert("x-a", HeaderValue::from_static("1"));
        sent.sni = (kind == "server name").then(|| format!("h{at}.test"));
        let mut query = sent.query();
        query.port = u16::try_from(at + 1).unwrap();
        query.source = format!("10.0.{}.{}:1", at / 256, at % 256).parse().ok();
        found += usize::from(router.find(&query).is_some_and(|found| *found.value == at));
    }
    assert_eq!(found, requests, "{kind} among {size}");
    (EVALUATED.get() - before) as f64 / requests as f64
}

#[test]
fn as_many_expressions_are_judged_among_many_routes_as_among_few() {
    for kind in [
        "host",
        "wildcard",
        "path",
        "header",
        "a header in lower case, or an argument",
        "segment",
        "server name",
        "port",
        "source",
        "two headers",
    ] {
        let (few, many) = (judged_for_each(kind, 10), judged_for_each(kind, 10_000));
        println!("{kind}: {few} among 10, {many} among 10,000");
        assert!(few < 3.0 && many < 3.0, "{kind}: {few} among 10, {many} among 10,000");
    }
}

const PREDICATES: &[&str] = &[
    r#"http.host == "a""#,
    r#"http.host == "B""#,
    r#"lower(http.host) == "b""#,
    r#"http.host != "a""#,
    r#"http.host =^ ".b""#,
    r#"http.path == "/a""#,
    r#"http.path ^= "/a/b""#,
    r#"http.path ^= "/""#,
    r#"http.path ~ "^/a+/?b""#,
    r#"http.path ~ "b""#,
    r#"http.path contains "b/""#,
    r#"lower(http.path) ^= "/a""#,
    r#"http.path.segments.0 == "a""#,
    r#"http.path.segments.0_1 == "a/b""#,
    "http.path.segments.len > 1",
    r#"http.method == "GET""#,
    r#"http.headers.x_h == "1""#,
    r#"any(http.headers.x_h) == "1""#,
    r#"any(lower(http.headers.x_h)) ^= "x""#,
    r#"http.headers.x_h != "1""#,
    "net.port == 8000",
    "net.dst.port == 1",
    "net.src.ip in 10.0.0.0/8",
    "net.src.ip == 10.1.2.3",
    "net.dst.ip == 10.1.2.3",
    "net.src.port == 4711",
    r#"http.host ^= "c.""#,
    r#"lower(http.method) == "get""#,
    r#"http.queries.q == "1""#,
    r#"any(lower(http.queries.q)) == "a""#,
    r#"lower(http.path.segments.1) == "b""#,
    r#"lower(http.path.segments.0_1) == "a/b""#,
    r#"tls.sni == "a.b""#,
    r#"lower(tls.sni) =^ ".b""#,
    r#"tls.sni ^= "a.""#,
];

fn any_expression() -> impl Strategy<Value = String> {
    let predicate = select(PREDICATES).prop_map(str::to_owned);
    predicate.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} && {other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} || {other})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("{a} && {b} || {c}")),
            inner.prop_map(|one| format!("!({one})")),
        ]
    })
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let host = prop::option::weighted(0.9, select(vec!["a", "A", "b", "B", "c.b", ""]));
    let headers = prop::collection::vec((select(vec!["x-h", "x_h"]), select(vec!["1", "X2", "2"])), 0..3);
    let sni = prop::option::of(select(vec!["a.b", "A.B", "a", "z"]));
    let arguments = select(vec!["", "q=1", "q=1&q=A", "q=2&q=1"]);
    (host, "(/[abA]{0,2}){1,3}", headers, sni, arguments).prop_map(|(host, path, headers, sni, arguments)| {
        // Normal paths have no empty segment but the last.
        let mut sent = Sent::get("", &path.replace("//", "/").replace("//", "/"));
        sent.host = host.map(str::to_owned);
        (sent.sni, sent.arguments) = (sni.map(str::to_owned), arguments.to_owned());
        headers.into_iter().fold(sent, |sent, (name, value)| sent.header(name, value))
    })
}

/// What the crate's own interpreter needs, with every field that the request has.
fn context(sent: &Sent) -> Context<'static> {
    let mut context = Context::new(&HTTP);
    let query = sent.query();
    let mut names: BTreeMap<String, ()> = FIELDS.iter().map(|(name, ..)| ((*name).to_owned(), ())).collect();
    names.retain(|name, ()| !name.ends_with('*'));
    let more = [
        "http.path.segments.0",
        "http.path.segments.1",
        "http.path.segments.0_1",
        "http.headers.x_h",
        "http.queries.q",
    ];
    names.extend(more.map(|name| (name.to_owned(), ())));
    for name in names.into_keys() {
        for value in Field::named(&name).unwrap().values(Asked::Http(&query)) {
            let value = match value {
                Datum::Text(text) => Value::String(text.into_owned()),
                Datum::Number(number) => Value::Int(number),
                Datum::Address(address) => Value::IpAddr(address),
            };
            context.add_value(&name, value);
        }
    }
    context
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_expression_holds_if_kongs_interpreter_says_so(
        texts in prop::collection::vec(any_expression(), 8),
        requests in prop::collection::vec(any_sent(), 8),
    ) {
        for text in &texts {
            let ours = Expression::parse(text, Subsystem::Http).unwrap();
            let theirs = parser::parse(text).unwrap();
            for sent in &requests {
                let (query, mut trace) = (sent.query(), Trace::default());
                let (mut context, mut found) = (context(sent), Match::new());
                let expected = theirs.execute(&mut context, &mut found);
                prop_assert_eq!(ours.holds(Asked::Http(&query), &mut trace), expected, "{} {:?}", text, sent);
                let captures: BTreeMap<_, _> = captures(&trace.matched).into_iter().collect();
                prop_assert_eq!(captures, found.captures.into_iter().collect(), "{} {:?}", text, sent);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Some come, some go; after each step the arranged rules answer as the list of them does.
    #[test]
    fn arranged_expressions_are_found_as_by_trying_each(
        texts in prop::collection::vec((any_expression(), 0..3_u64), 1..60),
        steps in prop::collection::vec(prop::collection::vec(0..60_usize, 1..20), 1..4),
        requests in prop::collection::vec(any_sent(), 20),
    ) {
        let (mut ranked, mut now, mut crowds) = (Ranked::new(), BTreeMap::<usize, Arc<Judged<usize>>>::new(), Crowds::default());
        for step in steps {
            let (mut gone, mut new) = (Vec::new(), Vec::new());
            for at in step.into_iter().map(|at| at % texts.len()).collect::<std::collections::BTreeSet<_>>() {
                if let Some(known) = now.remove(&at) {
                    crowds.leave(&known.needs);
                    gone.push(known);
                    continue;
                }
                let (text, priority) = &texts[at];
                let expression = Arc::new(Expression::parse(text, Subsystem::Http).unwrap());
                let id = format!("{:02}", (at * 37) % 100).into();
                let needs = crowds.enter(expression.needs());
                let judged = Arc::new(Judged { id, priority: *priority, expression, needs, value: at });
                new.push(judged.clone());
                now.insert(at, judged);
            }
            ranked.change(&gone, &new);
            for sent in &requests {
                let query = sent.query();
                let holds = |judged: &&Arc<Judged<usize>>| {
                    judged.expression.holds(Asked::Http(&query), &mut Trace::default())
                };
                let expected = now.values().filter(holds).max_by_key(|judged| (judged.priority, judged.id.clone()));
                let found = ranked.find(&query).map(|(judged, _)| judged.value);
                prop_assert_eq!(found, expected.map(|judged| judged.value), "{:?}", sent);
            }
            prop_assert_eq!(ranked.is_empty(), now.is_empty());
        }
    }
}
