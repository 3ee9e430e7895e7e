//! The head of the response in hand: its declared headers, and the changes to it.

use crate::{
    bindings::sandgate::plugin::types::{HeaderOp, ResponseChanges, ResponseDecision},
    flow::ResponseFlow,
    request::{Header, Request},
};

/// The status and the declared headers of a response, and the changes that a plugin makes to its head.
#[derive(Debug, Default)]
pub struct Response {
    status: u16,
    declared: Request,
    changes: Option<ResponseChanges>,
}

impl Response {
    /// From the status and the values of the declared headers, as [`Request::new`].
    pub fn new(status: u16, headers: Vec<Option<String>>, repeated: u64) -> Self {
        Self { status, declared: Request::new(headers, repeated), changes: None }
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

    /// The status that the client sees: 200 to 599.
    pub fn set_status(&mut self, status: u16) {
        self.changes().status = Some(status);
    }

    /// The changes so far.
    pub fn changed(&self) -> Option<&ResponseChanges> {
        self.changes.as_ref()
    }

    fn changes(&mut self) -> &mut ResponseChanges {
        self.changes.get_or_insert_with(|| ResponseChanges { status: None, headers: Vec::new() })
    }

    pub(crate) fn decide(self, flow: ResponseFlow) -> ResponseDecision {
        match (flow, self.changes) {
            (ResponseFlow::Replace(answer), _) => ResponseDecision::Replace(answer),
            (ResponseFlow::Next, Some(changes)) => ResponseDecision::Change(changes),
            (ResponseFlow::Next, None) => ResponseDecision::Next,
        }
    }
}
