//! A request's line in the access log: nginx's combined format with the request id.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, header};

use crate::{
    plugin::Exchange,
    telemetry::{calendar, escaped},
};

/// What is said of a request.
pub(super) fn line(exchange: &Exchange) -> String {
    let mut line = String::with_capacity(256);
    let head = &exchange.request;
    let status = exchange.response.as_ref().map_or(499, |head| head.status.as_u16());
    let target = escaped(head.target.path_and_query().map_or("/", |target| target.as_str()).as_bytes());
    let (method, version, id) = (&exchange.client_method, head.version, exchange.id.as_str());
    let time = calendar(exchange.timing.started_at);
    let _ = write!(line, "{} - - [{time}] \"{method} {target} {version:?}\" {status} ", exchange.client);
    let _ = write!(line, "{} \"{}\" ", exchange.bytes_out, quoted(&head.headers, &header::REFERER));
    let _ = writeln!(line, "\"{}\" kong_request_id: \"{id}\"", quoted(&head.headers, &header::USER_AGENT));
    line
}

/// A header as it may stand between quotes.
fn quoted(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get(name).map_or_else(|| "-".to_owned(), |value| escaped(value.as_bytes()))
}
