//! Header changes on their way to the host: one text and its lengths (`changes.headers` of the contract) instead of a
//! string for each name and each value.

use crate::bindings::sandgate::plugin::{
    changes,
    types::{HeaderOp, RequestChanges, RequestDecision, ResponseDecision},
};

/// Added to what is to be done for a header of the answer.
const ANSWER: u32 = 4;

/// Changes as the contract takes them.
#[derive(Debug, Default, PartialEq)]
struct Packed {
    text: String,
    steps: Vec<u32>,
}

impl Packed {
    fn add(&mut self, side: u32, ops: &[HeaderOp]) {
        for op in ops {
            let (what, name, value) = match op {
                HeaderOp::Set((name, value)) => (0, name.as_str(), value.as_str()),
                HeaderOp::Append((name, value)) => (1, name.as_str(), value.as_str()),
                HeaderOp::Remove(name) => (2, name.as_str(), ""),
            };
            self.text.push_str(name);
            self.text.push_str(value);
            self.steps.extend([what + side, name.len() as u32, value.len() as u32]);
        }
    }

    fn ask(self) {
        if !self.steps.is_empty() {
            changes::headers(&self.text, &self.steps);
        }
    }
}

/// Asks the host for the header changes of a decision; the rest of it is returned.
pub(crate) fn of_request(decision: RequestDecision) -> RequestDecision {
    let RequestDecision::Change(mut changes) = decision else { return decision };
    packed(&mut changes).ask();
    let RequestChanges { method, path, query, body, .. } = &changes;
    if method.is_none() && path.is_none() && query.is_none() && body.is_none() {
        return RequestDecision::Next;
    }
    RequestDecision::Change(changes)
}

/// As [`of_request`], for the head of a response.
pub(crate) fn of_response(decision: ResponseDecision) -> ResponseDecision {
    let ResponseDecision::Change(mut changes) = decision else { return decision };
    let mut packed = Packed::default();
    packed.add(ANSWER, &std::mem::take(&mut changes.headers));
    packed.ask();
    if changes.status.is_none() { ResponseDecision::Next } else { ResponseDecision::Change(changes) }
}

/// Takes the headers out of the changes.
fn packed(changes: &mut RequestChanges) -> Packed {
    let mut packed = Packed::default();
    packed.add(0, &std::mem::take(&mut changes.headers));
    packed.add(ANSWER, &std::mem::take(&mut changes.response_headers));
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flow, Request};

    #[test]
    fn headers_are_packed_in_order_and_the_rest_stays() {
        let mut request = Request::default();
        request.set_header("x-a", "one");
        request.append_header("x-b", "é");
        request.remove_header("x-c");
        request.set_response_header("x-d", "");
        request.set_path("/p");
        let RequestDecision::Change(mut changes) = request.decide(Flow::Next) else { panic!("no change") };
        let packed = packed(&mut changes);
        assert_eq!(packed.text, "x-aonex-béx-cx-d");
        assert_eq!(packed.steps, [0, 3, 3, 1, 3, 2, 2, 3, 0, 4, 3, 0]);
        assert!(changes.headers.is_empty() && changes.response_headers.is_empty());
        assert_eq!(changes.path.as_deref(), Some("/p"));
    }
}
