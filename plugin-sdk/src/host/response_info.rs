//! About the response in hand: in the response phases and the log phase.

use crate::{
    bindings::sandgate::plugin::response,
    host::{Header, Source, WasmHost},
};

/// About the response in hand: in the response phases and the log phase.
pub trait ResponseInfo {
    /// Status, 0 before there is one.
    fn response_status(&self) -> u16;
    /// Who made the answer.
    fn response_origin(&self) -> Source;
    /// First value of a header.
    fn response_header(&self, name: &str) -> Option<String>;
    /// Every value of a header, as bytes.
    fn response_header_values(&self, name: &str) -> Vec<Vec<u8>>;
    /// All headers.
    fn response_headers(&self) -> Vec<Header>;
}

impl ResponseInfo for WasmHost {
    fn response_status(&self) -> u16 {
        response::status()
    }

    fn response_origin(&self) -> Source {
        response::origin()
    }

    fn response_header(&self, name: &str) -> Option<String> {
        response::get_header(name)
    }

    fn response_header_values(&self, name: &str) -> Vec<Vec<u8>> {
        response::get_header_values(name)
    }

    fn response_headers(&self) -> Vec<Header> {
        response::all_headers()
    }
}
