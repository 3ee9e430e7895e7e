//! Header names and values that are said again and again, made once.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Version};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_PATH: HeaderName = HeaderName::from_static("x-forwarded-path");
pub(super) const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub(super) const X_KONG_REQUEST_ID: HeaderName = HeaderName::from_static("x-kong-request-id");
pub(super) const X_KONG_UPSTREAM_LATENCY: HeaderName = HeaderName::from_static("x-kong-upstream-latency");
pub(super) const X_KONG_PROXY_LATENCY: HeaderName = HeaderName::from_static("x-kong-proxy-latency");
pub(super) const X_KONG_RESPONSE_LATENCY: HeaderName = HeaderName::from_static("x-kong-response-latency");
pub(super) const X_KONG_UPSTREAM_STATUS: HeaderName = HeaderName::from_static("x-kong-upstream-status");
pub(super) const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
pub(super) const PROXY: HeaderName = HeaderName::from_static("proxy");
pub(super) const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(super) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Who we are, in `Server` and `Via`.
pub(super) const IDENTITY: &str = concat!("sandgate/", env!("CARGO_PKG_VERSION"));
const VIA_1_0: &str = concat!("1 sandgate/", env!("CARGO_PKG_VERSION"));
const VIA_1_1: &str = concat!("1.1 sandgate/", env!("CARGO_PKG_VERSION"));
const VIA_2: &str = concat!("2 sandgate/", env!("CARGO_PKG_VERSION"));

/// What short values are cut from, in bytes. A block lives as long as the last value of it.
const BLOCK: usize = 4096;
/// Values up to this length, in bytes, are cut from a block.
const SHORT: usize = 256;

/// Numbers below this have their values made in advance.
const SMALL: usize = 256;

/// Whether a message is of gRPC, by its `Content-Type`: `application/grpc`, also with what it carries (`+proto`).
pub(super) fn is_grpc(content_type: Option<&HeaderValue>) -> bool {
    content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// What this hop calls itself for a message of this version. Kong says `1` for HTTP/1.0.
pub(super) fn via(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 | Version::HTTP_09 => VIA_1_0,
        Version::HTTP_2 | Version::HTTP_3 => VIA_2,
        _ => VIA_1_1,
    }
}

/// A value from text of our own making. Text that cannot be one becomes an empty value.
pub(super) fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// Values made in advance.
#[derive(Debug)]
pub(super) struct Words {
    numbers: Vec<HeaderValue>,
    block: RefCell<BytesMut>,
}

impl Words {
    pub(super) fn new() -> Self {
        let number = |number: usize| HeaderValue::from_maybe_shared(Bytes::from(number.to_string()));
        Self { numbers: (0..SMALL).filter_map(|small| number(small).ok()).collect(), block: RefCell::default() }
    }

    /// As [`text`]; a short value costs no allocation.
    pub(super) fn text(&self, short: &str) -> HeaderValue {
        if short.len() > SHORT {
            return text(short);
        }
        let mut block = self.block.borrow_mut();
        if block.capacity() < short.len() {
            *block = BytesMut::with_capacity(BLOCK);
        }
        block.extend_from_slice(short.as_bytes());
        HeaderValue::from_maybe_shared(block.split().freeze()).unwrap_or(HeaderValue::from_static(""))
    }

    /// A number as a value.
    pub(super) fn number(&self, number: u128) -> HeaderValue {
        let small = usize::try_from(number).ok().and_then(|small| self.numbers.get(small));
        small.cloned().unwrap_or_else(|| HeaderValue::from(u64::try_from(number).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_block_and_of_several_say_what_they_were_made_from() {
        let words = Words::new();
        let texts: Vec<String> = (0..300).map(|number| "a".repeat(number)).collect();
        let values: Vec<HeaderValue> = texts.iter().map(|text| words.text(text)).collect();
        assert_eq!(values, texts.iter().map(|text| text.as_str()).collect::<Vec<_>>());
        assert_eq!(words.text("no\nvalue"), "");
    }
}
