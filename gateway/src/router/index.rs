//! Rules arranged by host, then by path, then by precedence: what a search walks. A clone shares everything; a change
//! copies what lies between the root and the places that it concerns.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rpds::HashTrieMapSync;

use super::name::NamePattern;
use super::pattern::PathPattern;
use super::place::{Change, Entry, Place, Rank};
use super::rule::{CompiledRule, PathTest};
use super::trie::Trie;

/// All rules by host.
#[derive(Debug, Clone)]
pub(super) struct Index<T: Clone> {
    pub(super) exact: HashTrieMapSync<Box<[u8]>, Paths<T>>,
    /// By `x.*`.
    pub(super) prefixes: Trie<Paths<T>>,
    /// By `*.x`, with the bytes of the names in reverse.
    pub(super) suffixes: Trie<Paths<T>>,
    /// Rules without hosts.
    pub(super) any: Paths<T>,
}

/// The rules of one host by what a path has to begin with.
pub(super) type Paths<T> = Trie<Place<T>>;

/// A rule with what it leads to.
#[derive(Debug)]
pub(super) struct Served<T> {
    pub(super) rule: CompiledRule,
    pub(super) value: T,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum HostKey<'r> {
    Any,
    Exact(&'r str),
    Prefix(&'r str),
    Suffix(Cow<'r, [u8]>),
}

/// What happens to each place of a host, by the start of the path.
type Changes<'r, T> = BTreeMap<&'r [u8], Change<'r, T>>;

impl<T: Clone> Index<T> {
    pub(super) fn new() -> Self {
        Self { exact: HashTrieMapSync::new_sync(), prefixes: Trie::new(), suffixes: Trie::new(), any: Trie::new() }
    }

    /// Takes rules out and puts others in.
    pub(super) fn change(&mut self, gone: &[Arc<Served<T>>], new: &[Arc<Served<T>>]) {
        let ids: HashSet<&str> = gone.iter().map(|served| &**served.rule.id()).collect();
        let mut hosts: BTreeMap<HostKey<'_>, Changes<'_, T>> = BTreeMap::new();
        for served in gone {
            each_place(served, |host, path, _, _| {
                hosts.entry(host).or_default().entry(path).or_default();
            });
        }
        for served in new {
            each_place(served, |host, path, entry, pattern| {
                hosts.entry(host).or_default().entry(path).or_default().add(entry, pattern);
            });
        }
        for (host, changes) in hosts {
            self.change_host(&host, |paths| change_paths(paths, changes, &ids));
        }
    }

    fn change_host(&mut self, host: &HostKey<'_>, change: impl FnOnce(&mut Paths<T>)) {
        match host {
            HostKey::Any => change(&mut self.any),
            HostKey::Exact(name) => self.change_exact(name.as_bytes(), change),
            HostKey::Prefix(name) => change_wildcard(&mut self.prefixes, name.as_bytes(), change),
            HostKey::Suffix(name) => change_wildcard(&mut self.suffixes, name, change),
        }
    }

    fn change_exact(&mut self, name: &[u8], change: impl FnOnce(&mut Paths<T>)) {
        let mut paths = self.exact.get(name).cloned().unwrap_or(Trie::new());
        change(&mut paths);
        if paths.is_empty() {
            self.exact.remove_mut(name);
        } else {
            self.exact.insert_mut(name.into(), paths);
        }
    }
}

fn change_wildcard<T: Clone>(hosts: &mut Trie<Paths<T>>, name: &[u8], change: impl FnOnce(&mut Paths<T>)) {
    let mut paths = hosts.get(name).cloned().unwrap_or(Trie::new());
    change(&mut paths);
    if paths.is_empty() {
        hosts.remove(name);
    } else {
        hosts.insert(name, paths);
    }
}

fn change_paths<T: Clone>(paths: &mut Paths<T>, changes: Changes<'_, T>, gone: &HashSet<&str>) {
    for (path, change) in changes {
        match Place::changed(paths.get(path), change, gone) {
            Some(place) => paths.insert(path, place),
            None => paths.remove(path),
        }
    }
}

/// Calls `put` for every host and path of a rule.
fn each_place<'r, T>(
    served: &'r Arc<Served<T>>,
    mut put: impl FnMut(HostKey<'r>, &'r [u8], Entry<T>, Option<&'r PathPattern>),
) {
    let rule = &served.rule;
    let has_more_conditions = rule.has_more_conditions();
    for (at, precedence) in rule.precedences().enumerate() {
        let (path, pattern) = match rule.paths().get(at) {
            None => (&[][..], None),
            Some(PathTest::Literal(prefix)) => (prefix.as_bytes(), None),
            Some(PathTest::Pattern(pattern)) => (pattern.literal(), Some(pattern)),
        };
        for (host, port) in host_keys(rule) {
            let rank = Rank { precedence: Reverse(precedence.clone()), path: at };
            put(host, path, Entry { rank, port, has_more_conditions, served: served.clone() }, pattern);
        }
    }
}

fn host_keys(rule: &CompiledRule) -> impl Iterator<Item = (HostKey<'_>, Option<u16>)> {
    let keys = rule.hosts().iter().map(|host| {
        let key = match &host.name {
            NamePattern::Exact(name) => HostKey::Exact(name),
            NamePattern::Prefix(name) => HostKey::Prefix(name),
            NamePattern::Suffix(name) => HostKey::Suffix(name.bytes().rev().collect()),
        };
        (key, host.port)
    });
    keys.chain(rule.hosts().is_empty().then_some((HostKey::Any, None)))
}
