//! Why a request takes the rule that it takes, and no other. For operators: it looks at every rule.

use std::fmt;
use std::sync::Arc;

use super::Router;
use super::expression::{Asked, Trace};
use super::precedence::{PathKind, Precedence};
use super::query::{Query, Transport};
use super::rule::{CompiledRule, Mismatch};

/// A rule that a request does not take.
#[derive(Debug)]
pub struct Loser<'a, T> {
    /// What the rule leads to.
    pub value: &'a T,
    /// Why it is not taken.
    pub reason: Reason,
}

/// Why a rule is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It matches, and another one is preferred.
    Outranked(Rank),
    /// A condition does not hold.
    Mismatch(Mismatch),
    /// Its expression does not hold.
    Expression,
}

/// The first thing that the winner has more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// It has an expression.
    Expression,
    /// Its expression has a larger priority.
    Priority,
    /// More of methods, hosts, headers, paths and SNIs.
    Attributes,
    /// Only plain hosts.
    PlainHosts,
    /// More header names.
    Headers,
    /// A regular expression and no prefix.
    Pattern,
    /// A larger `regex_priority`.
    RegexPriority,
    /// A longer prefix.
    Length,
    /// It is older.
    Age,
    /// A larger id.
    Id,
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outranked(rank) => write!(out, "it matches, but the winner {rank}"),
            Self::Mismatch(mismatch) => out.write_str(match mismatch {
                Mismatch::Method => "the method is none of its methods",
                Mismatch::Host => "the host is none of its hosts",
                Mismatch::Path => "the path matches none of its paths",
                Mismatch::Header => "a header that it asks for is missing or has another value",
                Mismatch::Sni => "the server name is none of its snis",
                Mismatch::Source => "the client is at none of its sources",
                Mismatch::Destination => "the address that the client connected to is none of its destinations",
            }),
            Self::Expression => out.write_str("its expression does not hold"),
        }
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Expression => "has an expression",
            Self::Priority => "has a larger priority",
            Self::Attributes => "asks for more of methods, hosts, headers, paths and snis",
            Self::PlainHosts => "has hosts, none of them with a wildcard",
            Self::Headers => "asks for more headers",
            Self::Pattern => "matches by a regular expression",
            Self::RegexPriority => "has a larger regex_priority",
            Self::Length => "matches by a longer path",
            Self::Age => "is older",
            Self::Id => "has a larger id",
        })
    }
}

/// What of a request a rule matched by, each `None` if the rule does not ask for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// The method.
    pub method: Option<String>,
    /// The entry of its hosts.
    pub host: Option<String>,
    /// The entry of its paths.
    pub path: Option<String>,
    /// Names of the headers.
    pub headers: Vec<String>,
    /// The entry of its SNIs.
    pub sni: Option<String>,
    /// The expression in place of all others.
    pub expression: Option<Arc<str>>,
}

impl<T: Clone> Router<T> {
    /// What of the request the rule with this id matches by.
    pub fn parts(&self, id: &str, query: &Query<'_>) -> Parts {
        if let Some(judged) = self.judged.get(id) {
            return Parts { expression: Some(judged.expression.text().clone()), ..Parts::default() };
        }
        self.served.get(id).map_or(Parts::default(), |served| parts(&served.rule, query))
    }

    /// The rules that a request does not take, those first that match, with how many there are in all.
    pub fn losers(&self, winner: Option<&str>, query: &Query<'_>, most: usize) -> (Vec<Loser<'_, T>>, usize) {
        let by_expression = winner.and_then(|id| self.judged.get(id));
        let by_rule = winner.and_then(|id| self.served.get(id)).and_then(|served| best(&served.rule, query));
        let judged = self.judged.iter().map(|(id, judged)| {
            let holds = judged.expression.holds(Asked::Http(query), &mut Trace::default());
            let rank = match by_expression {
                Some(winner) if winner.priority != judged.priority => Rank::Priority,
                _ => Rank::Id,
            };
            let reason = if holds { Reason::Outranked(rank) } else { Reason::Expression };
            (id, Loser { value: &judged.value, reason })
        });
        let served = self.served.iter().map(|(id, served)| {
            let reason = match (served.rule.matches(query), best(&served.rule, query), &by_rule) {
                (Err(mismatch), ..) => Reason::Mismatch(mismatch),
                (Ok(()), Some(own), Some(winner)) => Reason::Outranked(difference(winner, &own)),
                (Ok(()), ..) => Reason::Outranked(Rank::Expression),
            };
            (id, Loser { value: &served.value, reason })
        });
        let mut losers: Vec<_> = judged.chain(served).filter(|(id, _)| Some(&***id) != winner).collect();
        losers.sort_unstable_by(|(one, left), (other, right)| {
            (order(left.reason), one).cmp(&(order(right.reason), other))
        });
        let total = losers.len();
        losers.truncate(most);
        (losers.into_iter().map(|(_, loser)| loser).collect(), total)
    }
}

/// Those first that came close.
fn order(reason: Reason) -> u8 {
    match reason {
        Reason::Outranked(_) => 0,
        Reason::Mismatch(Mismatch::Sni | Mismatch::Source | Mismatch::Destination) => 1,
        Reason::Mismatch(Mismatch::Header) => 2,
        Reason::Expression | Reason::Mismatch(Mismatch::Method) => 3,
        Reason::Mismatch(Mismatch::Path) => 4,
        Reason::Mismatch(Mismatch::Host) => 5,
    }
}

/// The greatest precedence of the paths that match.
fn best(rule: &CompiledRule, query: &Query<'_>) -> Option<Precedence> {
    let fits = |at: usize| rule.paths().get(at).is_none_or(|path| path.matches(query.path));
    rule.precedences().enumerate().filter(|(at, _)| fits(*at)).map(|(_, precedence)| precedence).max()
}

fn difference(winner: &Precedence, own: &Precedence) -> Rank {
    let steps = [
        (winner.attributes != own.attributes, Rank::Attributes),
        (winner.hosts != own.hosts, Rank::PlainHosts),
        (winner.header_names != own.header_names, Rank::Headers),
        (winner.path != own.path, path_difference(&winner.path, &own.path)),
        (winner.created_at != own.created_at, Rank::Age),
    ];
    steps.into_iter().find(|(differs, _)| *differs).map_or(Rank::Id, |(_, rank)| rank)
}

fn path_difference(winner: &PathKind, own: &PathKind) -> Rank {
    match (winner, own) {
        (PathKind::Pattern { .. }, PathKind::Literal { .. }) => Rank::Pattern,
        (PathKind::Pattern { .. }, PathKind::Pattern { .. }) => Rank::RegexPriority,
        (PathKind::Literal { .. }, _) => Rank::Length,
    }
}

fn parts(rule: &CompiledRule, query: &Query<'_>) -> Parts {
    let path = best(rule, query).and_then(|best| {
        let at = rule.precedences().enumerate().find(|(at, precedence)| {
            *precedence == best && rule.paths().get(*at).is_some_and(|path| path.matches(query.path))
        });
        at.and_then(|(at, _)| rule.paths().get(at))
    });
    let sni = match query.transport {
        Transport::Tls { sni: Some(sni) } => rule.snis().iter().find(|pattern| pattern.matches(sni)),
        _ => None,
    };
    Parts {
        method: rule.asks_for_method().then(|| query.method.to_string()),
        host: rule.matching_host(query).map(ToString::to_string),
        path: path.map(ToString::to_string),
        headers: rule.headers().iter().map(|header| header.name().to_owned()).collect(),
        sni: sni.map(ToString::to_string),
        expression: None,
    }
}
