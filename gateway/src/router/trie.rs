//! A byte radix tree: all keys that a text begins with, in one walk.

use std::ops::Range;

/// Values by key, built once. The nodes of one parent lie side by side, and so do the first bytes of their labels.
#[derive(Debug)]
pub(super) struct Trie<V> {
    nodes: Vec<Node<V>>,
    /// The first byte of each node's label.
    heads: Vec<u8>,
    labels: Vec<u8>,
}

#[derive(Debug)]
struct Node<V> {
    label: Range<u32>,
    children: Range<u32>,
    value: Option<V>,
}

impl<V> Trie<V> {
    /// Builds from entries sorted by key, each key once.
    pub(super) fn build(entries: Vec<(&[u8], V)>) -> Self {
        let (keys, values): (Vec<&[u8]>, Vec<V>) = entries.into_iter().unzip();
        let mut trie = Self { nodes: Vec::new(), heads: Vec::new(), labels: Vec::new() };
        let mut values: Vec<Option<V>> = values.into_iter().map(Some).collect();
        // Which keys each node stands for, and how many of their bytes lie above it; grows with the nodes.
        let mut shares = Vec::new();
        if !keys.is_empty() {
            trie.push(&keys, 0..keys.len(), 0, &mut shares);
        }
        let mut at = 0;
        while let Some((share, depth)) = shares.get(at).cloned() {
            let has_value = keys[share.start].len() == depth;
            if has_value {
                trie.nodes[at].value = values[share.start].take();
            }
            let first_child = index(trie.nodes.len());
            let mut rest = share.start + usize::from(has_value)..share.end;
            while !rest.is_empty() {
                let head = keys[rest.start][depth];
                let group = keys[rest.clone()].partition_point(|key| key[depth] == head);
                trie.push(&keys, rest.start..rest.start + group, depth, &mut shares);
                rest.start += group;
            }
            trie.nodes[at].children = first_child..index(trie.nodes.len());
            at += 1;
        }
        trie
    }

    /// The values whose keys `text` begins with, the shortest first, each with the length of its key.
    pub(super) fn prefixes_of<'v, 't>(&'v self, text: &'t [u8]) -> Prefixes<'v, 't, V> {
        Prefixes { trie: self, text, length: 0, next: self.nodes.first() }
    }

    /// Whether there are no keys.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Appends a node for some keys, labelled with all that they share from `depth` on.
    fn push(&mut self, keys: &[&[u8]], share: Range<usize>, depth: usize, shares: &mut Vec<(Range<usize>, usize)>) {
        let (first, last) = (keys[share.start], keys[share.end - 1]);
        let common = first[depth..].iter().zip(&last[depth..]).take_while(|(one, other)| one == other).count();
        let label = index(self.labels.len())..index(self.labels.len() + common);
        self.labels.extend_from_slice(&first[depth..depth + common]);
        self.heads.push(first.get(depth).copied().unwrap_or_default());
        self.nodes.push(Node { label, children: 0..0, value: None });
        shares.push((share, depth + common));
    }

    fn child(&self, node: &Node<V>, head: u8) -> Option<&Node<V>> {
        let children = as_range(&node.children);
        let at = self.heads[children.clone()].binary_search(&head).ok()?;
        self.nodes.get(children.start + at)
    }
}

/// See [`Trie::prefixes_of`].
#[derive(Debug)]
pub(super) struct Prefixes<'v, 't, V> {
    trie: &'v Trie<V>,
    text: &'t [u8],
    length: usize,
    next: Option<&'v Node<V>>,
}

impl<'v, V> Iterator for Prefixes<'v, '_, V> {
    type Item = (usize, &'v V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let node = self.next.take()?;
            let label = &self.trie.labels[as_range(&node.label)];
            let rest = &self.text[self.length..];
            // The root's label may be empty, and comparing nothing at the address of nothing takes 100 ns: the
            // processor has to suppress the fault of a masked load.
            let rest = if label.is_empty() { rest } else { rest.strip_prefix(label)? };
            self.length += label.len();
            self.next = rest.first().and_then(|head| self.trie.child(node, *head));
            if let Some(value) = &node.value {
                return Some((self.length, value));
            }
        }
    }
}

fn index(at: usize) -> u32 {
    u32::try_from(at).expect("the keys of one router are far below 4 GiB")
}

fn as_range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn trie(keys: &[&'static str]) -> Trie<&'static str> {
        let sorted: BTreeMap<_, _> = keys.iter().map(|key| (key.as_bytes(), *key)).collect();
        Trie::build(sorted.into_iter().collect())
    }

    fn found(keys: &[&'static str], text: &str) -> Vec<&'static str> {
        trie(keys).prefixes_of(text.as_bytes()).map(|(_, key)| *key).collect()
    }

    #[test]
    fn a_walk_meets_every_key_the_text_begins_with() {
        let keys = ["", "/", "/a", "/abc", "/abd", "/b/x"];
        assert_eq!(found(&keys, "/abcd"), ["", "/", "/a", "/abc"]);
        assert_eq!(found(&keys, "/ab"), ["", "/", "/a"]);
        assert_eq!(found(&keys, "/b/x"), ["", "/", "/b/x"]);
        assert_eq!(found(&keys, ""), [""]);
        assert_eq!(found(&["/a"], "/b"), [""; 0]);
        assert_eq!(found(&[], "/b"), [""; 0]);
    }

    proptest! {
        #[test]
        fn a_walk_agrees_with_comparing_all_keys(
            keys in prop::collection::btree_set("[ab]{0,5}", 0..12),
            text in "[ab]{0,7}",
        ) {
            let entries = keys.iter().map(|key| (key.as_bytes(), key)).collect();
            let trie = Trie::build(entries);
            let found: Vec<_> = trie.prefixes_of(text.as_bytes()).map(|(_, key)| key.as_str()).collect();
            let mut expected: Vec<_> = keys.iter().map(String::as_str).filter(|key| text.starts_with(key)).collect();
            expected.sort_by_key(|key| key.len());
            prop_assert_eq!(found, expected);
        }
    }
}
