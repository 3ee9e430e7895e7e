//! Which of two matching rules wins.

use std::cmp::Reverse;
use std::sync::Arc;

/// How specific a rule is on one of its paths. The greater one wins, and the order of the fields is the order of the
/// rules: each only breaks the ties of those above it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    /// How many of methods, hosts, headers, paths and SNIs are not empty.
    pub attributes: u8,
    /// Whether the host list can only match whole names.
    pub hosts: HostKind,
    /// How many header names are asked for.
    pub header_names: u8,
    /// The path this precedence is for.
    pub path: PathKind,
    /// The older one wins; 0 in flavors that do not ask.
    pub created_at: Reverse<u64>,
    /// The larger id wins when all else is equal.
    pub id: Arc<str>,
}

/// What a rule's host list holds; one wildcard in it spoils the whole list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostKind {
    /// A wildcard, or there is no list.
    Open,
    /// Only plain names. An empty list counts as such.
    Plain,
}

/// What a path is, the more specific kind last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathKind {
    /// A literal prefix and its length in bytes; 0 for a rule without paths.
    Literal {
        /// The longer one wins.
        length: usize,
    },
    /// A regular expression.
    Pattern {
        /// The route's `regex_priority`; the larger one wins.
        priority: i64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn precedence(attributes: u8, hosts: HostKind, header_names: u8, path: PathKind, id: &str) -> Precedence {
        Precedence { attributes, hosts, header_names, path, created_at: Reverse(0), id: id.into() }
    }

    #[test]
    fn each_rule_only_breaks_the_ties_of_those_before_it() {
        use HostKind::{Open, Plain};
        let long = PathKind::Literal { length: 90 };
        let short = PathKind::Literal { length: 1 };
        let urgent = PathKind::Pattern { priority: 9 };
        let calm = PathKind::Pattern { priority: 0 };
        let table = [
            ("more attributes", precedence(2, Open, 0, short, "a"), precedence(1, Plain, 9, urgent, "z")),
            ("plain hosts", precedence(1, Plain, 0, short, "a"), precedence(1, Open, 9, urgent, "z")),
            ("more header names", precedence(1, Open, 2, short, "a"), precedence(1, Open, 1, urgent, "z")),
            ("a pattern over a literal", precedence(1, Open, 1, calm, "a"), precedence(1, Open, 1, long, "z")),
            ("a larger priority", precedence(1, Open, 1, urgent, "a"), precedence(1, Open, 1, calm, "z")),
            ("a longer literal", precedence(1, Open, 1, long, "a"), precedence(1, Open, 1, short, "z")),
            ("a larger id", precedence(1, Open, 1, long, "b"), precedence(1, Open, 1, long, "a")),
        ];
        for (rule, winner, loser) in table {
            assert!(winner > loser, "{rule}");
        }
        let young = Precedence { created_at: Reverse(2), ..precedence(1, Open, 1, long, "b") };
        let old = Precedence { created_at: Reverse(1), ..precedence(1, Open, 1, long, "a") };
        assert!(old > young, "an older one");
    }
}
