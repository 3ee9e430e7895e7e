//! Decides which route a request takes. Never looks at services, plugins or the store; called once a request by the
//! proxy, built by the snapshot.
//!
//! A rule is compared in two ways that must agree: [`CompiledRule::matches`] looks at one rule, condition by condition;
//! [`Router::find`] goes from the host over the path to the few rules that can still match, so that its cost does not
//! depend on how many rules there are.

mod header;
mod index;
mod name;
mod path;
mod pattern;
mod precedence;
mod query;
mod rule;
mod search;
mod trie;
mod upstream_path;

use std::sync::Arc;

use index::Index;
pub use path::{NormalPath, PathError, escape_for_upstream};
pub use pattern::{Captures, PathPattern};
pub use precedence::{HostKind, PathKind, Precedence};
pub use query::{Query, Transport};
use rule::Patterns;
pub use rule::{CompiledRule, Mismatch, Rejected, Rule, RuleError};
use search::Search;
pub use upstream_path::{PathHandling, upstream_path};

/// Rules compiled for finding the one that a request takes. Immutable: a change builds another.
#[derive(Debug)]
pub struct Router<T> {
    rules: Vec<CompiledRule>,
    /// What each rule leads to, at the same place.
    values: Vec<T>,
    index: Index,
    patterns: Patterns,
}

/// The rule that a request takes.
#[derive(Debug)]
pub struct Match<'a, T> {
    /// What the rule leads to.
    pub value: &'a T,
    /// The literal path, or the text that the expression matched; what `strip_path` cuts off. `None` if the rule has
    /// no paths.
    pub prefix: Option<&'a str>,
    /// The expression, if one matched. A clone of it can find the captures at any later time.
    pub pattern: Option<&'a PathPattern>,
    path: &'a str,
}

impl<T> Router<T> {
    /// Compiles rules, each with what it leads to. Rules that cannot be served are left out and returned.
    pub fn build(rules: Vec<(Rule, T)>) -> (Self, Vec<Rejected>) {
        Self::assemble(rules, &Patterns::new())
    }

    /// Like [`build`](Self::build), but takes over the regular expressions that this router has compiled already, which
    /// are by far the slowest part.
    pub fn rebuild(&self, rules: Vec<(Rule, T)>) -> (Self, Vec<Rejected>) {
        Self::assemble(rules, &self.patterns)
    }

    /// Finds the rule with the greatest [`Precedence`] among those that match. Nothing is allocated unless regular
    /// expressions have to be tried.
    pub fn find<'a>(&'a self, query: &Query<'a>) -> Option<Match<'a, T>> {
        let hit = Search::new(&self.rules, query).run(&self.index)?;
        Some(Match {
            value: &self.values[hit.rule],
            prefix: hit.prefix_length.map(|length| &query.path[..length]),
            pattern: hit.pattern,
            path: query.path,
        })
    }

    /// The rules that are served with what they lead to, in the order in which they were given.
    pub fn rules(&self) -> impl Iterator<Item = (&CompiledRule, &T)> {
        self.rules.iter().zip(&self.values)
    }

    fn assemble(sources: Vec<(Rule, T)>, known: &Patterns) -> (Self, Vec<Rejected>) {
        let mut patterns = Patterns::new();
        let mut take = |expression: &Arc<str>| {
            if let Some(pattern) = patterns.get(expression) {
                return Ok(pattern.clone());
            }
            let pattern = known.get(expression).cloned().map_or_else(|| PathPattern::compile(expression), Ok)?;
            patterns.insert(expression.clone(), pattern.clone());
            Ok(pattern)
        };
        let (mut rules, mut values, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for (source, value) in sources {
            match source.compile_with(&mut take) {
                Ok(rule) => {
                    rules.push(rule);
                    values.push(value);
                }
                Err(reason) => rejected.push(Rejected { id: source.id, reason }),
            }
        }
        let index = Index::build(&rules);
        (Self { rules, values, index, patterns }, rejected)
    }
}

impl<'a, T> Match<'a, T> {
    /// The groups of the expression that matched; `None` for a literal path. Computed anew at each call.
    pub fn captures(&self) -> Option<Captures<'a>> {
        self.pattern?.captures(self.path)
    }
}

#[cfg(test)]
mod tests;
