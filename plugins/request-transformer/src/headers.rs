//! Changes to headers. What an earlier change of the same run did is seen by the later ones.

use sandgate_sdk::prelude::*;

use crate::settings::{Changes, Op};

/// The changes, and the headers they are about.
#[derive(Debug)]
pub(crate) struct Headers {
    ops: Changes,
    names: Vec<String>,
}

impl Headers {
    pub(crate) fn new(ops: Changes) -> Self {
        let mut names: Vec<String> = Vec::new();
        for name in ops.iter().flat_map(Op::names) {
            if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                names.push(name.into());
            }
        }
        Self { ops, names }
    }

    /// Headers that the host hands over.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn apply(&self, request: &mut Request, host: &impl Host) {
        let mut run = Run { names: &self.names, seen: vec![None; self.names.len()], request, host };
        for op in &self.ops {
            match op {
                Op::Remove(name) => run.remove(name),
                Op::Rename(old, new) => run.rename(old, new),
                Op::Replace(name, _) if run.values(name).is_empty() && !name.eq_ignore_ascii_case("host") => {}
                Op::Add(name, _) if !run.values(name).is_empty() => {}
                Op::Replace(name, value) | Op::Add(name, value) => run.set(name, value),
                Op::Append(name, value) => run.append(name, value),
            }
        }
    }
}

/// The changes to one request.
struct Run<'a, H> {
    names: &'a [String],
    /// What each header holds by now, where that has been asked.
    seen: Vec<Option<Vec<String>>>,
    request: &'a mut Request,
    host: &'a H,
}

impl<H: Host> Run<'_, H> {
    fn remove(&mut self, name: &str) {
        if !std::mem::take(self.values(name)).is_empty() {
            self.request.remove_header(name);
        }
    }

    fn rename(&mut self, old: &str, new: &str) {
        let values = std::mem::take(self.values(old));
        let Some((first, rest)) = values.split_first() else { return };
        self.request.remove_header(old);
        self.set(new, first);
        for value in rest {
            self.append(new, value);
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        *self.values(name) = vec![value.into()];
        self.request.set_header(name, value);
    }

    fn append(&mut self, name: &str, value: &str) {
        self.values(name).push(value.into());
        self.request.append_header(name, value);
    }

    /// The values of a header, read when they are first needed.
    fn values(&mut self, name: &str) -> &mut Vec<String> {
        let slot = self.names.iter().position(|known| known.eq_ignore_ascii_case(name)).unwrap_or_default();
        self.seen[slot].get_or_insert_with(|| match self.request.header(slot) {
            Header::Absent => Vec::new(),
            // Repetitions are told of the first 64 headers only.
            Header::One(value) if slot < 64 => vec![value.into()],
            _ => texts(self.host.request_header_values(name)),
        })
    }
}

fn texts(values: Vec<Vec<u8>>) -> Vec<String> {
    values.into_iter().filter_map(|value| String::from_utf8(value).ok()).collect()
}
