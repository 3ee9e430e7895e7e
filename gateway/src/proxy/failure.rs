//! Why a request was not answered by its target, and what the client is told of it: the one place where a failure becomes a
//! status, a code, a blame and a log line.

use std::{borrow::Cow, io, net::IpAddr};

use http::{HeaderMap, StatusCode};

use super::{
    payload::{TooLarge, is_too_large},
    refusals::{Reason, Refusals},
};
use crate::{
    plugin::{PluginFailure, Refusal},
    router::PathError,
    upstream::{SendError, UploadError},
};

/// Why a request was not answered by its target.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It breaks the rules of HTTP.
    #[error("the request is not valid: {1}")]
    BadRequest(Reason, &'static str),
    /// Its path can be read in two ways.
    #[error("the request's path is ambiguous")]
    Path(#[from] PathError),
    /// Its headers are too many or too long.
    #[error("the request's headers are too large")]
    HeadersTooLarge,
    /// Its target is too long.
    #[error("the request's target is too long")]
    UriTooLong,
    /// The body is larger than allowed.
    #[error(transparent)]
    BodyTooLarge(#[from] TooLarge),
    /// Its method is never served.
    #[error("the request's method is not allowed")]
    Method,
    /// Nothing matches it.
    #[error("no route matches")]
    NoRoute,
    /// The route leads nowhere.
    #[error("the route has no service")]
    NoService,
    /// The route wants TLS.
    #[error("the route is served over TLS only")]
    HttpsRequired,
    /// The route wants TLS and sends clients there.
    #[error("the route is served over TLS only, the client is sent there")]
    HttpsRedirect(StatusCode, String),
    /// The route wants HTTP/2.
    #[error("the route is served over HTTP/2 only")]
    Http2Required,
    /// The route wants gRPC.
    #[error("the route serves gRPC only")]
    NotGrpc,
    /// The route wants gRPC over TLS.
    #[error("the route serves gRPC over TLS only")]
    PlainGrpc,
    /// A plugin refused the request.
    #[error("a plugin refused the request with {}", .0.status)]
    Refused(Box<Refusal>),
    /// A plugin failed.
    #[error(transparent)]
    Plugin(#[from] PluginFailure),
    /// No target is there to be asked.
    #[error("the upstream has no target that can be asked")]
    NoTarget,
    /// The certificate or an authority of the service cannot be used.
    #[error("TLS with the targets of the service cannot be set up")]
    NoTls,
    /// The target gave no answer.
    #[error(transparent)]
    Upstream(#[from] SendError),
    /// The target switched to another protocol that nobody had asked for.
    #[error("the target switched protocols unasked")]
    Switched,
    /// The client sent its body too slowly.
    #[error("the client sent its body too slowly")]
    BodyTimeout,
    /// The client's body broke off.
    #[error("reading the client's body failed")]
    Body(#[source] hyper::Error),
    /// Something broke that should not.
    #[error("answering the request crashed")]
    Crashed,
}

/// Whose fault a failure is: a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The client.
    Client,
    /// The gateway or its configuration.
    Gateway,
    /// A plugin.
    Plugin,
    /// The target.
    Target,
}

/// How an answer of the gateway is worded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// A decision: in the format that the client accepts, else JSON.
    Decision,
    /// A failure below: in the format that the client accepts, else that of its body, else plain text.
    Breakdown,
    /// A redirect, as a page.
    Redirect,
}

impl Failure {
    /// What the client gets. No `_` arm: a new failure must choose.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(..) | Self::Path(_) | Self::HeadersTooLarge | Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::HttpsRequired | Self::Http2Required => StatusCode::UPGRADE_REQUIRED,
            Self::HttpsRedirect(status, _) => *status,
            // Kong says what is wrong in gRPC's own words.
            Self::PlainGrpc => StatusCode::OK,
            Self::NotGrpc => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Refused(refusal) => refusal.status,
            Self::NoService | Self::Plugin(_) | Self::NoTarget | Self::NoTls => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream(error) => status_of(error),
            Self::Switched => StatusCode::BAD_GATEWAY,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Crashed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Stable: dashboards match on it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(reason, _) => reason.code(),
            Self::Path(_) => "ambiguous-path",
            Self::HeadersTooLarge => "headers-too-large",
            Self::UriTooLong => "uri-too-long",
            Self::BodyTooLarge(_) => "body-too-large",
            Self::Method => "method-not-allowed",
            Self::NoRoute => "no-route",
            Self::NoService => "no-service",
            Self::HttpsRequired | Self::HttpsRedirect(..) => "https-required",
            Self::Http2Required => "http2-required",
            Self::NotGrpc => "not-grpc",
            Self::PlainGrpc => "grpcs-required",
            Self::Refused(_) => "refused",
            Self::Plugin(_) => "plugin-failed",
            Self::NoTarget => "no-target",
            Self::NoTls => "target-tls",
            Self::Upstream(error) => code_of(error),
            Self::Switched => "target-switched",
            Self::BodyTimeout => "body-timeout",
            Self::Body(_) => "body-failed",
            Self::Crashed => "crashed",
        }
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Party {
        match self {
            Self::BadRequest(..)
            | Self::Path(_)
            | Self::HeadersTooLarge
            | Self::UriTooLong
            | Self::BodyTooLarge(_)
            | Self::Method
            | Self::NoRoute
            | Self::HttpsRequired
            | Self::HttpsRedirect(..)
            | Self::Http2Required
            | Self::NotGrpc
            | Self::PlainGrpc
            | Self::Refused(_)
            | Self::BodyTimeout
            | Self::Body(_)
            | Self::Upstream(SendError::Upload(_)) => Party::Client,
            Self::NoService | Self::NoTarget | Self::NoTls | Self::Crashed => Party::Gateway,
            Self::Plugin(_) => Party::Plugin,
            Self::Upstream(_) | Self::Switched => Party::Target,
        }
    }

    /// For the client.
    pub(super) fn message(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::HeadersTooLarge => "Request header or cookie too large",
            Self::NoRoute => "no Route matched with those values",
            Self::NoService => "no Service found with those values",
            Self::HttpsRequired => "Please use HTTPS protocol",
            Self::Http2Required => "Please use HTTP2 protocol",
            Self::NotGrpc => "Non-gRPC request matched gRPC route",
            Self::PlainGrpc => "gRPC request matched gRPCs route",
            Self::NoTarget | Self::NoTls => "failure to get a peer from the ring-balancer",
            Self::Upstream(SendError::Resolve(..)) => "name resolution failed",
            Self::Refused(refusal) if !refusal.message.is_empty() => &refusal.message,
            Self::BadRequest(..)
            | Self::Path(_)
            | Self::UriTooLong
            | Self::BodyTooLarge(_)
            | Self::Method
            | Self::HttpsRedirect(..)
            | Self::Refused(_)
            | Self::Plugin(_)
            | Self::Upstream(_)
            | Self::Switched
            | Self::BodyTimeout
            | Self::Body(_)
            | Self::Crashed => return default_message(self.status()),
        })
    }

    /// What gRPC clients are told in its place.
    pub(super) fn grpc_status(&self) -> u16 {
        match self {
            Self::PlainGrpc => 1,
            failure => grpc_status(failure.status()),
        }
    }

    /// How it is worded.
    pub(super) fn family(&self) -> Family {
        match self {
            Self::NoRoute
            | Self::NoService
            | Self::HttpsRequired
            | Self::Http2Required
            | Self::NotGrpc
            | Self::PlainGrpc
            | Self::Refused(_)
            | Self::Plugin(_)
            | Self::NoTarget
            | Self::NoTls
            | Self::Upstream(SendError::Resolve(..)) => Family::Decision,
            Self::HttpsRedirect(..) => Family::Redirect,
            Self::BadRequest(..)
            | Self::Path(_)
            | Self::HeadersTooLarge
            | Self::UriTooLong
            | Self::BodyTooLarge(_)
            | Self::Method
            | Self::Upstream(_)
            | Self::Switched
            | Self::BodyTimeout
            | Self::Body(_)
            | Self::Crashed => Family::Breakdown,
        }
    }

    /// Headers that its answer needs.
    pub(super) fn headers(&mut self) -> HeaderMap {
        use http::{HeaderValue, header};
        let upgrade = |to| {
            let connection = HeaderValue::from_static("Upgrade");
            HeaderMap::from_iter([(header::CONNECTION, connection), (header::UPGRADE, HeaderValue::from_static(to))])
        };
        match self {
            Self::HttpsRequired => upgrade("TLS/1.2, HTTP/1.1"),
            Self::Http2Required => upgrade("HTTP/2"),
            Self::HttpsRedirect(_, location) => {
                HeaderMap::from_iter([(header::LOCATION, super::words::text(location))])
            }
            Self::Refused(refusal) => std::mem::take(&mut refusal.headers),
            failure if failure.closes() => {
                HeaderMap::from_iter([(header::CONNECTION, HeaderValue::from_static("close"))])
            }
            _ => HeaderMap::new(),
        }
    }

    /// Whether the connection cannot be trusted any more.
    fn closes(&self) -> bool {
        matches!(
            self,
            Self::BadRequest(..)
                | Self::Path(_)
                | Self::HeadersTooLarge
                | Self::UriTooLong
                | Self::BodyTooLarge(_)
                | Self::Method
                | Self::BodyTimeout
                | Self::Body(_)
                | Self::Crashed
        )
    }

    /// Why the request was refused, where its client broke a rule or crossed a limit. No `_` arm: a new failure must choose.
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::BadRequest(reason, _) => Some(*reason),
            Self::Path(_) => Some(Reason::Path),
            Self::HeadersTooLarge => Some(Reason::Headers),
            Self::UriTooLong => Some(Reason::Uri),
            Self::BodyTooLarge(_) => Some(Reason::BodySize),
            Self::Method => Some(Reason::Method),
            Self::BodyTimeout => Some(Reason::BodyTimeout),
            Self::Body(error) => reason_of(error),
            Self::Upstream(SendError::Upload(UploadError::Stalled(_))) => Some(Reason::BodyTimeout),
            Self::Upstream(SendError::Upload(UploadError::Failed(error))) => reason_of(error),
            Self::NoRoute
            | Self::NoService
            | Self::HttpsRequired
            | Self::HttpsRedirect(..)
            | Self::Http2Required
            | Self::NotGrpc
            | Self::PlainGrpc
            | Self::Refused(_)
            | Self::Plugin(_)
            | Self::NoTarget
            | Self::NoTls
            | Self::Upstream(_)
            | Self::Switched
            | Self::Crashed => None,
        }
    }

    /// Logs it, once: loudly what an operator can do something about.
    pub(super) fn log(&self, request_id: &str, client: IpAddr, refusals: &Refusals) {
        if let Some(reason) = self.reason() {
            return refusals.note(reason, self, request_id, client);
        }
        let (code, error) = (self.code(), self as &dyn std::error::Error);
        match self.blame() {
            Party::Client => tracing::debug!(request_id, code, error, "a request was refused"),
            Party::Gateway | Party::Plugin | Party::Target => {
                tracing::error!(request_id, code, error, "a request failed")
            }
        }
    }
}

