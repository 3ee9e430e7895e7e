//! The head of the response in hand: its declared headers, and the changes to it.

use crate::{
    bindings::sandgate::plugin::{
        changes,
        types::{ResponseChanges, ResponseDecision},
    },
    changes::{ANSWER, APPEND, Packed, REMOVE, SET},
    flow::ResponseFlow,
    request::{Header, Request},
};

/// The status and the declared headers of a response, and the changes that a plugin makes to its head.
#[derive(Debug, Default)]
pub struct Response {
    status: u16,
    declared: Request,
    headers: Packed,
    new_status: Option<u16>,
}

impl Response {
    /// From the status and the values of the declared headers, as [`Request::new`].
    pub fn new(status: u16, headers: Vec<Option<String>>, repeated: u64) -> Self {
        Self { status, declared: Request::new(headers, repeated), ..Self::default() }
    }

    /// From what the host hands over: `response-head` of the contract.
    pub(crate) fn handed(status: u16, declared: String) -> Self {
        Self { status, declared: Request::handed(declared), ..Self::default() }
    }

    /// Status that the upstream, another plugin or the gateway gave.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The n-th declared response header.
    pub fn header(&self, n: usize) -> Header<'_> {
        self.declared.header(n)
    }

    /// Replaces every value of a header, or adds it.
    pub fn set_header(&mut self, name: &str, value: &str) {
        self.headers.add(SET + ANSWER, name, value);
    }

    /// Adds a value beside those there are.
    pub fn append_header(&mut self, name: &str, value: &str) {
        self.headers.add(APPEND + ANSWER, name, value);
    }

    /// Removes every value of a header.
    pub fn remove_header(&mut self, name: &str) {
        self.headers.add(REMOVE + ANSWER, name, "");
    }

    /// The status that the client sees: 200 to 599.
    pub fn set_status(&mut self, status: u16) {
        self.new_status = Some(status);
    }

    /// Tells the host what becomes of the response.
    pub(crate) fn tell(self, flow: ResponseFlow) {
        let (headers, decision) = self.decide(flow);
        headers.ask();
        if !matches!(decision, ResponseDecision::Next) {
            changes::decide_response(&decision);
        }
    }

    /// Changes and decision. An answer in its place makes the other changes void.
    pub(crate) fn decide(self, flow: ResponseFlow) -> (Packed, ResponseDecision) {
        match (flow, self.new_status) {
            (ResponseFlow::Replace(answer), _) => (Packed::default(), ResponseDecision::Replace(answer)),
            (ResponseFlow::Next, None) => (self.headers, ResponseDecision::Next),
            (ResponseFlow::Next, status) => {
                (self.headers, ResponseDecision::Change(ResponseChanges { status, headers: Vec::new() }))
            }
        }
    }
}
