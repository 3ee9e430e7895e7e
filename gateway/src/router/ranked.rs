//! Rules by expression, arranged by what a request must have to meet them. A clone shares everything.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rpds::HashTrieMapSync;

use super::expression::{Asked, Expression, Key, Kinds, Need, Trace, lowered};
use super::name::Authority;
use super::query::Query;
use super::trie::Trie;

/// All rules that have expressions.
#[derive(Debug)]
pub(super) struct Ranked<T> {
    /// By host in lower case.
    hosts: HashTrieMapSync<Box<str>, Paths<T>>,
    any: Paths<T>,
}

/// The rules of one host by what a path has to begin with.
type Paths<T> = Trie<Place<T>>;

/// Best first.
type List<T> = Arc<[Arc<Judged<T>>]>;

/// Rules for which host and start of the path are settled.
#[derive(Debug)]
struct Place<T> {
    /// Those that need nothing else.
    open: List<T>,
    /// By a value that a request must have.
    keyed: HashTrieMapSync<Key, List<T>>,
    kinds: Kinds,
}

/// A rule with what it leads to.
#[derive(Debug)]
pub(super) struct Judged<T> {
    pub(super) id: Arc<str>,
    pub(super) priority: u64,
    pub(super) expression: Arc<Expression>,
    /// Where it is filed.
    pub(super) needs: Box<[Need]>,
    pub(super) value: T,
}

impl<T> Judged<T> {
    /// The larger priority, then the larger id.
    fn beats(&self, other: &Self) -> bool {
        (self.priority, &self.id) > (other.priority, &other.id)
    }
}

impl<T> Clone for Ranked<T> {
    fn clone(&self) -> Self {
        Self { hosts: self.hosts.clone(), any: self.any.clone() }
    }
}

impl<T> Clone for Place<T> {
    fn clone(&self) -> Self {
        Self { open: self.open.clone(), keyed: self.keyed.clone(), kinds: self.kinds }
    }
}

impl<T> Ranked<T> {
    pub(super) fn new() -> Self {
        Self { hosts: HashTrieMapSync::new_sync(), any: Trie::new() }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.any.is_empty() && self.hosts.is_empty()
    }

    /// Takes rules out and puts others in.
    pub(super) fn change(&mut self, gone: &[Arc<Judged<T>>], new: &[Arc<Judged<T>>]) {
        let ids: HashSet<&str> = gone.iter().map(|judged| &*judged.id).collect();
        let mut places: BTreeMap<&Need, Vec<Arc<Judged<T>>>> = BTreeMap::new();
        for need in gone.iter().flat_map(|judged| judged.needs.iter()) {
            places.entry(need).or_default();
        }
        for judged in new {
            for need in &judged.needs {
                places.entry(need).or_default().push(judged.clone());
            }
        }
        for (need, new) in places {
            self.change_place(need, new, &ids);
        }
    }

    fn change_place(&mut self, need: &Need, new: Vec<Arc<Judged<T>>>, gone: &HashSet<&str>) {
        let Some(host) = &need.host else { return change_path(&mut self.any, need, new, gone) };
        let mut paths = self.hosts.get(host).cloned().unwrap_or(Trie::new());
        change_path(&mut paths, need, new, gone);
        if paths.is_empty() {
            self.hosts.remove_mut(host);
        } else {
            self.hosts.insert_mut(host.clone(), paths);
        }
    }

    /// The best rule whose expression the request meets.
    pub(super) fn find<'a>(&'a self, query: &Query<'a>) -> Option<(&'a Judged<T>, Trace<'a>)> {
        let mut search = Search { query, best: None };
        if !self.hosts.is_empty()
            && let Some(authority) = Authority::of(query.host, query.port)
        {
            let paths = self.hosts.get(&*lowered(authority.name.into()));
            paths.into_iter().for_each(|paths| search.visit(paths));
        }
        search.visit(&self.any);
        search.best
    }
}

fn change_path<T>(paths: &mut Paths<T>, need: &Need, new: Vec<Arc<Judged<T>>>, gone: &HashSet<&str>) {
    let path = need.path.as_bytes();
    let mut place = paths.get(path).cloned().unwrap_or_default();
    match need.key {
        None => place.open = changed(&place.open, new, gone),
        Some(key) => place.change_key(key, new, gone),
    }
    if place.open.is_empty() && place.keyed.is_empty() {
        paths.remove(path);
    } else {
        paths.insert(path, place);
    }
}

impl<T> Default for Place<T> {
    fn default() -> Self {
        Self { open: Arc::new([]), keyed: HashTrieMapSync::new_sync(), kinds: Kinds::default() }
    }
}

impl<T> Place<T> {
    fn change_key(&mut self, key: Key, new: Vec<Arc<Judged<T>>>, gone: &HashSet<&str>) {
        let before = self.keyed.get(&key);
        let was_there = before.is_some();
        let list = changed(before.map_or(&[], |list| list), new, gone);
        match (was_there, list.is_empty()) {
            (true, true) => {
                self.keyed.remove_mut(&key);
                self.kinds.remove(key.kind);
            }
            (false, true) => {}
            (_, false) => {
                self.keyed.insert_mut(key, list);
                if !was_there {
                    self.kinds.add(key.kind);
                }
            }
        }
    }
}

fn changed<T>(before: &[Arc<Judged<T>>], new: Vec<Arc<Judged<T>>>, gone: &HashSet<&str>) -> List<T> {
    let kept = before.iter().filter(|judged| !gone.contains(&*judged.id)).cloned();
    let mut list: Vec<_> = kept.chain(new).collect();
    list.sort_by(|one, other| (other.priority, &other.id).cmp(&(one.priority, &one.id)));
    list.into()
}

/// One search, with the best rule that it knows so far.
struct Search<'a, 'q, T> {
    query: &'q Query<'a>,
    best: Option<(&'a Judged<T>, Trace<'a>)>,
}

impl<'a, T> Search<'a, '_, T> {
    fn visit(&mut self, paths: &'a Paths<T>) {
        for (_, place) in paths.prefixes_of(self.query.path.as_bytes()) {
            self.scan(&place.open);
            for kind in place.kinds.present() {
                kind.each_of(Asked::Http(self.query), |key| {
                    place.keyed.get(&key).into_iter().for_each(|list| self.scan(list));
                });
            }
        }
    }

    /// Takes the first one that holds, unless a better one is known by then.
    fn scan(&mut self, list: &'a [Arc<Judged<T>>]) {
        for judged in list {
            if self.best.as_ref().is_some_and(|(best, _)| !judged.beats(best)) {
                return;
            }
            #[cfg(test)]
            EVALUATED.with(|count| count.set(count.get() + 1));
            let mut trace = Trace::default();
            if judged.expression.holds(Asked::Http(self.query), &mut trace) {
                self.best = Some((judged, trace));
                return;
            }
        }
    }
}

#[cfg(test)]
thread_local! {
    /// Expressions that were judged on this thread.
    pub(super) static EVALUATED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
