//! The request in hand: its declared headers, and the changes to it.

use crate::{
    bindings::sandgate::plugin::types::{RequestChanges, RequestDecision},
    changes::{ANSWER, APPEND, Packed, REMOVE, SET},
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
    /// A line for each: `-`, or `=` (once) or `+` (more than once) and the first value.
    declared: String,
    headers: Packed,
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// From the values of the declared headers, manifest first. Bit n of `repeated`: the n-th came more than once.
    pub fn new(values: Vec<Option<String>>, repeated: u64) -> Self {
        let line = |(n, value): (usize, Option<String>)| match value {
            Some(value) if n < 64 && repeated >> n & 1 == 1 => ["+", &value, "\n"].concat(),
            Some(value) => ["=", &value, "\n"].concat(),
            None => "-\n".to_owned(),
        };
        Self::of_lines(values.into_iter().enumerate().map(line).collect())
    }

    /// From what the host hands over: `request-head` of the contract.
    pub(crate) fn of_lines(declared: String) -> Self {
        Self { declared, ..Self::default() }
    }

    /// The n-th declared header: those of the manifest first, then those of [`Prepared`](crate::Prepared).
    pub fn header(&self, n: usize) -> Header<'_> {
        let line = self.declared.split('\n').nth(n).unwrap_or_default();
        match line.as_bytes().first() {
            Some(b'=') => Header::One(&line[1..]),
            Some(b'+') => Header::Repeated(&line[1..]),
            _ => Header::Absent,
        }
    }

    /// Replaces every value of a header on its way to the upstream, or adds it.
    pub fn set_header(&mut self, name: &str, value: &str) {
        self.headers.add(SET, name, value);
    }

    /// Adds a value beside those there are.
    pub fn append_header(&mut self, name: &str, value: &str) {
        self.headers.add(APPEND, name, value);
    }

    /// Removes every value of a header.
    pub fn remove_header(&mut self, name: &str) {
        self.headers.add(REMOVE, name, "");
    }

    /// Sets a header of whatever answer the client gets.
    pub fn set_response_header(&mut self, name: &str, value: &str) {
        self.headers.add(SET + ANSWER, name, value);
    }

    /// Sets a header of whatever answer the client gets to a number.
    pub fn set_response_number(&mut self, name: &str, value: u64) {
        self.set_response_header(name, itoa::Buffer::new().format(value));
    }

    /// The method that the upstream sees.
    pub fn set_method(&mut self, method: &str) {
        self.method = Some(method.into());
    }

    /// The whole upstream path, without query.
    pub fn set_path(&mut self, path: &str) {
        self.path = Some(path.into());
    }

    /// The upstream query, without `?`.
    pub fn set_query(&mut self, query: &str) {
        self.query = Some(query.into());
    }

    /// Replaces the whole body; Content-Length follows.
    pub fn set_body(&mut self, body: Vec<u8>) {
        self.body = Some(body);
    }

    /// Changes and decision. An answer takes the response headers with it; the other changes are void then.
    pub(crate) fn decide(self, flow: Flow) -> (Packed, RequestDecision) {
        match flow {
            Flow::Next => self.go_on(),
            Flow::Respond(mut answer) => {
                answer.headers.extend(self.headers.answer_headers());
                (Packed::default(), RequestDecision::Respond(answer))
            }
            Flow::Refuse(mut refusal) => {
                refusal.headers.extend(self.headers.answer_headers());
                (Packed::default(), RequestDecision::Refuse(refusal))
            }
        }
    }

    fn go_on(self) -> (Packed, RequestDecision) {
        let Self { headers, method, path, query, body, .. } = self;
        if method.is_none() && path.is_none() && query.is_none() && body.is_none() {
            return (headers, RequestDecision::Next);
        }
        let response_headers = Vec::new();
        let changes = RequestChanges { headers: Vec::new(), response_headers, method, path, query, body };
        (headers, RequestDecision::Change(changes))
    }
}
