//! One request and its answer.

use std::{
    convert::Infallible,
    fmt::{Debug, Display},
    net::SocketAddr,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde_json::Value;

use super::connection::Client;

/// What is sent as a body.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A body that is known as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1.1 on clear text.
    Http1,
    /// HTTP/2 on clear text, with prior knowledge.
    Http2,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 over TLS, agreed on by ALPN.
    TlsHttp2,
}

/// A request to be sent on a connection of its own.
pub struct Call {
    address: SocketAddr,
    wire: Wire,
    request: Request<Body>,
}

impl Call {
    /// `line` is a method and a target: `GET /orders?page=2`.
    pub fn new(address: SocketAddr, line: &str) -> Self {
        let (method, target) = line.split_once(' ').expect("a method and a target");
        let request = Request::builder().method(Method::try_from(method).expect("a method")).uri(target);
        Self { address, wire: Wire::Http1, request: request.body(full("")).expect("a target") }
    }

    /// Speaks otherwise.
    pub fn over(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// Adds a header; `host` replaces the address that is otherwise sent.
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        let name = HeaderName::try_from(name).expect("a header name");
        let value = HeaderValue::try_from(value.to_string()).expect("a header value");
        self.request.headers_mut().append(name, value);
        self
    }

    /// Sends these bytes.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = full(bytes);
        self
    }

    /// Sends JSON.
    pub fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// Sends it and reads the whole answer.
    pub async fn try_send(self) -> Result<Answer> {
        let mut client = Client::connect(self.address, self.wire).await?;
        client.send(self.request).await
    }

    /// As `try_send`, for requests that must be answered.
    pub async fn send(self) -> Answer {
        let line = format!("{} {} to {}", self.request.method(), self.request.uri(), self.address);
        self.try_send().await.unwrap_or_else(|error| panic!("{line}: {error:#}"))
    }
}

/// A whole answer.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The answer, when it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// The one value of a header; empty where there is none.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().expect("a header value in ASCII"));
        assert!(values.next().is_none(), "{name} comes more than once");
        value
    }

    /// Whether there is such a header.
    pub fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// What an echoing target saw.
    #[track_caller]
    pub fn echo(self) -> Echo {
        Echo(self.expect(200).json())
    }
}

impl Debug for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let status = StatusCode::from_u16(self.status).map_err(|_| std::fmt::Error)?;
        write!(out, "{status} {:?}\n{}", self.headers, self.text())
    }
}

/// A request as an echoing target saw it.
#[derive(Debug, Clone)]
pub struct Echo(Value);

impl Echo {
    pub fn method(&self) -> &str {
        self.text("method")
    }

    pub fn target(&self) -> &str {
        self.text("target")
    }

    pub fn body(&self) -> &str {
        self.text("body")
    }

    /// All values of a header with `, ` between; empty where there is none.
    pub fn header(&self, name: &str) -> String {
        let headers = self.0["headers"].as_array().into_iter().flatten();
        let values = headers.filter(|pair| pair[0] == *name).filter_map(|pair| pair[1].as_str());
        values.collect::<Vec<_>>().join(", ")
    }

    pub fn has(&self, name: &str) -> bool {
        self.0["headers"].as_array().into_iter().flatten().any(|pair| pair[0] == *name)
    }

    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }
}

impl Answer {
    /// Reads an answer to its end.
    pub(super) async fn read(response: http::Response<hyper::body::Incoming>) -> Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("reading the body of the answer")?;
        let (status, version) = (head.status.as_u16(), head.version);
        Ok(Self { status, version, headers: head.headers, body: body.to_bytes() })
    }
}
