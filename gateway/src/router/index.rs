//! Rules arranged by host, then by path, then by rank: what a search walks.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use regex::{RegexSet, RegexSetBuilder};

use super::name::NamePattern;
use super::pattern::{PathPattern, SIZE_LIMIT};
use super::rule::{CompiledRule, PathTest};
use super::trie::Trie;

/// Fewer expressions than this are tried one by one.
const SMALLEST_SET: usize = 8;
/// More expressions than this go into several sets: the automaton of a large one outgrows its cache.
const LARGEST_SET: usize = 64;
/// Fewer rules than this in one place are compared one by one.
const SMALLEST_KEYED: usize = 16;

/// All rules by host.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) exact: HashMap<Box<[u8]>, Paths>,
    /// By `x.*`.
    pub(super) prefixes: Trie<Paths>,
    /// By `*.x`, with the bytes of the names in reverse.
    pub(super) suffixes: Trie<Paths>,
    /// Rules without hosts.
    pub(super) any: Paths,
}

/// The rules of one host by what a path has to begin with.
pub(super) type Paths = Trie<Place>;

/// The rules that ask for the same host and the same start of the path.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) literals: Literals,
    pub(super) patterns: Option<Box<PatternGroup>>,
}

/// A rule on one of its paths, in the lists best first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Its place in the order of precedence; 0 is the best.
    pub(super) rank: u32,
    pub(super) rule: u32,
    pub(super) port: Option<u16>,
    pub(super) has_more_conditions: bool,
}

/// Rules for which host and path are settled.
#[derive(Debug)]
pub(super) struct Literals {
    pub(super) scanned: Box<[Entry]>,
    /// Only where there are many rules.
    pub(super) keyed: Option<Box<Keyed>>,
}

/// Rules by a header value or server name that they cannot match without.
#[derive(Debug, Default)]
pub(super) struct Keyed {
    /// By header name, then by value in lower case.
    pub(super) headers: HashMap<Box<str>, ByValue>,
    pub(super) snis: HashMap<Box<str>, Vec<Entry>>,
    /// All rules that stand in `snis`, for requests that are not asked for a server name.
    pub(super) any_sni: Vec<Entry>,
}

type ByValue = HashMap<Box<[u8]>, Vec<Entry>>;

/// Expressions to try, best first.
#[derive(Debug)]
pub(super) struct PatternGroup {
    pub(super) chunks: Box<[PatternChunk]>,
}

/// Expressions that can be tried at once.
#[derive(Debug)]
pub(super) struct PatternChunk {
    pub(super) entries: Box<[(Entry, PathPattern)]>,
    pub(super) set: Option<RegexSet>,
}

