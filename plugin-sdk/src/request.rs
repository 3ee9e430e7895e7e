//! The request in hand: its declared headers, and the changes to it.

use crate::{
    bindings::sandgate::plugin::types::{HeaderOp, RequestChanges, RequestDecision},
    flow::Flow,
};

/// One of the headers that the plugin declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header<'a> {
    /// Not in the request, or not UTF-8.
    Absent,
    /// In it once.
    One(&'a str),
    /// In it more than once; this is the first value.
    Repeated(&'a str),
}

impl<'a> Header<'a> {
    /// The first value.
    pub fn value(self) -> Option<&'a str> {
        match self {
            Header::Absent => None,
            Header::One(value) | Header::Repeated(value) => Some(value),
        }
    }
}

/// The declared headers of a request, and the changes that a plugin makes to it. Changes are applied together when the
/// phase has ended well; the accessors of the host do not show them before.
#[derive(Debug, Default)]
pub struct Request {
    headers: Vec<Option<String>>,
    repeated: u64,
    changes: Option<RequestChanges>,
}

impl Request {
    /// From the values of the declared headers, manifest first. Bit n of `repeated`: the n-th came more than once.
    pub fn new(headers: Vec<Option<String>>, repeated: u64) -> Self {
        Self { headers, repeated, changes: None }
    }

    /// The n-th declared header: those of the manifest first, then those of [`Prepared`](crate::Prepared).
    pub fn header(&self, n: usize) -> Header<'_> {
        match self.headers.get(n) {
            Some(Some(value)) if n < 64 && self.repeated >> n & 1 == 1 => Header::Repeated(value),
            Some(Some(value)) => Header::One(value),
            _ => Header::Absent,
        }
    }

    /// Replaces every value of a header on its way to the upstream, or adds it.
    pub fn set_header(&mut self, name: &str, value: &str) {
        self.changes().headers.push(HeaderOp::Set((name.into(), value.into())));
    }

    /// Adds a value beside those there are.
    pub fn append_header(&mut self, name: &str, value: &str) {
        self.changes().headers.push(HeaderOp::Append((name.into(), value.into())));
    }

    /// Removes every value of a header.
    pub fn remove_header(&mut self, name: &str) {
        self.changes().headers.push(HeaderOp::Remove(name.into()));
    }

    /// Sets a header of whatever answer the client gets.
    pub fn set_response_header(&mut self, name: &str, value: &str) {
        self.changes().response_headers.push(HeaderOp::Set((name.into(), value.into())));
    }

    /// Sets a header of whatever answer the client gets to a number.
    pub fn set_response_number(&mut self, name: &str, value: u64) {
        self.set_response_header(name, itoa::Buffer::new().format(value));
    }

    /// The method that the upstream sees.
    pub fn set_method(&mut self, method: &str) {
        self.changes().method = Some(method.into());
    }

    /// The whole upstream path, without query.
    pub fn set_path(&mut self, path: &str) {
        self.changes().path = Some(path.into());
    }

    /// The upstream query, without `?`.
    pub fn set_query(&mut self, query: &str) {
        self.changes().query = Some(query.into());
    }

    /// Replaces the whole body; Content-Length follows.
    pub fn set_body(&mut self, body: Vec<u8>) {
        self.changes().body = Some(body);
    }

    /// The changes so far.
    pub fn changed(&self) -> Option<&RequestChanges> {
        self.changes.as_ref()
    }

    fn changes(&mut self) -> &mut RequestChanges {
        self.changes.get_or_insert_with(|| RequestChanges {
            headers: Vec::new(),
            response_headers: Vec::new(),
            method: None,
            path: None,
            query: None,
            body: None,
        })
    }

    /// Changes and decision as one. An answer takes the response headers with it; the other changes are void then.
    pub(crate) fn decide(self, flow: Flow) -> RequestDecision {
        let Some(changes) = self.changes else {
            return match flow {
                Flow::Next => RequestDecision::Next,
                Flow::Respond(answer) => RequestDecision::Respond(answer),
                Flow::Refuse(refusal) => RequestDecision::Refuse(refusal),
            };
        };
        match flow {
            Flow::Next => RequestDecision::Change(changes),
            Flow::Respond(mut answer) => {
                merge(&mut answer.headers, changes.response_headers);
                RequestDecision::Respond(answer)
            }
            Flow::Refuse(mut refusal) => {
                merge(&mut refusal.headers, changes.response_headers);
                RequestDecision::Refuse(refusal)
            }
        }
    }
}

fn merge(headers: &mut Vec<(String, String)>, changes: Vec<HeaderOp>) {
    headers.extend(changes.into_iter().filter_map(|change| match change {
        HeaderOp::Set(header) | HeaderOp::Append(header) => Some(header),
        HeaderOp::Remove(_) => None,
    }));
}
