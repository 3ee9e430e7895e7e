//! One search through the index.

use std::borrow::Cow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::index::{Index, Paths};
use super::name::Authority;
use super::pattern::PathPattern;
use super::place::{Entry, Keyed, Literals, PatternChunk};
use super::query::{Query, Transport};
use super::trie::Trie;

/// What was found.
#[derive(Debug)]
pub(super) struct Hit<'a, T> {
    pub(super) entry: &'a Entry<T>,
    /// How much of the path its path matched; `None` if the rule has no paths.
    pub(super) prefix_length: Option<usize>,
    pub(super) pattern: Option<&'a PathPattern>,
}

/// Literal paths are looked at first, as nearly nothing has to be tried for them; expressions only where they would
/// still win.
pub(super) struct Search<'a, 'q, T> {
    query: &'q Query<'a>,
    authority: Option<Authority<'a>>,
    patterns: SmallVec<[&'a [Arc<PatternChunk<T>>]; 8]>,
    best: Option<Hit<'a, T>>,
}

impl<'a, 'q, T: Clone> Search<'a, 'q, T> {
    pub(super) fn new(query: &'q Query<'a>) -> Self {
        let authority = Authority::of(query.host, query.port);
        Self { query, authority, patterns: SmallVec::new(), best: None }
    }

    pub(super) fn run(mut self, index: &'a Index<T>) -> Option<Hit<'a, T>> {
        if let Some(authority) = self.authority {
            self.visit_hosts(index, authority.name.as_bytes());
        }
        self.visit(&index.any);
        for chunks in std::mem::take(&mut self.patterns) {
            self.try_patterns(chunks);
        }
        self.best
    }

    fn visit_hosts(&mut self, index: &'a Index<T>, name: &'a [u8]) {
        if let Some(paths) = index.exact.get(name) {
            self.visit(paths);
        }
        self.visit_each(&index.prefixes, name);
        if !index.suffixes.is_empty() {
            let reversed: SmallVec<[u8; 128]> = name.iter().rev().copied().collect();
            self.visit_each(&index.suffixes, &reversed);
        }
    }

    fn visit_each(&mut self, hosts: &'a Trie<Paths<T>>, name: &[u8]) {
        hosts.prefixes_of(name).for_each(|(_, paths)| self.visit(paths));
    }

    fn visit(&mut self, paths: &'a Paths<T>) {
        for (length, place) in paths.prefixes_of(self.query.path.as_bytes()) {
            #[cfg(test)]
            looks::add(1);
            self.try_literals(&place.literals, length);
            if !place.patterns.is_empty() {
                self.patterns.push(&place.patterns);
            }
        }
    }

    fn try_literals(&mut self, literals: &'a Literals<T>, length: usize) {
        self.scan(&literals.scanned, length);
        if let Some(keyed) = &literals.keyed {
            self.try_headers(keyed, length);
            match self.query.transport {
                Transport::Plain => self.scan(&keyed.any_sni, length),
                Transport::Tls { sni } => {
                    let entries = sni.and_then(|sni| keyed.snis.get(sni));
                    self.scan(entries.map_or(&[], Vec::as_slice), length);
                }
            }
        }
    }

    fn try_headers(&mut self, keyed: &'a Keyed<T>, length: usize) {
        if keyed.headers.is_empty() {
            return;
        }
        for (name, value) in self.query.headers {
            let Some(by_value) = keyed.headers.get(&*with_hyphens(name.as_str())) else {
                continue;
            };
            let lower: SmallVec<[u8; 128]> = value.as_bytes().iter().map(u8::to_ascii_lowercase).collect();
            if let Some(entries) = by_value.get(&lower[..]) {
                self.scan(entries, length);
            }
        }
    }

    /// Takes the first entry that matches, unless a better one is known by then.
    fn scan(&mut self, entries: &'a [Entry<T>], length: usize) {
        for entry in entries {
            if !self.would_win(entry) {
                return;
            }
            if self.admits(entry) {
                // Paths begin with a slash: nothing was compared for an entry at length 0.
                self.take(entry, (length > 0).then_some(length), None);
                return;
            }
        }
    }

    fn try_patterns(&mut self, chunks: &'a [Arc<PatternChunk<T>>]) {
        for chunk in chunks {
            if !self.would_win(&chunk.entries[0].0) {
                return;
            }
            self.try_chunk(chunk);
        }
    }

    fn try_chunk(&mut self, chunk: &'a PatternChunk<T>) {
        #[cfg(test)]
        looks::add(chunk.entries.len());
        match &chunk.set {
            None => _ = (0..chunk.entries.len()).any(|at| self.try_pattern(chunk, at)),
            Some(set) => _ = set.matches(self.query.path).iter().any(|at| self.try_pattern(chunk, at)),
        }
    }

    /// Says whether the rest of the chunk need not be tried.
    fn try_pattern(&mut self, chunk: &'a PatternChunk<T>, at: usize) -> bool {
        let (entry, pattern) = &chunk.entries[at];
        if !self.would_win(entry) {
            return true;
        }
        let length = self.admits(entry).then(|| pattern.matched_length(self.query.path)).flatten();
        if length.is_some() {
            self.take(entry, length, Some(pattern));
        }
        length.is_some()
    }

    fn would_win(&self, entry: &Entry<T>) -> bool {
        #[cfg(test)]
        looks::add(1);
        self.best.as_ref().is_none_or(|best| entry.rank < best.entry.rank)
    }

    fn admits(&self, entry: &Entry<T>) -> bool {
        let has_port = |port| self.authority.is_some_and(|authority| authority.port == port);
        entry.port.is_none_or(has_port) && (!entry.has_more_conditions || entry.served.rule.admits_rest(self.query))
    }

    fn take(&mut self, entry: &'a Entry<T>, prefix_length: Option<usize>, pattern: Option<&'a PathPattern>) {
        self.best = Some(Hit { entry, prefix_length, pattern });
    }
}

/// A header name as conditions have it.
fn with_hyphens(name: &str) -> Cow<'_, str> {
    if name.contains('_') { Cow::Owned(name.replace('_', "-")) } else { Cow::Borrowed(name) }
}

/// How many places, entries and patterns searches of this thread have looked at.
#[cfg(test)]
pub(super) mod looks {
    use std::cell::Cell;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn add(looks: usize) {
        LOOKS.set(LOOKS.get() + looks);
    }

    /// Those of this search alone.
    pub(crate) fn during(search: impl FnOnce()) -> usize {
        let before = LOOKS.get();
        search();
        LOOKS.get() - before
    }
}
