//! `changes`.

use crate::plugin::{
    bindings::sandgate::plugin::changes::Host,
    instance::{HostState, Stage},
};

impl Host for HostState {
    fn headers(&mut self, text: String, steps: Vec<u32>) {
        if !matches!(self.stage, Stage::RequestHeaders | Stage::ResponseHeaders) {
            return;
        }
        let limit = self.deployment().limits.headers;
        self.asked.add(text.into(), &steps, &mut self.names, limit);
        if self.stage == Stage::ResponseHeaders {
            self.asked.refuse_requests();
        }
    }
}
