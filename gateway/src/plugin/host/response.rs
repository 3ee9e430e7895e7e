//! `response`.

use super::request::{all, every, first};
use crate::plugin::{
    bindings::sandgate::plugin::response::{Host, Source},
    exchange::{Origin, ResponseHead},
    instance::HostState,
};

impl HostState {
    fn of_response<R: Default>(&self, read: impl FnOnce(&ResponseHead) -> R) -> R {
        let head = self.exchange.as_ref().and_then(|exchange| exchange.response.as_ref());
        head.map(read).unwrap_or_default()
    }
}

impl Host for HostState {
    fn status(&mut self) -> u16 {
        self.of_response(|head| head.status.as_u16())
    }

    fn origin(&mut self) -> Source {
        let head = self.exchange.as_ref().and_then(|exchange| exchange.response.as_ref());
        match head.map(|head| head.origin) {
            Some(Origin::Upstream) => Source::Upstream,
            Some(Origin::Plugin) => Source::Plugin,
            Some(Origin::Gateway) | None => Source::Gateway,
        }
    }

    fn get_header(&mut self, name: String) -> Option<String> {
        self.of_response(|head| first(&head.headers, &name))
    }

    fn get_header_values(&mut self, name: String) -> Vec<Vec<u8>> {
        self.of_response(|head| every(&head.headers, &name))
    }

    fn all_headers(&mut self) -> Vec<(String, String)> {
        self.of_response(|head| all(&head.headers))
    }
}
