//! The indexed router against the naive one: all rules in order of precedence, the first that matches.

use std::cmp::Reverse;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

/// What a router found: the id, the prefix and whether an expression matched it.
pub(super) type Answer = Option<(String, Option<String>, bool)>;

pub(super) fn indexed(router: &Router<Arc<str>>, request: &Request) -> Answer {
    let query = request.query();
    let found = router.find(&query)?;
    Some((found.value.to_string(), found.prefix.map(str::to_owned), found.pattern.is_some()))
}

/// One rule for each path, so that a rule has one precedence and at most one prefix.
fn split(rule: &Rule) -> Vec<Rule> {
    match rule.paths.is_empty() {
        true => vec![rule.clone()],
        false => rule.paths.iter().map(|path| Rule { paths: vec![path.clone()], ..rule.clone() }).collect(),
    }
}

/// Compiled rules of one path each, the greatest precedence first.
pub(super) fn ranked(rules: &[Rule]) -> Vec<(Rule, CompiledRule)> {
    let compiled = rules.iter().flat_map(split).map(|rule| (rule.clone(), rule.compile().unwrap()));
    let mut ranked: Vec<_> = compiled.collect();
    ranked.sort_by_key(|(_, compiled)| Reverse(compiled.precedences().next().unwrap()));
    ranked
}

pub(super) fn naive(ranked: &[(Rule, CompiledRule)], request: &Request) -> Answer {
    let (rule, _) = ranked.iter().find(|(_, compiled)| compiled.matches(&request.query()).is_ok())?;
    let path = rule.paths.first().map(|path| match path.strip_prefix('~') {
        Some(expression) => {
            let regex = regex::Regex::new(&format!("^(?:{expression})")).unwrap();
            (regex.find(&request.path).unwrap().as_str().to_owned(), true)
        }
        None => (path.to_string(), false),
    });
    let is_pattern = path.as_ref().is_some_and(|(_, is_pattern)| *is_pattern);
    Some((rule.id.to_string(), path.map(|(prefix, _)| prefix), is_pattern))
}

const HOSTS: &[&str] = &["a", "a.b", "b.a", "*.b", "*.a.b", "a.*", "a.b.*", "a:80", "a.b:8000", "*.b:80", "a.*:80"];
const PATHS: &[&str] =
    &["/", "/a", "/ab", "/a/", "/a/b", "/b", "~/a", "~/a/?b", "~/(a|b)$", "~/a+", "~/[ab]/b", "~/b|/a/", "~(?i)/A"];
const SNIS: &[&str] = &["a", "a.b", "*.b", "a.*"];
const VALUES: &[&str] = &["1", "X", "~*^x", "~*2$"];

