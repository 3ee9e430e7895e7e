//! 10⁴ rules and 10⁵ requests, of an alphabet so small that they collide all the time.

use std::collections::HashMap;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::agreement::{Answer, any_rule, indexed, naive, ranked};
use super::*;

/// Steele, Lea and Flood's generator: the same numbers at each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn of<'t>(&mut self, list: &[&'t str]) -> &'t str {
        list[self.below(list.len())]
    }
}

const HOSTS: &[&str] = &["", "a", "b.a", "c.b", "x.a.b", "a.c", "a:80", "c.b:80"];
const PATHS: &[&str] = &["/", "/a", "/ab", "/a/", "/a/b", "/b", "/b/a", "/aab", "/a/b/c", "/A", "/c", "/b/b"];
const SNIS: &[&str] = &["a", "c.b", "z"];

fn request(numbers: &mut Numbers) -> Request {
    let mut request = Request::get(numbers.of(HOSTS), numbers.of(PATHS));
    request.method = [Method::GET, Method::PUT, Method::POST][numbers.below(3)].clone();
    if numbers.below(2) == 0 {
        request = request.header(["x-h", "x_h", "y"][numbers.below(3)], ["1", "x", "X2"][numbers.below(3)]);
    }
    if numbers.below(3) == 0 {
        request = request.tls(Some(numbers.of(SNIS)));
    }
    request
}

/// Rules of which few have expressions, which are slow to compile and have tests of their own.
fn rules(count: usize) -> Vec<Rule> {
    let (mut runner, strategy) = (TestRunner::deterministic(), any_rule());
    let one = |at: usize| {
        let mut rule = strategy.new_tree(&mut runner).unwrap().current();
        rule.id = format!("{:05}", (at * 7919) % 100_000).into();
        if !at.is_multiple_of(16) {
            rule.paths.retain(|path| !path.starts_with('~'));
            rule.headers.values_mut().for_each(|values| values.retain(|value| !value.starts_with('~')));
        }
        if matches!(rule.compile(), Err(RuleError::Unconditional)) {
            rule.paths = texts(&["/"]);
        }
        rule
    };
    (0..count).map(one).collect()
}

#[test]
fn multitudes_of_requests_find_what_comparing_each_of_many_rules_finds() {
    let mut numbers = Numbers(1);
    for (count, requests) in [(10, 10_000), (100, 10_000), (1_000, 10_000), (10_000, 100_000)] {
        let rules = rules(count);
        let (router, ranked) = (router(rules.clone()), ranked(&rules));
        // There are fewer different requests than requests: comparing all rules with each would take minutes.
        let mut known: HashMap<String, Answer> = HashMap::new();
        for _ in 0..requests {
            let request = request(&mut numbers);
            let expected = known.entry(format!("{request:?}")).or_insert_with(|| naive(&ranked, &request));
            assert_eq!(indexed(&router, &request), *expected, "{count} rules: {request:?}");
        }
        assert!(known.len() > 3_000, "{}", known.len());
    }
}
