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
mod place;
mod precedence;
mod query;
mod rule;
mod search;
mod stream;
mod table;
mod trie;
mod upstream_path;

use index::Index;
pub use path::{NormalPath, PathError, escape_for_upstream};
pub use pattern::{Captures, PathPattern};
pub use precedence::{HostKind, PathKind, Precedence};
pub use query::{Query, Transport};
pub use rule::{CompiledRule, Mismatch, Rejected, Rule, RuleError};
use search::Search;
pub use stream::{StreamAddress, StreamMatch, StreamProtocol, StreamQuery, StreamRouter, StreamRule};
pub use table::Table;
pub use upstream_path::{PathHandling, upstream_path};

/// Rules compiled for finding the one that a request takes. Immutable: a changed [`Table`] makes another, which shares
/// with this one all that did not change.
#[derive(Debug, Clone)]
pub struct Router<T: Clone> {
    index: Index<T>,
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

impl<T: Clone> Router<T> {
    /// Compiles rules, each with what it leads to. Rules that cannot be served are left out and returned.
    pub fn build(rules: Vec<(Rule, T)>) -> (Self, Vec<Rejected>) {
        let mut table = Table::default();
        let rejected = table.change(rules.into_iter().map(|(rule, value)| (rule.id.clone(), Some((rule, value)))));
        (table.router(), rejected)
    }

    /// Finds the rule with the greatest [`Precedence`] among those that match. Nothing is allocated unless regular
    /// expressions have to be tried.
    pub fn find<'a>(&'a self, query: &Query<'a>) -> Option<Match<'a, T>> {
        let hit = Search::new(query).run(&self.index)?;
        Some(Match {
            value: &hit.entry.served.value,
            prefix: hit.prefix_length.map(|length| &query.path[..length]),
            pattern: hit.pattern,
            path: query.path,
        })
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
