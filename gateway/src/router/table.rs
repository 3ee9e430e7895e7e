//! The rules of a router while they change.

use std::sync::Arc;

use super::expression::{Crowds, Expression, Subsystem};
use super::index::{Index, Served};
use super::pattern::PathPattern;
use super::ranked::{Judged, Ranked};
use super::rule::{Patterns, RankedExpression, Rejected, Rule, RuleError};
use super::{ById, Router};

/// Fewer expressions than this are never looked through for those that no rule has any more.
const FEW_PATTERNS: usize = 64;

/// Rules by id, and a router of them at any time.
#[derive(Debug)]
pub struct Table<T: Clone> {
    served: ById<Served<T>>,
    patterns: Patterns,
    /// From this many expressions on, those are looked for that no rule has any more.
    enough_patterns: usize,
    index: Index<T>,
    judged: ById<Judged<T>>,
    crowds: Crowds,
    ranked: Ranked<T>,
}

impl<T: Clone> Default for Table<T> {
    fn default() -> Self {
        Self {
            served: ById::new_sync(),
            patterns: Patterns::new(),
            enough_patterns: FEW_PATTERNS,
            index: Index::new(),
            judged: ById::new_sync(),
            crowds: Crowds::default(),
            ranked: Ranked::new(),
        }
    }
}

impl<T: Clone> Table<T> {
    /// Changes rules, each once: a rule with what it leads to, or `None` for one that goes. Costs as much as the change is large.
    /// Rules that cannot be served are left out and returned.
    pub fn change(&mut self, changes: impl IntoIterator<Item = (Arc<str>, Option<(Rule, T)>)>) -> Vec<Rejected> {
        let (mut gone, mut new, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        let (mut unranked, mut ranked) = (Vec::new(), Vec::new());
        for (id, change) in changes {
            gone.extend(taken(&mut self.served, &id));
            let known = taken(&mut self.judged, &id);
            if let Some(known) = &known {
                self.crowds.leave(&known.needs);
                unranked.push(known.clone());
            }
            let Some((source, value)) = change else { continue };
            if let Some(expression) = &source.expression {
                match judged(&source, expression, (value, known.as_deref()), &mut self.crowds) {
                    Ok(judged) => {
                        ranked.push(judged.clone());
                        self.judged.insert_mut(id, judged);
                    }
                    Err(reason) => rejected.push(Rejected { id, reason }),
                }
                continue;
            }
            match source.compile_with(&mut |expression| pattern(&mut self.patterns, expression)) {
                Ok(rule) => {
                    let served = Arc::new(Served { rule, value });
                    new.push(served.clone());
                    self.served.insert_mut(id, served);
                }
                Err(reason) => rejected.push(Rejected { id, reason }),
            }
        }
        self.index.change(&gone, &new);
        drop(gone);
        self.ranked.change(&unranked, &ranked);
        if self.patterns.len() > self.enough_patterns {
            self.patterns.retain(|_, pattern| pattern.is_shared());
            self.enough_patterns = FEW_PATTERNS.max(self.patterns.len() * 2);
        }
        rejected
    }

    /// The router of the rules as they are now.
    pub fn router(&self) -> Router<T> {
        Router {
            index: self.index.clone(),
            ranked: self.ranked.clone(),
            served: self.served.clone(),
            judged: self.judged.clone(),
        }
    }
}

fn taken<T>(rules: &mut ById<T>, id: &Arc<str>) -> Option<Arc<T>> {
    let known = rules.get(id).cloned();
    rules.remove_mut(id);
    known
}

/// A rule by expression; one that stays as it was is not read again.
fn judged<T>(
    rule: &Rule,
    ranked: &RankedExpression,
    (value, known): (T, Option<&Judged<T>>),
    crowds: &mut Crowds,
) -> Result<Arc<Judged<T>>, RuleError> {
    if !rule.is_http() {
        return Err(RuleError::NotHttp);
    }
    let known = known.filter(|known| known.expression.text() == &ranked.text);
    let expression = match known {
        Some(known) => known.expression.clone(),
        None => Arc::new(Expression::parse(&ranked.text, Subsystem::Http)?),
    };
    let needs = crowds.enter(expression.needs());
    Ok(Arc::new(Judged { id: rule.id.clone(), priority: ranked.priority, expression, needs, value }))
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