/// Why a body that could not be read was refused; nothing if its client just went away.
fn reason_of(error: &hyper::Error) -> Option<Reason> {
    if is_too_large(error) {
        return Some(Reason::BodySize);
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let is_odd = matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
            return is_odd.then_some(Reason::Chunks);
        }
        cause = error.source();
    }
    None
}

/// What a target's failure counts as, for the client and in logs.
pub(super) fn status_of(error: &SendError) -> StatusCode {
    match error {
        SendError::Resolve(..) => StatusCode::SERVICE_UNAVAILABLE,
        SendError::Connect(..) | SendError::Broken { .. } | SendError::Invalid(..) | SendError::Ambiguous(..) => {
            StatusCode::BAD_GATEWAY
        }
        SendError::ConnectTimeout(..) | SendError::WriteTimeout(..) | SendError::ReadTimeout(..) => {
            StatusCode::GATEWAY_TIMEOUT
        }
        SendError::Upload(UploadError::Stalled(_)) => StatusCode::REQUEST_TIMEOUT,
        SendError::Upload(UploadError::Failed(source)) if is_too_large(source) => StatusCode::PAYLOAD_TOO_LARGE,
        SendError::Upload(UploadError::Failed(_)) => StatusCode::BAD_REQUEST,
    }
}

