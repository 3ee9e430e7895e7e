//! The rules of a router while they change.

use std::collections::HashMap;
use std::sync::Arc;

use super::Router;
use super::index::{Index, Served};
use super::pattern::PathPattern;
use super::rule::{Patterns, Rejected, Rule};

/// Fewer expressions than this are never looked through for those that no rule has any more.
const FEW_PATTERNS: usize = 64;

/// Rules by id, and a router of them at any time.
#[derive(Debug)]
pub struct Table<T: Clone> {
    served: HashMap<Arc<str>, Arc<Served<T>>>,
    patterns: Patterns,
    /// From this many expressions on, those are looked for that no rule has any more.
    enough_patterns: usize,
    index: Index<T>,
}

impl<T: Clone> Default for Table<T> {
    fn default() -> Self {
        let (served, patterns, index) = (HashMap::new(), Patterns::new(), Index::new());
        Self { served, patterns, enough_patterns: FEW_PATTERNS, index }
    }
}

impl<T: Clone> Table<T> {
    /// Changes rules, each once: a rule with what it leads to, or `None` for one that goes. Costs as much as the change is large.
    /// Rules that cannot be served are left out and returned.
    pub fn change(&mut self, changes: impl IntoIterator<Item = (Arc<str>, Option<(Rule, T)>)>) -> Vec<Rejected> {
        let (mut gone, mut new, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for (id, change) in changes {
            gone.extend(self.served.remove(&id));
            let Some((source, value)) = change else { continue };
            match source.compile_with(&mut |expression| pattern(&mut self.patterns, expression)) {
                Ok(rule) => {
                    let served = Arc::new(Served { rule, value });
                    new.push(served.clone());
                    self.served.insert(id, served);
                }
                Err(reason) => rejected.push(Rejected { id, reason }),
            }
        }
        self.index.change(&gone, &new);
        drop(gone);
        if self.patterns.len() > self.enough_patterns {
            self.patterns.retain(|_, pattern| pattern.is_shared());
            self.enough_patterns = FEW_PATTERNS.max(self.patterns.len() * 2);
        }
        rejected
    }

    /// The router of the rules as they are now.
    pub fn router(&self) -> Router<T> {
        Router { index: self.index.clone() }
    }
}

/// An expression that was compiled before, for whichever rule, is not compiled again.
fn pattern(known: &mut Patterns, expression: &Arc<str>) -> Result<PathPattern, regex::Error> {
    if let Some(pattern) = known.get(expression) {
        return Ok(pattern.clone());
    }
    let pattern = PathPattern::compile(expression)?;
    known.insert(expression.clone(), pattern.clone());
    Ok(pattern)
}
