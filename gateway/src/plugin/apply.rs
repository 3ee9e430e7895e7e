//! What plugins decide, checked and applied: all of a decision or nothing of it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::PathAndQuery};

use super::{
    asked::{Asked, Side},
    bindings::sandgate::plugin::types::{
        HeaderOp, Refusal as RawRefusal, RequestChanges, RequestDecision, Response as RawResponse, ResponseDecision,
    },
    chain::{Flow, Refusal},
    exchange::{HeaderChange, Held, Origin, RequestBody, ResponseHead},
    instance::CallError,
    limits::Limits,
};

type Checked<T> = Result<T, CallError>;

/// Applies a request decision, and before it what was asked for.
pub(super) fn request(decision: RequestDecision, asked: Asked, exchange: &mut Held, limits: &Limits) -> Checked<Flow> {
    let asked = asked.checked()?;
    match decision {
        RequestDecision::Next => {
            change_headers(asked, exchange);
            Ok(Flow::Continue)
        }
        RequestDecision::Change(changes) => change_request(changes, asked, exchange, limits).map(|()| Flow::Continue),
        RequestDecision::Respond(raw) => {
            let (head, body) = response_of(raw, limits)?;
            exchange.response = Some(head);
            Ok(Flow::Answer(body))
        }
        RequestDecision::Refuse(raw) => refusal(raw).map(Flow::Refuse),
    }
}

/// Applies a response decision, and before it what was asked for. `Some`: the body is replaced.
pub(super) fn response(
    decision: ResponseDecision,
    asked: Asked,
    exchange: &mut Held,
    limits: &Limits,
) -> Checked<Option<Bytes>> {
    let asked = asked.checked()?;
    let already = asked.len();
    let asked = asked.into_iter().map(|(_, change)| change);
    match decision {
        ResponseDecision::Next => {
            if let Some(head) = &mut exchange.response {
                asked.for_each(|change| change.apply(&mut head.headers));
            }
            Ok(None)
        }
        ResponseDecision::Change(changes) => {
            let ops = header_changes(changes.headers, already, limits)?;
            let status = changes.status.map(|code| status(code, 200)).transpose()?;
            if let Some(head) = &mut exchange.response {
                asked.chain(ops).for_each(|op| op.apply(&mut head.headers));
                head.status = status.unwrap_or(head.status);
            }
            Ok(None)
        }
        ResponseDecision::Replace(raw) => {
            let (head, body) = response_of(raw, limits)?;
            exchange.response = Some(head);
            Ok(Some(body))
        }
    }
}

/// A refusal that the proxy can word.
pub(super) fn refusal(raw: RawRefusal) -> Checked<Refusal> {
    if raw.message.len() > 8_192 {
        return Err(CallError::Output(format!("a refusal with a message of {} bytes", raw.message.len())));
    }
    let mut headers = HeaderMap::with_capacity(raw.headers.len());
    for (name, value) in raw.headers {
        headers.append(header_name(&name)?, header_value(&name, value.into())?);
    }
    Ok(Refusal { status: status(raw.status, 400)?, message: raw.message, headers })
}

/// Applies to the answer what request phases asked for.
pub(super) fn deferred(exchange: &mut Held) {
    if exchange.response_changes.is_empty() {
        return;
    }
    let changes = std::mem::take(&mut exchange.response_changes);
    if let Some(head) = &mut exchange.response {
        changes.into_iter().for_each(|change| change.apply(&mut head.headers));
    }
}

fn change_headers(asked: Vec<(Side, HeaderChange)>, exchange: &mut Held) {
    for (side, change) in asked {
        match side {
            Side::Request => change_request_header(change, exchange),
            Side::Answer => exchange.response_changes.push(change),
        }
    }
}

fn change_request_header(change: HeaderChange, exchange: &mut Held) {
    if let HeaderChange::Set(name, value) = &change
        && name == header::HOST
    {
        exchange.upstream_host = Some(value.clone());
    }
    change.apply(&mut exchange.request.headers);
}

fn change_request(
    changes: RequestChanges,
    asked: Vec<(Side, HeaderChange)>,
    exchange: &mut Held,
    limits: &Limits,
) -> Checked<()> {
    let of_request = asked.iter().filter(|(side, _)| *side == Side::Request).count();
    let request_ops = header_changes(changes.headers, of_request, limits)?;
    let response_ops = header_changes(changes.response_headers, asked.len() - of_request, limits)?;
    let method = changes.method.map(|name| method(&name)).transpose()?;
    let path = changes.path.map(checked_path).transpose()?;
    let query = changes.query.map(checked_query).transpose()?;
    change_headers(asked, exchange);
    request_ops.into_iter().for_each(|op| change_request_header(op, exchange));
    exchange.response_changes.extend(response_ops);
    if let Some(method) = method {
        exchange.request.method = method;
    }
    if let Some(path) = path {
        exchange.upstream.path = path;
    }
    if let Some(query) = query {
        exchange.upstream.query = Some(query).filter(|query| !query.is_empty());
    }
    if let Some(body) = changes.body {
        exchange.body = RequestBody::Buffered(body.into());
        exchange.body_changed = true;
    }
    Ok(())
}

