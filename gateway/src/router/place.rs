//! The rules that ask for the same host and the same start of the path.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use regex::{RegexSet, RegexSetBuilder};

use super::index::Served;
use super::name::NamePattern;
use super::pattern::{PathPattern, SIZE_LIMIT};
use super::precedence::Precedence;
use super::rule::CompiledRule;

/// Fewer expressions than this are tried one by one.
const SMALLEST_SET: usize = 8;
/// More expressions than this go into several sets: the automaton of a large one outgrows its cache.
const LARGEST_SET: usize = 64;
/// Fewer rules than this in one place are compared one by one.
const SMALLEST_KEYED: usize = 16;

/// Rules for which host and start of the path are settled.
#[derive(Debug, Clone)]
pub(super) struct Place<T> {
    pub(super) literals: Literals<T>,
    /// Expressions to try, best first, as many at once as are good to try at once.
    pub(super) patterns: Arc<[Arc<PatternChunk<T>>]>,
}

/// A rule on one of its paths, in the lists best first.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) rank: Rank,
    pub(super) port: Option<u16>,
    pub(super) has_more_conditions: bool,
    pub(super) served: Arc<Served<T>>,
}

/// A place in the order of precedence; the least is the best. Among equals, the earlier of a rule's paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) precedence: Reverse<Precedence>,
    pub(super) path: usize,
}

/// Rules that have the start of the path as their path.
#[derive(Debug)]
pub(super) struct Literals<T> {
    pub(super) scanned: Arc<[Entry<T>]>,
    /// Only where there are many rules.
    pub(super) keyed: Option<Arc<Keyed<T>>>,
}

/// Rules by a header value or server name that they cannot match without.
#[derive(Debug)]
pub(super) struct Keyed<T> {
    /// By header name, then by value in lower case.
    pub(super) headers: HashMap<Box<str>, ByValue<T>>,
    pub(super) snis: HashMap<Box<str>, Vec<Entry<T>>>,
    /// All rules that stand in `snis`, for requests that are not asked for a server name.
    pub(super) any_sni: Vec<Entry<T>>,
    /// Every rule that stands here, once.
    all: Vec<Entry<T>>,
}

type ByValue<T> = HashMap<Box<[u8]>, Vec<Entry<T>>>;

/// Expressions that can be tried at once.
#[derive(Debug)]
pub(super) struct PatternChunk<T> {
    pub(super) entries: Box<[(Entry<T>, PathPattern)]>,
    pub(super) set: Option<RegexSet>,
}

/// What comes to a place.
#[derive(Debug)]
pub(super) struct Change<'r, T> {
    literals: Vec<Entry<T>>,
    patterns: Vec<(Entry<T>, &'r PathPattern)>,
}

impl<T> Default for Change<'_, T> {
    fn default() -> Self {
        Self { literals: Vec::new(), patterns: Vec::new() }
    }
}

impl<'r, T> Change<'r, T> {
    pub(super) fn add(&mut self, entry: Entry<T>, pattern: Option<&'r PathPattern>) {
        match pattern {
            None => self.literals.push(entry),
            Some(pattern) => self.patterns.push((entry, pattern)),
        }
    }
}

impl<T> Place<T> {
    /// The place after a change in which these rules go first; `None` if nothing is left.
    pub(super) fn changed(before: Option<&Self>, change: Change<'_, T>, gone: &HashSet<&str>) -> Option<Self> {
        let literals = Literals::changed(before.map(|place| &place.literals), change.literals, gone);
        let patterns = changed_patterns(before.map_or(&[], |place| &place.patterns), change.patterns, gone);
        let is_empty = literals.scanned.is_empty() && literals.keyed.is_none() && patterns.is_empty();
        (!is_empty).then_some(Self { literals, patterns })
    }
}

impl<T> Entry<T> {
    fn is_of(&self, rules: &HashSet<&str>) -> bool {
        rules.contains(&**self.served.rule.id())
    }
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { rank: self.rank.clone(), served: self.served.clone(), ..*self }
    }
}

impl<T> Clone for Literals<T> {
    fn clone(&self) -> Self {
        Self { scanned: self.scanned.clone(), keyed: self.keyed.clone() }
    }
}

impl<T> Literals<T> {
    fn changed(before: Option<&Self>, new: Vec<Entry<T>>, gone: &HashSet<&str>) -> Self {
        let keyed = before.and_then(|before| before.keyed.as_ref()).map_or(&[][..], |keyed| &keyed.all);
        let scanned = before.map_or(&[][..], |before| &before.scanned);
        let kept = scanned.iter().chain(keyed).filter(|entry| !entry.is_of(gone)).cloned();
        let mut entries: Vec<_> = kept.chain(new).collect();
        entries.sort_by(|one, other| one.rank.cmp(&other.rank));
        Self::build(entries)
    }