fn list(choices: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<Arc<str>>> {
    prop_oneof![2 => Just(Vec::new()), 3 => subsequence(choices, 1..=most).prop_map(|list| texts(&list))]
}

pub(super) fn any_rule() -> impl Strategy<Value = Rule> {
    let header = (select(vec!["x-h", "X_H", "y"]), list(VALUES, 2));
    let headers = prop_oneof![
        2 => Just(Vec::new()),
        2 => prop::collection::vec(header, 1..3),
    ];
    let lists = (list(&["GET", "PUT"], 2), list(HOSTS, 3), list(PATHS, 4), list(SNIS, 2));
    (lists, any::<bool>(), headers, 0..3_i64).prop_map(|((methods, hosts, paths, snis), listed, headers, priority)| {
        let headers = headers.into_iter().map(|(name, values)| (name.into(), values)).collect();
        let hosts = (listed || !hosts.is_empty()).then_some(hosts);
        Rule { methods, hosts, paths, headers, snis, regex_priority: priority, ..rule("") }
    })
}

/// Rules with ids of their own; those without a condition get a path.
fn rules(most: usize) -> impl Strategy<Value = Vec<Rule>> {
    prop::collection::vec(any_rule(), 1..most).prop_map(|rules| {
        let numbered = rules.into_iter().enumerate();
        let identified = numbered.map(|(at, rule)| Rule { id: format!("{:02}", (at * 37) % 100).into(), ..rule });
        identified
            .map(|rule| match rule.compile() {
                Err(RuleError::Unconditional) => Rule { paths: texts(&["/"]), ..rule },
                _ => rule,
            })
            .collect()
    })
}

fn any_request() -> impl Strategy<Value = Request> {
    let hosts = vec!["", "a", "b", "a.b", "b.a", "c.b", "x.a.b", "a.c", "a.b.c", "a:80", "a.b:80", "c.b:80", "a.c:80"];
    let headers = prop::collection::vec((select(vec!["x-h", "x_h", "y"]), select(vec!["1", "x", "X2", "2"])), 0..3);
    let sni = prop::option::of(select(vec!["a", "a.b", "c.b", "a.c", "z"]));
    let method = select(vec![Method::GET, Method::PUT, Method::POST]);
    let path = prop_oneof!["(/[abA]{0,3}){1,3}", select(vec!["/", "/a", "/ab", "/a/b"]).prop_map(str::to_owned)];
    (method, prop::option::weighted(0.9, select(hosts)), path, headers, any::<bool>(), sni).prop_map(
        |(method, host, path, headers, is_tls, sni)| {
            let mut request = Request::get("", &path);
            request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
            let (host, sni) = (host.map(str::to_owned), sni.map(str::to_owned));
            Request { method, host, is_tls, sni, ..request }
        },
    )
}

fn check(rules: &[Rule], requests: &[Request]) -> Result<(), TestCaseError> {
    let (router, ranked) = (router(rules.to_vec()), ranked(rules));
    for request in requests {
        prop_assert_eq!(indexed(&router, request), naive(&ranked, request), "{:?}", request);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn few_rules_are_found_as_by_comparing_each(
        rules in rules(8),
        requests in prop::collection::vec(any_request(), 40),
    ) {
        check(&rules, &requests)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn many_rules_are_found_as_by_comparing_each(
        rules in rules(100),
        requests in prop::collection::vec(any_request(), 200),
    ) {
        check(&rules, &requests)?;
    }

    /// Rules that share host and path, so that they are told apart by header or server name.
    #[test]
    fn crowded_places_are_found_as_by_comparing_each(
        rules in rules(100),
        requests in prop::collection::vec(any_request(), 200),
    ) {
        let crowded: Vec<_> = rules.into_iter().map(|rule| Rule { hosts: None, paths: texts(&["/"]), ..rule }).collect();
        check(&crowded, &requests)?;
    }
}

/// What happens to a table: some rules come or change, some go.
fn changes(rules: Vec<Rule>) -> impl Strategy<Value = Vec<Vec<(usize, usize)>>> {
    let (at, kind) = (0..rules.len(), 0..3_usize);
    prop::collection::vec(prop::collection::vec((at, kind), 1..12), 1..12)
}

/// Applies changes step by step; after each, the router must answer as one that was built at once.
fn check_steps(rules: &[Rule], steps: &[Vec<(usize, usize)>], requests: &[Request]) -> Result<(), TestCaseError> {
    let (mut table, mut now) = (Table::default(), std::collections::BTreeMap::new());
    for step in steps {
        let step: std::collections::BTreeMap<_, _> = step.iter().copied().collect();
        let mut batch = Vec::new();
        for (at, kind) in step {
            let rule = match kind {
                0 => None,
                1 => Some(rules[at].clone()),
                // The same id with the conditions of its neighbour.
                _ => Some(Rule { id: rules[at].id.clone(), ..rules[(at + 1) % rules.len()].clone() }),
            };
            match &rule {
                None => drop(now.remove(&at)),
                Some(rule) => drop(now.insert(at, rule.clone())),
            }
            batch.push((rules[at].id.clone(), rule.map(|rule| (rule.clone(), rule.id))));
        }
        let rejected = table.change(batch);
        prop_assert!(rejected.is_empty());
        let (changed, whole) = (table.router(), router(now.values().cloned()));
        for request in requests {
            prop_assert_eq!(indexed(&changed, request), indexed(&whole, request), "{:?}", request);
        }
    }
    Ok(())
}

fn crowded(rule: Rule, crowd: bool) -> Rule {
    if crowd { Rule { hosts: None, paths: texts(&["/", "~/a+", "~/[ab]/b"]), ..rule } } else { rule }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_table_changed_step_by_step_answers_as_one_built_at_once(
        (rules, steps) in (rules(100), any::<bool>())
            .prop_map(|(rules, crowd)| rules.into_iter().map(|rule| crowded(rule, crowd)).collect::<Vec<_>>())
            .prop_flat_map(|rules| (Just(rules.clone()), changes(rules))),
        requests in prop::collection::vec(any_request(), 40),
    ) {
        check_steps(&rules, &steps, &requests)?;
    }
}