fn code_of(error: &SendError) -> &'static str {
    match error {
        SendError::Resolve(..) => "target-unresolved",
        SendError::Connect(..) => "target-unreachable",
        SendError::ConnectTimeout(..) => "target-connect-timeout",
        SendError::Broken { .. } => "target-broken",
        SendError::Invalid(..) | SendError::Ambiguous(..) => "target-invalid",
        SendError::WriteTimeout(..) => "target-write-timeout",
        SendError::ReadTimeout(..) => "target-read-timeout",
        SendError::Upload(UploadError::Failed(source)) if is_too_large(source) => "body-too-large",
        SendError::Upload(UploadError::Stalled(_)) => "body-timeout",
        SendError::Upload(UploadError::Failed(_)) => "body-failed",
    }
}

/// The status of gRPC that stands for one of HTTP.
pub(super) fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        200..300 => 0,
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 6,
        429 => 8,
        499 => 1,
        501 => 12,
        503 => 14,
        504 => 4,
        500.. => 13,
        _ => 3,
    }
}

/// What is said of a status that nobody found words for.
fn default_message(status: StatusCode) -> Cow<'static, str> {
    let found = MESSAGES.iter().find(|(code, _)| *code == status.as_u16());
    found.map_or_else(
        || Cow::Owned(format!("The upstream server responded with {}", status.as_u16())),
        |(_, message)| Cow::Borrowed(*message),
    )
}

