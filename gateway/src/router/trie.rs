//! A byte radix tree: all keys that a text begins with, in one walk. A clone shares all nodes; a change copies those
//! between the root and the key.

use std::mem;
use std::sync::Arc;

use smallvec::SmallVec;

/// Values by key.
#[derive(Debug, Clone)]
pub(super) struct Trie<V: Clone> {
    root: Option<Arc<Node<V>>>,
}

#[derive(Debug, Clone)]
struct Node<V: Clone> {
    label: SmallVec<[u8; 24]>,
    /// The first byte of each child's label, ascending.
    heads: SmallVec<[u8; 16]>,
    children: Vec<Arc<Node<V>>>,
    value: Option<V>,
}

impl<V: Clone> Trie<V> {
    /// Without keys.
    pub(super) const fn new() -> Self {
        Self { root: None }
    }

    /// Whether there are no keys.
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The values whose keys `text` begins with, the shortest first, each with the length of its key.
    pub(super) fn prefixes_of<'v, 't>(&'v self, text: &'t [u8]) -> Prefixes<'v, 't, V> {
        Prefixes { text, length: 0, next: self.root.as_deref() }
    }

    /// The value of this very key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&V> {
        self.prefixes_of(key).last().filter(|(length, _)| *length == key.len()).map(|(_, value)| value)
    }

    /// Puts a value at a key, in place of the one there may be.
    pub(super) fn insert(&mut self, key: &[u8], value: V) {
        let Some(mut place) = self.root.as_mut() else {
            self.root = Some(Node::leaf(key, value));
            return;
        };
        let mut rest = key;
        loop {
            let node = Arc::make_mut(place);
            let common = node.label.iter().zip(rest).take_while(|(one, other)| one == other).count();
            if common < node.label.len() {
                node.split(common);
            }
            rest = &rest[common..];
            let Some(head) = rest.first() else {
                node.value = Some(value);
                return;
            };
            match node.heads.binary_search(head) {
                Ok(at) => place = &mut node.children[at],
                Err(at) => {
                    node.heads.insert(at, *head);
                    node.children.insert(at, Node::leaf(rest, value));
                    return;
                }
            }
        }
    }

    /// Removes a key, if it is there.
    pub(super) fn remove(&mut self, key: &[u8]) {
        let Some(way) = self.way_to(key) else { return };
        let Some(stays) = way.stays else {
            self.root = None;
            return;
        };
        let mut place = self.root.as_mut().expect("a way begins at the root");
        for at in &way.steps[..stays] {
            place = &mut Arc::make_mut(place).children[*at];
        }
        let node = Arc::make_mut(place);
        match way.steps.get(stays) {
            None => node.value = None,
            Some(at) => {
                node.heads.remove(*at);
                node.children.remove(*at);
            }
        }
        node.join();
    }

    fn way_to(&self, key: &[u8]) -> Option<Way> {
        let (mut node, mut rest) = (self.root.as_ref()?, key);
        let mut way = Way { steps: Vec::new(), stays: None };
        loop {
            rest = rest.strip_prefix(&node.label[..])?;
            let Some(head) = rest.first() else { break };
            if node.value.is_some() || node.children.len() > 1 {
                way.stays = Some(way.steps.len());
            }
            let at = node.heads.binary_search(head).ok()?;
            way.steps.push(at);
            node = &node.children[at];
        }
        node.value.as_ref()?;
        if !node.children.is_empty() {
            way.stays = Some(way.steps.len());
        }
        Some(way)
    }
}

/// The way from the root to a key that is there.
struct Way {
    /// The child to go to at each node.
    steps: Vec<usize>,
    /// After how many steps the last node comes that is needed without the key, too; `None` if no node is.
    stays: Option<usize>,
}

impl<V: Clone> Node<V> {
    fn leaf(label: &[u8], value: V) -> Arc<Self> {
        Arc::new(Self { label: label.into(), heads: SmallVec::new(), children: Vec::new(), value: Some(value) })
    }

