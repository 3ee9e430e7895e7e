//! `POST /routes/explain`: which route a request would take, why no other, and what would happen to it there.

use std::{collections::BTreeMap, net::IpAddr};

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{answer::Answer, call::Call, failure::Failure};

/// A request to explain, as an operator describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// By default `GET`.
    #[serde(default = "get")]
    pub method: String,
    /// Protocol, host and path in one, in place of these.
    pub url: Option<String>,
    /// As in the header `Host`, with or without a port.
    pub host: Option<String>,
    /// The path with whatever follows `?`, as it is sent.
    pub path: Option<String>,
    /// Each with one value or a list.
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    /// `http`, `https`, `grpc` or `grpcs`; by default that of the URL, else `http`.
    pub protocol: Option<String>,
    /// `1.0`, `1.1` or `2`; by default 2 for gRPC, told by the protocol or by the route that is found, and else 1.1.
    pub http_version: Option<String>,
    /// The server name of the TLS handshake; by default the host, over `https`.
    pub sni: Option<String>,
    /// The client; by default 127.0.0.1.
    pub client_ip: Option<IpAddr>,
    /// The port that the client connects to; by default that of the host, or 80 or 443.
    pub port: Option<u16>,
    /// Id or username of the consumer that plugins are supposed to find.
    pub consumer: Option<String>,
}

/// The values of a header.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// One.
    One(String),
    /// In this order.
    Many(Vec<String>),
}

impl Values {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

fn get() -> String {
    "GET".to_owned()
}

/// `POST /routes/explain`
pub(super) async fn explain(call: &mut Call) -> Result<Answer, Failure> {
    let input = call.input().await?.object;
    let asked = serde_json::from_value(Value::Object(input)).map_err(|error| Failure::Bad(error.to_string()))?;
    let explained = (call.context.explain)(&asked).map_err(Failure::Bad)?;
    Ok(Answer::json(StatusCode::OK, explained))
}