    fn build(entries: Vec<Entry<T>>) -> Self {
        if entries.len() < SMALLEST_KEYED {
            return Self { scanned: entries.into(), keyed: None };
        }
        let mut keyed = Keyed { headers: HashMap::new(), snis: HashMap::new(), any_sni: Vec::new(), all: Vec::new() };
        let scanned = entries.into_iter().filter(|entry| !keyed.take(entry)).collect();
        Self { scanned, keyed: (!keyed.all.is_empty()).then(|| Arc::new(keyed)) }
    }
}

impl<T> Keyed<T> {
    /// Files an entry if its rule has exact header values or server names; says whether it did.
    fn take(&mut self, entry: &Entry<T>) -> bool {
        let is_taken = self.take_by_header(&entry.served.rule, entry) || self.take_by_sni(&entry.served.rule, entry);
        if is_taken {
            self.all.push(entry.clone());
        }
        is_taken
    }

    fn take_by_header(&mut self, rule: &CompiledRule, entry: &Entry<T>) -> bool {
        let by_header = rule.headers().iter().find_map(|header| Some((header.name(), header.exact_values()?)));
        let Some((name, values)) = by_header else { return false };
        let by_value = self.headers.entry(name.into()).or_default();
        values.into_iter().for_each(|value| by_value.entry(value.into()).or_default().push(entry.clone()));
        true
    }

    fn take_by_sni(&mut self, rule: &CompiledRule, entry: &Entry<T>) -> bool {
        let exact = |sni: &NamePattern| matches!(sni, NamePattern::Exact(_));
        if rule.snis().is_empty() || !rule.snis().iter().all(exact) {
            return false;
        }
        for sni in rule.snis() {
            self.snis.entry(sni.text().into()).or_default().push(entry.clone());
        }
        self.any_sni.push(entry.clone());
        true
    }
}

type Chunks<T> = Arc<[Arc<PatternChunk<T>>]>;

/// Only the chunks that the change concerns are built again.
fn changed_patterns<T>(
    before: &[Arc<PatternChunk<T>>],
    mut new: Vec<(Entry<T>, &PathPattern)>,
    gone: &HashSet<&str>,
) -> Chunks<T> {
    new.sort_by(|(one, _), (other, _)| one.rank.cmp(&other.rank));
    let mut new = new.into_iter().map(|(entry, pattern)| (entry, pattern.clone())).peekable();
    let mut chunks = Vec::with_capacity(before.len() + 1);
    for (at, chunk) in before.iter().enumerate() {
        // What is worse than all of this chunk and better than all of the next belongs here.
        let end = before.get(at + 1).map(|next| &next.entries[0].0.rank);
        let mut added = Vec::new();
        while let Some(next) = new.next_if(|(entry, _)| end.is_none_or(|end| entry.rank < *end)) {
            added.push(next);
        }
        if added.is_empty() && !chunk.entries.iter().any(|(entry, _)| entry.is_of(gone)) {
            chunks.push(chunk.clone());
            continue;
        }
        let kept = chunk.entries.iter().filter(|(entry, _)| !entry.is_of(gone)).cloned();
        let mut entries: Vec<_> = kept.chain(added).collect();
        entries.sort_by(|(one, _), (other, _)| one.rank.cmp(&other.rank));
        chunks.extend(PatternChunk::split(entries, Some(chunk)));
    }
    chunks.extend(PatternChunk::split(new.collect(), None));
    chunks.into()
}

impl<T> PatternChunk<T> {
    fn split(entries: Vec<(Entry<T>, PathPattern)>, before: Option<&Self>) -> impl Iterator<Item = Arc<Self>> {
        let pieces = entries.len().div_ceil(LARGEST_SET).max(1);
        let size = entries.len().div_ceil(pieces).max(1);
        let chunks: Vec<_> = entries.chunks(size).map(|entries| Arc::new(Self::build(entries, before))).collect();
        chunks.into_iter()
    }

    /// Without a set, should it be too large, the expressions are tried one by one.
    fn build(entries: &[(Entry<T>, PathPattern)], before: Option<&Self>) -> Self {
        let expressions = || entries.iter().map(|(_, pattern)| pattern.as_str());
        let known =
            before.filter(|before| before.entries.iter().map(|(_, pattern)| pattern.as_str()).eq(expressions()));
        let build = || {
            let limit = LARGEST_SET * SIZE_LIMIT;
            RegexSetBuilder::new(expressions()).size_limit(limit).dfa_size_limit(SIZE_LIMIT).build().ok()
        };
        let set = match known {
            Some(known) => known.set.clone(),
            None => (entries.len() >= SMALLEST_SET).then(build).flatten(),
        };
        Self { entries: entries.into(), set }
    }
}