    /// Keeps so much of the label, and becomes the parent of all the rest.
    fn split(&mut self, at: usize) {
        let child = Self {
            label: self.label[at..].into(),
            heads: mem::take(&mut self.heads),
            children: mem::take(&mut self.children),
            value: self.value.take(),
        };
        self.label.truncate(at);
        self.heads.push(child.label[0]);
        self.children.push(Arc::new(child));
    }

    /// Takes the place of its only child, unless it has a value of its own.
    fn join(&mut self) {
        if self.value.is_some() || self.children.len() != 1 {
            return;
        }
        if let Some(child) = self.children.pop() {
            let mut child = Arc::unwrap_or_clone(child);
            self.label.extend_from_slice(&child.label);
            self.heads = mem::take(&mut child.heads);
            self.children = mem::take(&mut child.children);
            self.value = child.value.take();
        }
    }
}

impl<V: Clone> Drop for Node<V> {
    /// One after the other: by recursion, a path below a path below a path could use up the stack.
    fn drop(&mut self) {
        let mut waiting = mem::take(&mut self.children);
        while let Some(child) = waiting.pop() {
            if let Some(mut child) = Arc::into_inner(child) {
                waiting.append(&mut child.children);
            }
        }
    }
}

/// See [`Trie::prefixes_of`].
#[derive(Debug)]
pub(super) struct Prefixes<'v, 't, V: Clone> {
    text: &'t [u8],
    length: usize,
    next: Option<&'v Node<V>>,
}

impl<'v, V: Clone> Iterator for Prefixes<'v, '_, V> {
    type Item = (usize, &'v V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let node = self.next.take()?;
            let rest = &self.text[self.length..];
            // The root's label may be empty, and comparing nothing at the address of nothing takes 100 ns: the
            // processor has to suppress the fault of a masked load.
            let rest = if node.label.is_empty() { rest } else { rest.strip_prefix(&node.label[..])? };
            self.length += node.label.len();
            let child = |head| Some(&*node.children[node.heads.binary_search(head).ok()?]);
            self.next = rest.first().and_then(child);
            if let Some(value) = &node.value {
                return Some((self.length, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn trie(keys: &[&'static str]) -> Trie<&'static str> {
        let mut trie = Trie::new();
        keys.iter().for_each(|key| trie.insert(key.as_bytes(), *key));
        trie
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

    #[test]
    fn ten_thousand_keys_one_below_the_other_use_no_stack() {
        let key = "a".repeat(10_000);
        let mut trie = Trie::new();
        (0..key.len()).for_each(|length| trie.insert(&key.as_bytes()[..length], length));
        assert_eq!(trie.prefixes_of(key.as_bytes()).count(), key.len());
        (0..key.len()).step_by(2).for_each(|length| trie.remove(&key.as_bytes()[..length]));
        assert_eq!(trie.prefixes_of(key.as_bytes()).count(), key.len() / 2);
        std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(trie)).unwrap().join().unwrap();
    }

    proptest! {
        #[test]
        fn a_walk_agrees_with_comparing_all_keys(
            changes in prop::collection::vec(("[ab]{0,5}", any::<bool>()), 0..30),
            text in "[ab]{0,7}",
        ) {
            let (mut trie, mut keys) = (Trie::new(), BTreeMap::new());
            let mut earlier = Vec::new();
            for (number, (key, stays)) in changes.into_iter().enumerate() {
                earlier.push((trie.clone(), keys.clone()));
                if stays {
                    trie.insert(key.as_bytes(), number);
                    keys.insert(key, number);
                } else {
                    trie.remove(key.as_bytes());
                    keys.remove(&key);
                }
            }
            // Whoever has an earlier one sees nothing of what came later.
            for (trie, keys) in earlier.into_iter().chain([(trie, keys)]) {
                let found: Vec<_> = trie.prefixes_of(text.as_bytes()).map(|(length, at)| (length, *at)).collect();
                let begins = |(key, at): (&String, &usize)| text.starts_with(key).then_some((key.len(), *at));
                let mut expected: Vec<_> = keys.iter().filter_map(begins).collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
                prop_assert_eq!(trie.get(text.as_bytes()), keys.get(&text));
                prop_assert_eq!(trie.is_empty(), keys.is_empty());
            }
        }
    }
}
