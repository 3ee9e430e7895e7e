//! Changes to headers. What an earlier change of the same run did is seen by the later ones.

use sandgate_sdk::prelude::*;

use crate::settings::{Changes, Op};

/// The changes, and the headers they are about.
#[derive(Debug)]
pub(crate) struct Headers {
    ops: Changes,
    names: Vec<String>,
}

/// A header in the course of the changes.
type Values = Option<Vec<String>>;

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
        let mut seen: Vec<Values> = vec![None; self.names.len()];
        for op in &self.ops {
            match op {
                Op::Remove(name) => {
                    let values = self.values(name, &mut seen, request, host);
                    if !std::mem::take(values).is_empty() {
                        request.remove_header(name);
                    }
                }
                Op::Rename(old, new) => self.rename(old, new, &mut seen, request, host),
                Op::Replace(name, value) => {
                    let values = self.values(name, &mut seen, request, host);
                    if !values.is_empty() || name.eq_ignore_ascii_case("host") {
                        *values = vec![value.clone()];
                        request.set_header(name, value);
                    }
                }
                Op::Add(name, value) => {
                    let values = self.values(name, &mut seen, request, host);
                    if values.is_empty() {
                        *values = vec![value.clone()];
                        request.set_header(name, value);
                    }
                }
                Op::Append(name, value) => {
                    self.values(name, &mut seen, request, host).push(value.clone());
                    request.append_header(name, value);
                }
            }
        }
    }

    fn rename(&self, old: &str, new: &str, seen: &mut [Values], request: &mut Request, host: &impl Host) {
        let values = std::mem::take(self.values(old, seen, request, host));
        let Some((first, rest)) = values.split_first() else { return };
        request.remove_header(old);
        request.set_header(new, first);
        for value in rest {
            request.append_header(new, value);
        }
        *self.values(new, seen, request, host) = values;
    }

    /// The values of a header, read when they are first needed.
    fn values<'a>(
        &self,
        name: &str,
        seen: &'a mut [Values],
        request: &Request,
        host: &impl Host,
    ) -> &'a mut Vec<String> {
        let slot = self.names.iter().position(|known| known.eq_ignore_ascii_case(name)).unwrap_or_default();
        seen[slot].get_or_insert_with(|| match request.header(slot) {
            Header::Absent => Vec::new(),
            Header::One(value) if slot < 64 => vec![value.into()],
            _ => host.request_header_values(name).into_iter().filter_map(|value| String::from_utf8(value).ok()).collect(),
        })
    }
}