/// Where an entry belongs.
struct Placement<'r> {
    host: HostKey<'r>,
    path: &'r [u8],
    entry: Entry,
    pattern: Option<&'r PathPattern>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum HostKey<'r> {
    Any,
    Exact(&'r str),
    Prefix(&'r str),
    Suffix(Cow<'r, [u8]>),
}

impl Index {
    pub(super) fn build(rules: &[CompiledRule]) -> Self {
        let mut placements = place(rules);
        // Stable, so that within one place the best stays first.
        placements.sort_by(|one, other| (&one.host, one.path).cmp(&(&other.host, other.path)));
        let (mut exact, mut prefixes, mut suffixes, mut any) = (HashMap::new(), Vec::new(), Vec::new(), None);
        for same_host in placements.chunk_by(|one, other| one.host == other.host) {
            let paths = paths(same_host, rules);
            match &same_host[0].host {
                HostKey::Any => any = Some(paths),
                HostKey::Exact(name) => drop(exact.insert(name.as_bytes().into(), paths)),
                HostKey::Prefix(name) => prefixes.push((name.as_bytes(), paths)),
                HostKey::Suffix(name) => suffixes.push((&**name, paths)),
            }
        }
        let (prefixes, suffixes) = (Trie::build(prefixes), Trie::build(suffixes));
        Self { exact, prefixes, suffixes, any: any.unwrap_or_else(|| Trie::build(Vec::new())) }
    }
}

/// One placement for each rule, path and host, best first.
fn place(rules: &[CompiledRule]) -> Vec<Placement<'_>> {
    let numbered = rules.iter().enumerate();
    let mut ranked: Vec<_> = numbered
        .flat_map(|(at, rule)| rule.precedences().enumerate().map(move |(path, precedence)| (precedence, at, path)))
        .collect();
    ranked.sort_by(|(one, ..), (other, ..)| Reverse(one).cmp(&Reverse(other)));
    let mut placements = Vec::with_capacity(ranked.len());
    for (rank, (_, at, path)) in ranked.into_iter().enumerate() {
        let rule = &rules[at];
        let (path, pattern) = match rule.paths().get(path) {
            None => (&[][..], None),
            Some(PathTest::Literal(prefix)) => (prefix.as_bytes(), None),
            Some(PathTest::Pattern(pattern)) => (pattern.literal(), Some(pattern)),
        };
        for (host, port) in host_keys(rule) {
            let has_more_conditions = rule.has_more_conditions();
            let entry = Entry { rank: number(rank), rule: number(at), port, has_more_conditions };
            placements.push(Placement { host, path, entry, pattern });
        }
    }
    placements
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

fn paths(placements: &[Placement<'_>], rules: &[CompiledRule]) -> Paths {
    let places = placements.chunk_by(|one, other| one.path == other.path);
    Trie::build(places.map(|place| (place[0].path, Place::build(place, rules))).collect())
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("four billion rules do not fit into memory")
}

impl Place {
    fn build(placements: &[Placement<'_>], rules: &[CompiledRule]) -> Self {
        let literals = placements.iter().filter(|placement| placement.pattern.is_none());
        let patterns: Vec<_> =
            placements.iter().filter_map(|placement| Some((placement.entry, placement.pattern?.clone()))).collect();
        Self {
            literals: Literals::build(literals.map(|placement| placement.entry).collect(), rules),
            patterns: (!patterns.is_empty()).then(|| Box::new(PatternGroup::build(&patterns))),
        }
    }
}

impl Literals {
    fn build(entries: Vec<Entry>, rules: &[CompiledRule]) -> Self {
        if entries.len() < SMALLEST_KEYED {
            return Self { scanned: entries.into(), keyed: None };
        }
        let mut keyed = Keyed::default();
        let scanned = entries.into_iter().filter(|entry| !keyed.take(*entry, &rules[entry.rule as usize])).collect();
        Self { scanned, keyed: (!keyed.is_empty()).then(|| Box::new(keyed)) }
    }
}

impl Keyed {
    /// Files an entry if its rule has exact header values or server names; says whether it did.
    fn take(&mut self, entry: Entry, rule: &CompiledRule) -> bool {
        let by_header = rule.headers().iter().find_map(|header| Some((header.name(), header.exact_values()?)));
        if let Some((name, values)) = by_header {
            let by_value = self.headers.entry(name.into()).or_default();
            values.into_iter().for_each(|value| by_value.entry(value.into()).or_default().push(entry));
            return true;
        }
        let exact = |sni: &NamePattern| matches!(sni, NamePattern::Exact(_));
        if rule.snis().is_empty() || !rule.snis().iter().all(exact) {
            return false;
        }
        for sni in rule.snis() {
            self.snis.entry(sni.text().into()).or_default().push(entry);
        }
        self.any_sni.push(entry);
        true
    }

    fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.snis.is_empty()
    }
}

impl PatternGroup {
    fn build(entries: &[(Entry, PathPattern)]) -> Self {
        Self { chunks: entries.chunks(LARGEST_SET).map(PatternChunk::build).collect() }
    }
}

impl PatternChunk {
    /// Without a set, should it be too large, the expressions are tried one by one.
    fn build(entries: &[(Entry, PathPattern)]) -> Self {
        let set = || {
            let expressions = entries.iter().map(|(_, pattern)| pattern.as_str());
            let limit = LARGEST_SET * SIZE_LIMIT;
            RegexSetBuilder::new(expressions).size_limit(limit).dfa_size_limit(SIZE_LIMIT).build().ok()
        };
        Self { entries: entries.into(), set: (entries.len() >= SMALLEST_SET).then(set).flatten() }
    }
}
