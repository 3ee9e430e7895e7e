//! Connections that leave HTTP/1.1 for WebSocket. Nothing that the client says later goes anywhere until its target has
//! answered with 101; any other answer is a plain answer. Requests for other protocols, h2c among them, are served as plain
//! requests, which RFC 9110 §7.8 allows.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header, request::Parts};
use hyper::body::Body as _;

use super::{
    Body, Failure, Proxy, Session, answer,
    exchange::Care,
    forward::{Beside, Proxied},
    headers,
};
use crate::{
    listener::Afterwards,
    plugin::{Exchange, Origin},
    upstream::{Passed, ResponseBody, Tunnel},
};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Takes the HTTP engine's handle out of the request: what follows HTTP is handed over by the listener. True if the request
/// asks for another protocol.
pub(super) fn disarm(parts: &mut Parts) -> bool {
    !parts.extensions.is_empty() && parts.extensions.remove::<hyper::upgrade::OnUpgrade>().is_some()
}

/// Whether a request without a body asks for WebSocket, and for nothing else (RFC 6455 §4.1).
pub fn is_websocket(parts: &Parts) -> bool {
    let headers = &parts.headers;
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    parts.method == Method::GET && parts.version == Version::HTTP_11 && !has_body && names_websocket(headers)
}

/// Whether `Upgrade` is there once, is `websocket`, and is named by `Connection`.
fn names_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(header::UPGRADE).iter();
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    let lines = headers.get_all(header::CONNECTION).iter();
    let mut options = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    protocols.next().is_some_and(is_websocket)
        && protocols.next().is_none()
        && options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Asks a target to switch.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
    headers.insert(header::UPGRADE, WEBSOCKET);
}

/// Whether a target switched to what the client did not ask for.
pub(super) fn is_unasked(exchange: &Exchange, answer: &Response<Proxied>) -> bool {
    let is_switched = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    is_switched && !(exchange.switches && names_websocket(answer.headers()))
}

/// Whether the answer is that the connection leaves HTTP. Plugins may have made another of it.
pub(super) fn is_switched(exchange: &Exchange) -> bool {
    let is_switch = |status, origin| status == StatusCode::SWITCHING_PROTOCOLS && origin == Origin::Upstream;
    exchange.switches && exchange.response.as_ref().is_some_and(|head| is_switch(head.status, head.origin))
}

/// What is kept from the answer with 101 until the listener has sent it.
pub(super) struct Switched {
    tunnel: Tunnel,
    exchange: Care,
    _beside: Beside,
}

/// The answer with 101; what follows it waits in the session.
pub(super) fn switch(proxy: &Proxy, session: &Session, mut exchange: Care, answer: Proxied) -> Response<Body> {
    let Proxied { mut body, beside } = answer;
    let Some(tunnel) = ResponseBody::take_tunnel(&mut body) else {
        return refuse(proxy, exchange);
    };
    debug_assert!(body.is_end_stream(), "an answer with 101 has no body");
    headers::finish(proxy, &mut exchange);
    let mut response = Response::new(Body::from(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    if let Some(head) = &mut exchange.response {
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(header::UPGRADE, WEBSOCKET);
        response.headers_mut().clone_from(&head.headers);
    }
    session.switched.set(Some(Box::new(Switched { tunnel, exchange, _beside: beside })));
    response
}

/// A target whose connection did not follow its word.
fn refuse(proxy: &Proxy, mut exchange: Care) -> Response<Body> {
    exchange.tell(&Failure::Switched);
    let words = answer::word(&mut exchange, Failure::Switched, &proxy.settings().errors);
    headers::finish(proxy, &mut exchange);
    let head = exchange.response.clone();
    let mut response = Response::new(Body::from(words));
    if let Some(head) = head {
        (*response.status_mut(), *response.headers_mut()) = (head.status, head.headers);
    }
    response
}

/// An exchange that has left HTTP. What was said counts also when the connection is cut.
struct Talk {
    exchange: Care,
    passed: Passed,
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.exchange.bytes_in += self.passed.to_target.get();
        self.exchange.bytes_out += self.passed.to_client.get();
    }
}

/// What follows HTTP on a connection whose target has switched. The exchange ends, and is logged, with it.
pub(super) fn afterwards(session: &Session) -> Option<Afterwards> {
    let Switched { tunnel, exchange, _beside } = *session.switched.take()?;
    let talk = Talk { exchange, passed: Passed::default() };
    Some(Box::new(move |client, early| {
        Box::pin(async move {
            if let Err(error) = tunnel.run(client, early, &talk.passed).await {
                let (request_id, error) = (talk.exchange.id.as_str(), &error as &dyn std::error::Error);
                tracing::debug!(request_id, error, "an upgraded connection was broken off");
            }
            drop(_beside);
        })
    }))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asks(lines: &[(&str, &str)]) -> bool {
        let request = lines.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
        is_websocket(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn only_websocket_alone_is_an_upgrade() {
        let cases: [(&[(&str, &str)], bool); 8] = [
            (&[("connection", "Upgrade"), ("upgrade", "websocket")], true),
            (&[("connection", "keep-alive, upgrade"), ("upgrade", "WebSocket")], true),
            (&[("connection", "upgrade"), ("upgrade", "h2c")], false),
            (&[("connection", "upgrade"), ("upgrade", "websocket, h2c")], false),
            (&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")], false),
            (&[("connection", "keep-alive"), ("upgrade", "websocket")], false),
            (&[("connection", "upgrade"), ("upgrade", "websocket"), ("content-length", "3")], false),
            (&[("connection", "upgrade"), ("upgrade", "websocket"), ("transfer-encoding", "chunked")], false),
        ];
        for (lines, expected) in cases {
            assert_eq!(asks(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn only_a_get_of_http_1_1_is_an_upgrade() {
        for (method, version) in [(Method::POST, Version::HTTP_11), (Method::GET, Version::HTTP_10)] {
            let request = Request::builder().method(method).version(version).header("connection", "upgrade");
            let request = request.header("upgrade", "websocket").body(()).unwrap();
            assert!(!is_websocket(&request.into_parts().0));
        }
    }
}
