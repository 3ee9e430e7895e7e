//! `changes`.

use crate::plugin::{
    bindings::sandgate::plugin::{
        changes::Host,
        types::{RequestDecision, ResponseDecision},
    },
    instance::{HostState, Stage},
};

impl Host for HostState {
    fn headers(&mut self, text: String, steps: Vec<u32>) {
        if matches!(self.stage, Stage::RequestHeaders | Stage::ResponseHeaders) {
            let limits = self.deployment().limits.clone();
            self.asked.add(text.into(), &steps, &mut self.names, &limits);
            if self.stage == Stage::ResponseHeaders {
                self.asked.refuse_requests();
            }
        }
    }

    fn decide_request(&mut self, decision: RequestDecision) {
        if self.stage == Stage::RequestHeaders {
            self.asked.decide_request(decision);
        }
    }

    fn decide_response(&mut self, decision: ResponseDecision) {
        if self.stage == Stage::ResponseHeaders {
            self.asked.decide_response(decision);
        }
    }
}
