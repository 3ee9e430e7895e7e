//! Rules by expression, arranged by what a request must have to meet them. A clone shares everything.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rpds::HashTrieMapSync;
use smallvec::SmallVec;

use super::expression::{Asked, Expression, Need, Trace};
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

/// The rules of one host, best first, by what a path has to begin with.
type Paths<T> = Trie<Arc<[Arc<Judged<T>>]>>;

/// A rule with what it leads to.
#[derive(Debug)]
pub(super) struct Judged<T> {
    pub(super) id: Arc<str>,
    pub(super) priority: u64,
    pub(super) expression: Arc<Expression>,
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
        let mut places: BTreeMap<Need, Vec<Arc<Judged<T>>>> = BTreeMap::new();
        for judged in gone {
            judged.expression.needs().into_iter().for_each(|need| _ = places.entry(need).or_default());
        }
        for judged in new {
            for need in judged.expression.needs() {
                places.entry(need).or_default().push(judged.clone());
            }
        }
        for (need, new) in places {
            self.change_place(&need, new, &ids);
        }
    }

    fn change_place(&mut self, need: &Need, new: Vec<Arc<Judged<T>>>, gone: &HashSet<&str>) {
        let Some(host) = &need.host else { return change_path(&mut self.any, &need.path, new, gone) };
        let mut paths = self.hosts.get(host).cloned().unwrap_or(Trie::new());
        change_path(&mut paths, &need.path, new, gone);
        if paths.is_empty() {
            self.hosts.remove_mut(host);
        } else {
            self.hosts.insert_mut(host.clone(), paths);
        }
    }

    /// The best rule whose expression the request meets.
    pub(super) fn find<'a>(&'a self, query: &Query<'a>) -> Option<(&'a Judged<T>, Trace<'a>)> {
        let mut best = None;
        if let Some(authority) = Authority::of(query.host, query.port) {
            let lower: SmallVec<[u8; 128]> = authority.name.bytes().map(|byte| byte.to_ascii_lowercase()).collect();
            let paths = std::str::from_utf8(&lower).ok().and_then(|host| self.hosts.get(host));
            paths.into_iter().for_each(|paths| try_paths(paths, query, &mut best));
        }
        try_paths(&self.any, query, &mut best);
        best
    }
}

fn change_path<T>(paths: &mut Paths<T>, path: &str, new: Vec<Arc<Judged<T>>>, gone: &HashSet<&str>) {
    let before = paths.get(path.as_bytes()).into_iter().flat_map(|list| list.iter());
    let kept = before.filter(|judged| !gone.contains(&*judged.id)).cloned();
    let mut list: Vec<_> = kept.chain(new).collect();
    list.sort_by(|one, other| (other.priority, &other.id).cmp(&(one.priority, &one.id)));
    match list.is_empty() {
        true => paths.remove(path.as_bytes()),
        false => paths.insert(path.as_bytes(), list.into()),
    }
}

fn try_paths<'a, T>(paths: &'a Paths<T>, query: &Query<'a>, best: &mut Option<(&'a Judged<T>, Trace<'a>)>) {
    for (_, list) in paths.prefixes_of(query.path.as_bytes()) {
        for judged in list.iter() {
            if best.as_ref().is_some_and(|(best, _)| !judged.beats(best)) {
                break;
            }
            let mut trace = Trace::default();
            if judged.expression.holds(Asked::Http(query), &mut trace) {
                *best = Some((judged, trace));
                break;
            }
        }
    }
}
