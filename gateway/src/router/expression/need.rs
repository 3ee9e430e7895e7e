//! What every request that meets an expression must have: by this, expressions are found without trying them all.

use atc_router::ast::{BinaryOperator, Value};

use super::{Field, Predicate, Test};

/// More alternatives than this are not told apart.
const MOST: usize = 256;

/// A host and a start of the path, each as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::router) struct Need {
    /// In lower case.
    pub(in crate::router) host: Option<Box<str>>,
    pub(in crate::router) path: Box<str>,
}

/// One of these is met by every request that passes the test.
pub(super) fn of(test: &Test) -> Vec<Need> {
    let mut needs = match test {
        Test::All(tests) => tests.iter().map(of).fold(vec![Need::default()], both),
        Test::Any(tests) => tests.iter().flat_map(of).collect(),
        Test::Not(_) => vec![Need::default()],
        Test::Is(predicate) => vec![of_predicate(predicate)],
    };
    needs.sort_unstable();
    needs.dedup();
    if needs.len() > MOST { vec![Need::default()] } else { needs }
}

fn of_predicate(predicate: &Predicate) -> Need {
    match (&predicate.field, &predicate.operator, &predicate.value) {
        (Field::Host, BinaryOperator::Equals, Value::String(host)) if host.is_ascii() => {
            Need { host: Some(host.to_ascii_lowercase().into()), ..Need::default() }
        }
        (Field::Path, BinaryOperator::Equals | BinaryOperator::Prefix, Value::String(path)) if !predicate.lower => {
            Need { path: path.as_str().into(), ..Need::default() }
        }
        (Field::Path, BinaryOperator::Regex, Value::Regex(regex)) if !predicate.lower => {
            Need { path: start_of(regex.as_str()).into(), ..Need::default() }
        }
        _ => Need::default(),
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
fn both(left: Vec<Need>, right: Vec<Need>) -> Vec<Need> {
    if left.len() * right.len() > MOST {
        return if left.contains(&Need::default()) { right } else { left };
    }
    let pairs = left.iter().flat_map(|one| right.iter().filter_map(|other| merged(one, other)));
    pairs.collect()
}

fn merged(one: &Need, other: &Need) -> Option<Need> {
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
    Some(Need { host, path })
}