const MESSAGES: &[(u16, &str)] = &[
    (400, "Bad request"),
    (401, "Unauthorized"),
    (402, "Payment required"),
    (403, "Forbidden"),
    (404, "Not found"),
    (405, "Method not allowed"),
    (406, "Not acceptable"),
    (407, "Proxy authentication required"),
    (408, "Request timeout"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length required"),
    (412, "Precondition failed"),
    (413, "Payload too large"),
    (414, "URI too long"),
    (415, "Unsupported media type"),
    (416, "Range not satisfiable"),
    (417, "Expectation failed"),
    (418, "I'm a teapot"),
    (421, "Misdirected request"),
    (422, "Unprocessable entity"),
    (423, "Locked"),
    (424, "Failed dependency"),
    (425, "Too early"),
    (426, "Upgrade required"),
    (428, "Precondition required"),
    (429, "Too many requests"),
    (431, "Request header fields too large"),
    (451, "Unavailable for legal reasons"),
    (494, "Request header or cookie too large"),
    (500, "An unexpected error occurred"),
    (501, "Not implemented"),
    (502, "An invalid response was received from the upstream server"),
    (503, "The upstream server is currently unavailable"),
    (504, "The upstream server is timing out"),
    (505, "HTTP version not supported"),
    (506, "Variant also negotiates"),
    (507, "Insufficient storage"),
    (508, "Loop detected"),
    (510, "Not extended"),
    (511, "Network authentication required"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_those_of_grpc() {
        let cases = [(200, 0), (400, 3), (401, 16), (404, 5), (418, 3), (429, 8), (500, 13), (502, 13), (503, 14)];
        for (status, expected) in cases {
            assert_eq!(grpc_status(StatusCode::from_u16(status).unwrap()), expected, "{status}");
        }
    }
}
