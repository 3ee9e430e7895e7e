//! The request in hand: its declared headers, and the changes to it.

use std::ops::Range;

use crate::{
    bindings::sandgate::plugin::{
        changes,
        types::{RequestChanges, RequestDecision},
    },
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
    /// For each `-`, or `=` (once) or `+` (more than once), the length of the first value, `:` and that value.
    declared: String,
    headers: Packed,
    // Apart, since most calls have none and this value is moved about.
    others: Option<Box<Others>>,
}

/// Changes beyond headers.
#[derive(Debug, Default)]
struct Others {
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// From the values of the declared headers, manifest first. Bit n of `repeated`: the n-th came more than once.
    pub fn new(values: Vec<Option<String>>, repeated: u64) -> Self {
        let coded = |(n, value): (usize, Option<String>)| match value {
            Some(value) if n < 64 && repeated >> n & 1 == 1 => format!("+{}:{value}", value.len()),
            Some(value) => format!("={}:{value}", value.len()),
            None => "-".to_owned(),
        };
        Self::handed(values.into_iter().enumerate().map(coded).collect())
    }

    /// From what the host hands over: `request-head` of the contract.
    pub(crate) fn handed(declared: String) -> Self {
        Self { declared, ..Self::default() }
    }

    /// The n-th declared header: those of the manifest first, then those of [`Prepared`](crate::Prepared).
    pub fn header(&self, n: usize) -> Header<'_> {
        let mut at = 0;
        for _ in 0..n {
            at = self.coded(at).1.end;
        }
        let (kind, place) = self.coded(at);
        match (kind, self.declared.get(place)) {
            (b'=', Some(value)) => Header::One(value),
            (b'+', Some(value)) => Header::Repeated(value),
            _ => Header::Absent,
        }
    }

    /// What stands at a place of `declared`: its kind, and where its value is. Beyond the end nothing does.
    fn coded(&self, at: usize) -> (u8, Range<usize>) {
        let bytes = self.declared.as_bytes();
        let kind = bytes.get(at).copied().unwrap_or(b'-');
        let mut start = at + 1;
        let mut length = 0;
        if kind != b'-' {
            while let Some(digit @ b'0'..=b'9') = bytes.get(start) {
                length = length * 10 + usize::from(digit - b'0');
                start += 1;
            }
            start += 1;
        }
        (kind, start..start + length)
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
        self.others().method = Some(method.into());
    }

    /// The whole upstream path, without query.
    pub fn set_path(&mut self, path: &str) {
        self.others().path = Some(path.into());
    }

    /// The upstream query, without `?`.
    pub fn set_query(&mut self, query: &str) {
        self.others().query = Some(query.into());
    }

    /// Replaces the whole body; Content-Length follows.
    pub fn set_body(&mut self, body: Vec<u8>) {
        self.others().body = Some(body);
    }

    fn others(&mut self) -> &mut Others {
        self.others.get_or_insert_default()
    }

    /// Tells the host what becomes of the request.
    pub(crate) fn tell(self, flow: Flow) {
        if matches!(flow, Flow::Next) && self.others.is_none() {
            self.headers.ask();
        } else {
            let (headers, decision) = self.decide(flow);
            headers.ask();
            changes::decide_request(&decision);
        }
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
        let Some(others) = self.others else { return (self.headers, RequestDecision::Next) };
        let Others { method, path, query, body } = *others;
        let response_headers = Vec::new();
        let changes = RequestChanges { headers: Vec::new(), response_headers, method, path, query, body };
        (self.headers, RequestDecision::Change(changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_headers_are_found_by_their_number() {
        let values = [Some("a-=1:b"), None, Some(""), Some("\u{e9}"), Some("0123456789ab")];
        let request = Request::new(values.map(|value| value.map(String::from)).to_vec(), 1 << 3);
        let all: Vec<_> = (0..6).map(|n| request.header(n)).collect();
        let [a, twelve] = [Header::One("a-=1:b"), Header::One("0123456789ab")];
        assert_eq!(all, [a, Header::Absent, Header::One(""), Header::Repeated("\u{e9}"), twelve, Header::Absent]);
    }
}
