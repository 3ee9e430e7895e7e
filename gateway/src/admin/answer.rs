//! What a resource answers, before the headers that every answer has.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::store::Version;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// The configuration version that a write made.
    pub(super) version: Option<Version>,
}

impl Answer {
    /// A JSON body.
    pub(super) fn json(status: StatusCode, body: Value) -> Self {
        let mut answer = Self::empty(status);
        answer.set(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        answer.body = body.to_string().into_bytes();
        answer
    }

    /// 200 with a JSON body.
    pub(super) fn ok(body: impl Into<Value>) -> Self {
        Self::json(StatusCode::OK, body.into())
    }

    /// No body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Vec::new(), version: None }
    }

    /// Bytes of a media type.
    pub(super) fn bytes(media_type: &'static str, body: Vec<u8>) -> Self {
        let mut answer = Self::empty(StatusCode::OK);
        answer.set(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        answer.body = body;
        answer
    }

    /// After a write that made this version.
    #[must_use]
    pub(super) fn at(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Status and body, for an answer about this one.
    pub(super) fn shown(&self) -> Value {
        let body = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        json!({ "status": self.status.as_u16(), "body": body })
    }

    /// Sets a header.
    pub(super) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }

    /// The response; with the length but without the body for HEAD.
    pub(super) fn into_response(mut self, head: bool) -> http::Response<Body> {
        if self.status != StatusCode::NO_CONTENT {
            self.set(header::CONTENT_LENGTH, self.body.len().into());
        }
        let body = if head { Body::empty() } else { Body::from(self.body) };
        let mut response = http::Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
