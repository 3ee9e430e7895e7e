mod agreement;
mod multitude;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;

/// A rule for http and https with nothing in it yet.
fn rule(id: &str) -> Rule {
    Rule { id: id.into(), protocols: texts(&["http", "https"]), ..Rule::default() }
}

fn texts(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|text| Arc::from(*text)).collect()
}

fn with_paths(id: &str, paths: &[&str]) -> Rule {
    Rule { paths: texts(paths), ..rule(id) }
}

fn with_hosts(id: &str, hosts: &[&str]) -> Rule {
    Rule { hosts: Some(texts(hosts)), ..rule(id) }
}

fn with_header(id: &str, name: &str, value: &str) -> Rule {
    Rule { headers: [(name.into(), texts(&[value]))].into(), ..rule(id) }
}

/// A router in which each rule leads to its own id.
fn router(rules: impl IntoIterator<Item = Rule>) -> Router<Arc<str>> {
    let (router, rejected) = Router::build(rules.into_iter().map(|rule| (rule.clone(), rule.id)).collect());
    assert!(rejected.is_empty(), "{rejected:?}");
    router
}

/// A request that owns its parts.
#[derive(Debug, Clone)]
struct Request {
    method: Method,
    host: Option<String>,
    path: String,
    headers: HeaderMap,
    is_tls: bool,
    sni: Option<String>,
}

impl Request {
    fn get(host: &str, path: &str) -> Self {
        let (host, path) = (Some(host.to_owned()), path.to_owned());
        Self { method: Method::GET, host, path, headers: HeaderMap::new(), is_tls: false, sni: None }
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    fn tls(self, sni: Option<&str>) -> Self {
        Self { is_tls: true, sni: sni.map(str::to_owned), ..self }
    }

    fn query(&self) -> Query<'_> {
        let transport = match self.is_tls {
            true => Transport::Tls { sni: self.sni.as_deref() },
            false => Transport::Plain,
        };
        let (method, host, path, headers) = (&self.method, self.host.as_deref(), &*self.path, &self.headers);
        Query { method, host, port: 8000, path, headers, transport, arguments: None, source: None, destination: None }
    }
}

fn winner(router: &Router<Arc<str>>, request: &Request) -> Option<String> {
    router.find(&request.query()).map(|found| found.value.to_string())
}

#[test]
fn a_literal_path_is_a_plain_prefix_and_the_longest_wins() {
    let router = router([with_paths("short", &["/foo"]), with_paths("long", &["/foo/bar"])]);
    let table =
        [("/foo", Some("short")), ("/foobar", Some("short")), ("/foo/bar", Some("long")), ("/fo", None), ("/", None)];
    for (path, expected) in table {
        assert_eq!(winner(&router, &Request::get("h", path)).as_deref(), expected, "{path}");
    }
}