/// The changes of one side, of which there are some `already`.
fn header_changes(ops: Vec<HeaderOp>, already: usize, limits: &Limits) -> Checked<Vec<HeaderChange>> {
    let all = ops.len().saturating_add(already);
    if all > limits.headers {
        return Err(CallError::Output(format!("{all} header changes; at most {}", limits.headers)));
    }
    ops.into_iter().map(header_change).collect()
}

fn header_change(op: HeaderOp) -> Checked<HeaderChange> {
    Ok(match op {
        HeaderOp::Set((name, value)) => HeaderChange::Set(changeable(&name)?, header_value(&name, value.into())?),
        HeaderOp::Append((name, value)) => HeaderChange::Append(changeable(&name)?, header_value(&name, value.into())?),
        HeaderOp::Remove(name) => HeaderChange::Remove(changeable(&name)?),
    })
}

/// Framing belongs to the gateway: a plugin that could set it could smuggle requests.
pub(super) fn changeable(name: &str) -> Checked<HeaderName> {
    let parsed = header_name(name)?;
    let framing = [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
    ];
    if framing.contains(&parsed) {
        return Err(CallError::Output(format!("a change to '{name}', which belongs to the gateway")));
    }
    Ok(parsed)
}

fn header_name(name: &str) -> Checked<HeaderName> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| CallError::Output(format!("'{}' is not a header name", excerpt(name))))
}

pub(super) fn header_value(name: &str, value: Bytes) -> Checked<HeaderValue> {
    if value.len() > 32 << 10 {
        return Err(CallError::Output(format!("the value of '{name}' has {} bytes", value.len())));
    }
    HeaderValue::from_maybe_shared(value)
        .map_err(|_| CallError::Output(format!("the value of '{name}' has control characters")))
}

fn status(code: u16, from: u16) -> Checked<StatusCode> {
    let fits = (from..600).contains(&code);
    StatusCode::from_u16(code)
        .ok()
        .filter(|_| fits)
        .ok_or_else(|| CallError::Output(format!("{code} cannot be a status here")))
}

fn method(name: &str) -> Checked<Method> {
    Method::from_bytes(name.as_bytes()).map_err(|_| CallError::Output(format!("'{}' is not a method", excerpt(name))))
}

fn checked_path(path: String) -> Checked<String> {
    let fits = path.starts_with('/') && !path.contains(['?', '#']) && path.parse::<PathAndQuery>().is_ok();
    if fits { Ok(path) } else { Err(CallError::Output(format!("'{}' is not a path", excerpt(&path)))) }
}

fn checked_query(query: String) -> Checked<String> {
    let fits = !query.contains('#') && format!("/?{query}").parse::<PathAndQuery>().is_ok();
    if fits { Ok(query) } else { Err(CallError::Output(format!("'{}' is not a query", excerpt(&query)))) }
}

fn response_of(raw: RawResponse, limits: &Limits) -> Checked<(ResponseHead, Bytes)> {
    if raw.headers.len() > limits.headers || raw.body.len() > limits.output {
        let (headers, bytes) = (raw.headers.len(), raw.body.len());
        return Err(CallError::Output(format!("an answer with {headers} headers and {bytes} bytes")));
    }
    let mut headers = HeaderMap::with_capacity(raw.headers.len());
    for (name, value) in raw.headers {
        let name_of = header_name(&name)?;
        // The length follows the body, whatever the plugin says.
        if name_of != header::CONTENT_LENGTH {
            headers.append(changeable(&name)?, header_value(&name, value.into())?);
        }
    }
    let head = ResponseHead { status: status(raw.status, 200)?, headers, origin: Origin::Plugin };
    Ok((head, raw.body.into()))
}

fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_before_counts_too() {
        let limits = Limits { headers: 3, ..Limits::default() };
        for (already, fits) in [(0, true), (1, true), (2, false), (usize::MAX, false)] {
            let ops = vec![HeaderOp::Remove("x-a".into()), HeaderOp::Remove("x-b".into())];
            assert_eq!(header_changes(ops, already, &limits).is_ok(), fits, "{already}");
        }
    }
}
