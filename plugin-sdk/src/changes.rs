//! Header changes on their way to the host: one text and its lengths (`changes.headers` of the contract) instead of a
//! string for each name and each value.

use crate::bindings::sandgate::plugin::changes;
#[cfg(not(target_family = "wasm"))]
use crate::bindings::sandgate::plugin::types::HeaderOp;

/// What is done to a header of the request.
pub(crate) const SET: u32 = 0;
/// Adds a value.
pub(crate) const APPEND: u32 = 1;
/// Removes every value.
pub(crate) const REMOVE: u32 = 2;
/// Added to these for a header of the answer.
pub(crate) const ANSWER: u32 = 4;

/// Enough for the changes of most calls, so that the memory does not grow with each.
const TEXT: usize = 256;
const STEPS: usize = 24;

/// Changes as the contract takes them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Packed {
    text: String,
    steps: Vec<u32>,
}

impl Packed {
    /// Adds a change: what is done, name, value.
    pub(crate) fn add(&mut self, what: u32, name: &str, value: &str) {
        if self.steps.is_empty() {
            self.text.reserve(TEXT);
            self.steps.reserve(STEPS);
        }
        self.text.push_str(name);
        self.text.push_str(value);
        self.steps.extend([what, name.len() as u32, value.len() as u32]);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// As changes of the contract, for one side: 0 or [`ANSWER`].
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn ops(&self, side: u32) -> Vec<HeaderOp> {
        let of_side = self.each().filter(|(what, ..)| what & ANSWER == side);
        of_side
            .map(|(what, name, value)| match what & !ANSWER {
                SET => HeaderOp::Set((name.into(), value.into())),
                APPEND => HeaderOp::Append((name.into(), value.into())),
                _ => HeaderOp::Remove(name.into()),
            })
            .collect()
    }

    /// Names and values that the answer gets.
    pub(crate) fn answer_headers(&self) -> impl Iterator<Item = (String, String)> {
        let given = self.each().filter(|(what, ..)| matches!(what.checked_sub(ANSWER), Some(SET | APPEND)));
        given.map(|(_, name, value)| (name.into(), value.into()))
    }

    fn each(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        let mut rest = self.text.as_str();
        self.steps.chunks_exact(3).map(move |step| {
            let (name, after) = rest.split_at(step[1] as usize);
            let (value, after) = after.split_at(step[2] as usize);
            rest = after;
            (step[0], name, value)
        })
    }

    /// Asks the host for them.
    pub(crate) fn ask(&self) {
        if !self.is_empty() {
            changes::headers(&self.text, &self.steps);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Flow, Request,
        bindings::sandgate::plugin::types::{HeaderOp, RequestDecision},
        changes::ANSWER,
    };

    #[test]
    fn headers_are_packed_in_order_and_the_rest_stays() {
        let mut request = Request::default();
        request.set_header("x-a", "one");
        request.append_header("x-b", "é");
        request.remove_header("x-c");
        request.set_response_header("x-d", "");
        request.set_path("/p");
        let (packed, RequestDecision::Change(changes)) = request.decide(Flow::Next) else { panic!("no change") };
        assert_eq!(packed.text, "x-aonex-b\u{e9}x-cx-d");
        assert_eq!(packed.steps, [0, 3, 3, 1, 3, 2, 2, 3, 0, 4, 3, 0]);
        assert_eq!(packed.ops(0).len(), 3);
        assert_eq!(packed.ops(ANSWER), [HeaderOp::Set(("x-d".into(), String::new()))]);
        assert!(changes.headers.is_empty() && changes.response_headers.is_empty());
        assert_eq!(changes.path.as_deref(), Some("/p"));
    }

    #[test]
    fn an_answer_takes_its_headers_along() {
        let mut request = Request::default();
        request.set_header("x-a", "one");
        request.set_response_header("x-b", "two");
        let (packed, decision) = request.decide(Flow::text(403, "no"));
        let RequestDecision::Respond(answer) = decision else { panic!("{decision:?}") };
        assert!(packed.is_empty());
        assert_eq!(answer.headers.last(), Some(&("x-b".into(), "two".into())));
    }
}