#[test]
fn each_path_of_a_rule_has_its_own_rank() {
    let router = router([with_paths("mixed", &["/a", "/a/b/c", "~/a/b/x$"]), with_paths("plain", &["/a/b"])]);
    let table = [("/a", "mixed"), ("/a/b", "plain"), ("/a/b/c", "mixed"), ("/a/b/x", "mixed")];
    for (path, expected) in table {
        assert_eq!(winner(&router, &Request::get("h", path)).as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn hosts_match_by_name_wildcard_and_port() {
    let router = router([
        with_hosts("exact", &["a.test"]),
        with_hosts("suffix", &["*.test"]),
        with_hosts("prefix", &["a.*"]),
        with_hosts("port", &["p.org:8000", "*.p.org:81"]),
    ]);
    let table = [
        ("a.test", Some("exact")),
        ("a.test:99", Some("exact")),
        ("x.y.test", Some("suffix")),
        ("A.test", Some("suffix")),
        ("a.org", Some("prefix")),
        ("p.org", Some("port")),
        ("p.org:8000", Some("port")),
        ("p.org:80", None),
        ("x.p.org:81", Some("port")),
        ("x.p.org", None),
        ("", None),
    ];
    for (host, expected) in table {
        assert_eq!(winner(&router, &Request::get(host, "/")).as_deref(), expected, "{host}");
    }
}

#[test]
fn an_empty_host_list_counts_as_plain_names() {
    let listed = Rule { hosts: Some(Vec::new()), ..with_paths("a", &["/"]) };
    let router = router([listed, with_paths("b", &["/long"])]);
    assert_eq!(winner(&router, &Request::get("h", "/long")).as_deref(), Some("a"));
}

#[test]
fn a_server_name_is_only_asked_for_over_tls() {
    let router = router([Rule { snis: texts(&["a.test."]), ..rule("sni") }]);
    let request = Request::get("h", "/");
    assert!(winner(&router, &request).is_some());
    assert!(winner(&router, &request.clone().tls(Some("a.test"))).is_some());
    assert!(winner(&router, &request.clone().tls(Some("b.test"))).is_none());
    assert!(winner(&router, &request.tls(None)).is_none());
}

#[test]
fn a_match_gives_the_prefix_and_the_captures() {
    let router = router([with_paths("regex", &["~/users/(?<id>\\d+)"]), with_paths("literal", &["/a"]), {
        Rule { methods: texts(&["GET"]), ..rule("method") }
    }]);
    let request = Request::get("h", "/users/42/x");
    let query = request.query();
    let found = router.find(&query).unwrap();
    assert_eq!(found.prefix, Some("/users/42"));
    assert_eq!(found.captures().unwrap().named, [("id", "42")]);
    let request = Request::get("h", "/ab");
    let query = request.query();
    assert_eq!(router.find(&query).unwrap().prefix, Some("/a"));
    let request = Request::get("h", "/z");
    let query = request.query();
    assert_eq!(router.find(&query).unwrap().prefix, None);
}

#[test]
fn a_bad_rule_is_rejected_and_the_rest_is_served() {
    let stream = Rule { protocols: texts(&["tcp"]), ..with_paths("stream", &["/"]) };
    let rules = [
        with_paths("bad", &["/ok", "~/("]),
        rule("empty"),
        stream,
        with_paths("x", &["x"]),
        with_paths("good", &["/"]),
    ];
    let (router, rejected) = Router::build(rules.map(|rule| (rule.clone(), rule.id)).into());
    let reasons: Vec<_> = rejected.iter().map(|rejected| (&*rejected.id, &rejected.reason)).collect();
    assert!(matches!(
        reasons[..],
        [
            ("bad", RuleError::PathPattern { .. }),
            ("empty", RuleError::Unconditional),
            ("stream", RuleError::NotHttp),
            ("x", RuleError::Path(_)),
        ]
    ));
    assert_eq!(winner(&router, &Request::get("h", "/ok")).as_deref(), Some("good"));
}

#[test]
fn a_changed_table_keeps_the_compiled_expressions() {
    let mut table = Table::default();
    let put = |id: &str| (id.into(), Some((with_paths(id, &["~/x+"]), ())));
    table.change([put("a"), put("b")]);
    let first = table.router();
    table.change([put("a")]);
    let second = table.router();
    let request = Request::get("h", "/xx");
    let (one, two) = (request.query(), request.query());
    let address = |found: Match<'_, ()>| std::ptr::from_ref(found.pattern.unwrap().literal());
    assert_eq!(address(first.find(&one).unwrap()), address(second.find(&two).unwrap()));
}

#[test]
fn a_rule_says_which_condition_a_request_fails() {
    let rule = Rule {
        methods: texts(&["GET"]),
        hosts: Some(texts(&["a"])),
        snis: texts(&["s"]),
        paths: texts(&["/p"]),
        ..with_header("r", "x-a", "1")
    };
    let rule = rule.compile().unwrap();
    let fits = Request::get("a", "/p").header("x-a", "1").tls(Some("s"));
    let table = [
        (Request { method: Method::PUT, ..fits.clone() }, Err(Mismatch::Method)),
        (Request { host: None, ..fits.clone() }, Err(Mismatch::Host)),
        (Request { path: "/".to_owned(), ..fits.clone() }, Err(Mismatch::Path)),
        (Request { headers: HeaderMap::new(), ..fits.clone() }, Err(Mismatch::Header)),
        (Request { sni: None, ..fits.clone() }, Err(Mismatch::Sni)),
        (fits, Ok(())),
    ];
    for (request, expected) in table {
        assert_eq!(rule.matches(&request.query()), expected, "{request:?}");
    }
}

#[test]
fn a_client_is_told_by_where_it_is_and_what_it_connected_to() {
    let at = |ip: Option<&str>, port| vec![StreamAddress { ip: ip.map(Arc::from), port }];
    let (near, far) = (at(Some("10.0.0.0/8"), None), at(Some("192.0.2.1"), None));
    let router = router([
        with_paths("any", &["/"]),
        Rule { sources: near, ..with_paths("near", &["/"]) },
        Rule { destinations: at(None, Some(8443)), ..with_paths("port", &["/"]) },
        Rule { sources: far, destinations: at(None, Some(8443)), ..with_paths("both", &["/"]) },
    ]);
    let request = Request::get("h", "/");
    for (source, port, expected) in [
        (Some("10.1.2.3:1"), 80, "near"),
        (Some("[::ffff:10.1.2.3]:1"), 80, "near"),
        (Some("1.1.1.1:1"), 80, "any"),
        (Some("1.1.1.1:1"), 8443, "port"),
        (Some("192.0.2.1:1"), 8443, "both"),
        (None, 80, "any"),
    ] {
        let source = source.map(|source| source.parse().unwrap());
        let query = Query { source, destination: "127.0.0.1:1".parse().ok(), port, ..request.query() };
        assert_eq!(&**router.find(&query).unwrap().value, expected, "{source:?} {port}");
    }
}

/// The most that a lookup looks at, over requests drawn from all rules.
fn most_looks(rules: Vec<Rule>, requests: &[Request]) -> usize {
    let router = router(rules);
    let looks =
        requests.iter().map(|request| search::looks::during(|| assert!(router.find(&request.query()).is_some())));
    looks.max().unwrap()
}

/// Rules of which each is met by the request of the same number.
fn crowd(kind: &str, size: usize) -> (Vec<Rule>, Vec<Request>) {
    let one = |at: usize| {
        let (id, spread) = (format!("{at:08}"), (at * 7919) % size);
        let name = format!("{spread}.example.test");
        match kind {
            "host" => (with_hosts(&id, &[&name]), Request::get(&name, "/x")),
            "wildcard" => (with_hosts(&id, &[&format!("*.{name}")]), Request::get(&format!("a.{name}"), "/x")),
            "path" => {
                (with_paths(&id, &[&format!("/api/{spread}/v")]), Request::get("h", &format!("/api/{spread}/v/1")))
            }
            "pattern" => {
                let rule = with_paths(&id, &[&format!("~/api/{spread}/(?<id>[0-9]+)$")]);
                (rule, Request::get("h", &format!("/api/{spread}/42")))
            }
            "header" => {
                let mut request = Request::get("h", "/x");
                request.headers.insert("x-tenant", HeaderValue::from_str(&name).unwrap());
                (with_header(&id, "X-Tenant", &name), request)
            }
            _ => (Rule { snis: texts(&[&name]), ..rule(&id) }, Request::get("h", "/x").tls(Some(&name))),
        }
    };
    (0..size).map(one).unzip()
}

#[test]
fn a_lookup_looks_at_as_little_among_many_rules_as_among_few() {
    for kind in ["host", "wildcard", "path", "pattern", "header", "sni"] {
        let size = if kind == "pattern" { 400 } else { 4_000 };
        let [few, many] = [4, size].map(|size| {
            let (rules, requests) = crowd(kind, size);
            most_looks(rules, &requests)
        });
        assert!(many > 0 && many <= few + 2, "{kind}: {few} among 4, {many} among {size}");
    }
}
