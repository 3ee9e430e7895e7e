//! What every request that meets an expression must have: by this, expressions are found without trying them all.

use std::collections::HashMap;

use atc_router::ast::{BinaryOperator, Value};

use super::key::{self, Key};
use super::{Field, Predicate, Test, lowered};

/// More alternatives than this are not told apart.
const MOST: usize = 256;
/// Of more keys than this in one alternative, the rest is left out.
const MOST_KEYS: usize = 8;

/// A host, a start of the path and a value of another field, each as far as it is known: where a rule is filed.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::router) struct Need {
    /// In lower case.
    pub(in crate::router) host: Option<Box<str>>,
    pub(in crate::router) path: Box<str>,
    pub(in crate::router) key: Option<Key>,
}

/// What requests have in common that pass a test in one of the ways there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::router) struct Alternative {
    pub(in crate::router) host: Option<Box<str>>,
    pub(in crate::router) path: Box<str>,
    pub(in crate::router) keys: Vec<Key>,
}

/// How many rules are filed at each place that has a key.
#[derive(Debug, Default)]
pub(in crate::router) struct Crowds(HashMap<Need, usize>);

impl Crowds {
    /// Chooses for each alternative the key under which the fewest rules are filed, and counts the rule there.
    pub(in crate::router) fn enter(&mut self, alternatives: Vec<Alternative>) -> Box<[Need]> {
        let mut needs: Vec<Need> = alternatives.into_iter().map(|alternative| self.choose(alternative)).collect();
        needs.sort_unstable();
        needs.dedup();
        for need in needs.iter().filter(|need| need.key.is_some()) {
            *self.0.entry(need.clone()).or_default() += 1;
        }
        needs.into()
    }

    /// Counts a rule no more.
    pub(in crate::router) fn leave(&mut self, needs: &[Need]) {
        for need in needs {
            if let Some(count) = self.0.get_mut(need) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(need);
                }
            }
        }
    }

    fn choose(&self, alternative: Alternative) -> Need {
        let Alternative { host, path, keys } = alternative;
        let filed = |key| Need { host: host.clone(), path: path.clone(), key };
        let places = keys.into_iter().map(|key| filed(Some(key)));
        let crowd = |place: &Need| self.0.get(place).copied().unwrap_or_default();
        places.min_by_key(crowd).unwrap_or_else(|| filed(None))
    }
}

/// One of these is met by every request that passes the test.
pub(super) fn of(test: &Test) -> Vec<Alternative> {
    let mut all = match test {
        Test::All(tests) => tests.iter().map(of).fold(vec![Alternative::default()], both),
        Test::Any(tests) => tests.iter().flat_map(of).collect(),
        Test::Not(_) => vec![Alternative::default()],
        Test::Is(predicate) => vec![of_predicate(predicate)],
    };
    all.sort_unstable();
    all.dedup();
    if all.len() > MOST || is_open(&all) { vec![Alternative::default()] } else { all }
}

/// Whether some requests have nothing in common.
fn is_open(alternatives: &[Alternative]) -> bool {
    alternatives.contains(&Alternative::default())
}

fn of_predicate(predicate: &Predicate) -> Alternative {
    let own = |path: &str| Alternative { path: path.into(), ..Alternative::default() };
    match (&predicate.field, &predicate.operator, &predicate.value) {
        (Field::Host, BinaryOperator::Equals, Value::String(host)) => {
            Alternative { host: Some(lowered(host.as_str().into()).into()), ..Alternative::default() }
        }
        (Field::Path, BinaryOperator::Equals | BinaryOperator::Prefix, Value::String(path)) if !predicate.lower => {
            own(path)
        }
        (Field::Path, BinaryOperator::Regex, Value::Regex(regex)) if !predicate.lower => own(start_of(regex.as_str())),
        _ => Alternative { keys: key::of(predicate).into_iter().collect(), ..Alternative::default() },
    }
}

/// The plain text that follows `^`; the last character may yet be repeated or optional.
fn start_of(expression: &str) -> &str {
    let Some(rest) = expression.strip_prefix('^').filter(|rest| !rest.contains('|')) else { return "" };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_~%&=:;,@!'".contains(c);
    let end = rest.find(|c| !plain(c)).unwrap_or(rest.len());
    match rest[end..].chars().next() {
        Some('?' | '*' | '{' | '+') => &rest[..end.saturating_sub(1)],
        _ => &rest[..end],
    }
}

/// Every pair that can be met at once.
fn both(left: Vec<Alternative>, right: Vec<Alternative>) -> Vec<Alternative> {
    if left.len() * right.len() > MOST {
        return if is_open(&left) { right } else { left };
    }
    let pairs = left.iter().flat_map(|one| right.iter().filter_map(|other| merged(one, other)));
    pairs.collect()
}

fn merged(one: &Alternative, other: &Alternative) -> Option<Alternative> {
    let host = match (&one.host, &other.host) {
        (Some(one), Some(other)) if one != other => return None,
        (Some(host), _) | (None, Some(host)) => Some(host.clone()),
        (None, None) => None,
    };
    let path = match (one.path.starts_with(&*other.path), other.path.starts_with(&*one.path)) {
        (true, _) => one.path.clone(),
        (_, true) => other.path.clone(),
        (false, false) => return None,
    };
    let mut keys = [&one.keys[..], &other.keys].concat();
    keys.sort_unstable();
    keys.dedup();
    keys.truncate(MOST_KEYS);
    Some(Alternative { host, path, keys })
}
