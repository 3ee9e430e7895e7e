//! The words of answers that the gateway makes itself, in the format that the client asked for.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    Proxy, Session,
    failure::{Failure, Family, grpc_status},
    headers::name_oneself,
    refusals::Reason,
    templates::ErrorWords,
    words,
};
use crate::{
    config::{AnswerHeaders, ErrorFormat},
    listener::Malformed,
    plugin::{Exchange, Origin, RequestId, ResponseHead},
};

/// What the body of an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    In(ErrorFormat),
    /// Asked for gRPC without speaking it: nothing at all, as Kong.
    Blank,
}

/// Words a failure: the head goes into the exchange, the body is returned.
pub(super) fn word(exchange: &mut Exchange, mut failure: Failure, words: &ErrorWords) -> Bytes {
    let (status, mut headers) = (failure.status(), failure.headers());
    if exchange.request.version == Version::HTTP_2 {
        headers.remove(header::CONNECTION);
        headers.remove(header::UPGRADE);
    }
    let body = if is_grpc(exchange) {
        word_grpc(&failure, &mut headers)
    } else {
        let format = choose(&exchange.request.headers, failure.family(), words.default_format);
        word_plain(format, &failure, exchange.id, words, &mut headers)
    };
    exchange.response = Some(ResponseHead { status, headers, origin: Origin::Gateway });
    body
}

/// Words the answer to a request that never became one.
pub(super) fn malformed(proxy: &Proxy, session: &Session, malformed: Malformed) -> Response<Bytes> {
    let failure = match malformed {
        Malformed::Request => Failure::BadRequest(Reason::Malformed, "it breaks the grammar of HTTP"),
        Malformed::Lengths => Failure::BadRequest(Reason::Lengths, "its length is given in two ways"),
        Malformed::Coding => Failure::BadRequest(Reason::Coding, "its body is coded in another way than chunked"),
        Malformed::Headers => Failure::HeadersTooLarge,
        Malformed::Uri => Failure::UriTooLong,
        Malformed::Crashed => Failure::Crashed,
    };
    let (id, settings) = (proxy.next_id(), proxy.settings());
    failure.log(id.as_str(), session.connection.peer.ip(), &settings.refusals);
    let mut headers = HeaderMap::with_capacity(8);
    let format = Format::In(settings.errors.default_format);
    let body = word_plain(format, &failure, id, &settings.errors, &mut headers);
    name_oneself(&mut headers, settings.headers);
    if settings.headers.has(AnswerHeaders::RESPONSE_LATENCY) {
        headers.insert(words::X_KONG_RESPONSE_LATENCY, proxy.words.number(0));
    }
    if settings.headers.has(AnswerHeaders::REQUEST_ID) {
        headers.insert(words::X_KONG_REQUEST_ID, words::text(id.as_str()));
    }
    let mut answer = Response::new(body);
    *answer.status_mut() = failure.status();
    *answer.headers_mut() = headers;
    answer
}

/// Makes an answer of a plugin one that clients of gRPC understand: a status and a message in place of a body.
pub(super) fn suit(exchange: &mut Exchange, body: Bytes) -> Bytes {
    if !is_grpc(exchange) {
        return body;
    }
    let Some(head) = &mut exchange.response else { return body };
    let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let message = said.as_ref().and_then(|said| said.get("message")?.as_str());
    let message = message.map_or_else(|| String::from_utf8_lossy(&body), Cow::Borrowed);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head.headers.insert(words::GRPC_STATUS, HeaderValue::from(grpc_status(head.status)));
    head.headers.insert(words::GRPC_MESSAGE, grpc_message(&message));
    Bytes::new()
}

/// A message of gRPC is percent-encoded outside printable ASCII.
fn grpc_message(message: &str) -> HeaderValue {
    const REST: &AsciiSet = &CONTROLS.add(b'%');
    words::text(&utf8_percent_encode(message, REST).to_string())
}

fn is_grpc(exchange: &Exchange) -> bool {
    let request = &exchange.request;
    request.version == Version::HTTP_2 && words::is_grpc(request.headers.get(header::CONTENT_TYPE))
}

fn word_grpc(failure: &Failure, headers: &mut HeaderMap) -> Bytes {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(words::GRPC_STATUS, HeaderValue::from(failure.grpc_status()));
    headers.insert(words::GRPC_MESSAGE, grpc_message(&failure.message()));
    Bytes::new()
}

fn word_plain(format: Format, failure: &Failure, id: RequestId, words: &ErrorWords, headers: &mut HeaderMap) -> Bytes {
    let (message, id) = (failure.message(), id.as_str());
    if failure.family() == Family::Redirect {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
        return redirect_page(failure.status()).into();
    }
    let Format::In(format) = format else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(""));
        return Bytes::new();
    };
    let message = written_in(format, &message);
    let (kind, own): (_, fn(&str, &str) -> String) = match format {
        ErrorFormat::Json => ("application/json; charset=utf-8", json_object),
        ErrorFormat::Plain => ("text/plain; charset=utf-8", plain_lines),
        ErrorFormat::Html => ("text/html; charset=utf-8", html_page),
        ErrorFormat::Xml => ("application/xml; charset=utf-8", xml_document),
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    words.fill(format, &message, id).unwrap_or_else(|| own(&message, id)).into()
}

/// A message as it stands in a body, in JSON between quotes.
fn written_in(format: ErrorFormat, message: &str) -> Cow<'_, str> {
    match format {
        ErrorFormat::Json => {
            let quoted = serde_json::Value::from(message).to_string();
            quoted[1..quoted.len() - 1].to_owned().into()
        }
        ErrorFormat::Plain => message.into(),
        ErrorFormat::Html | ErrorFormat::Xml => escape(message),
    }
}

fn json_object(message: &str, id: &str) -> String {
    format!("{{\n  \"message\":\"{message}\",\n  \"request_id\":\"{id}\"\n}}")
}

fn plain_lines(message: &str, id: &str) -> String {
    format!("{message}\nrequest_id: {id}\n")
}

fn html_page(message: &str, id: &str) -> String {
    format!(
        "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n  <body>\n    \
         <h1>Error</h1>\n    <p>{message}.</p>\n    <p>request_id: {id}</p>\n  </body>\n</html>\n"
    )
}

fn xml_document(message: &str, id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>{message}</message>\n  \
         <requestid>{id}</requestid>\n</error>\n"
    )
}

fn redirect_page(status: StatusCode) -> String {
    let title = match status {
        StatusCode::FOUND => "302 Found".to_owned(),
        status => status.to_string(),
    };
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
}

fn escape(text: &str) -> Cow<'_, str> {
    if text.contains(['&', '<', '>']) {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into()
    } else {
        text.into()
    }
}

fn choose(headers: &HeaderMap, family: Family, default: ErrorFormat) -> Format {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<&str> = accepted.flat_map(|list| list.split(',')).collect();
    if !accepted.is_empty() || family == Family::Decision {
        return preferred(&accepted).unwrap_or(Format::In(ErrorFormat::Json));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.and_then(format_of).unwrap_or(Format::In(default))
}

/// The format with the highest quality, the first of equals.
fn preferred(accepted: &[&str]) -> Option<Format> {
    let mut best: Option<(Format, f32)> = None;
    for media_range in accepted {
        let quality = quality(media_range);
        if let Some(format) = format_of(media_range).filter(|_| quality > best.map_or(0.0, |(_, best)| best)) {
            best = Some((format, quality));
        }
    }
    best.map(|(format, _)| format)
}

fn quality(media_range: &str) -> f32 {
    let parameters = media_range.split(';').skip(1).map(str::trim);
    let quality = parameters.filter_map(|parameter| parameter.strip_prefix("q=")).next();
    quality.map_or(1.0, |quality| quality.trim().parse().unwrap_or(1.0))
}

fn format_of(media_range: &str) -> Option<Format> {
    let kind = media_range.split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "application/json" | "application/*" | "*/*" => Some(Format::In(ErrorFormat::Json)),
        "text/plain" => Some(Format::In(ErrorFormat::Plain)),
        "text/html" | "text/*" => Some(Format::In(ErrorFormat::Html)),
        "application/xml" | "text/xml" => Some(Format::In(ErrorFormat::Xml)),
        "application/grpc" => Some(Format::Blank),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_client_chooses_the_format() {
        let cases = [
            ("application/json", Format::In(ErrorFormat::Json)),
            ("text/html", Format::In(ErrorFormat::Html)),
            ("text/html;q=0.1, application/xml", Format::In(ErrorFormat::Xml)),
            ("text/plain;q=0.5, text/html; q=0.5", Format::In(ErrorFormat::Plain)),
            ("*/*", Format::In(ErrorFormat::Json)),
            ("image/png", Format::In(ErrorFormat::Json)),
            ("image/png, text/plain;q=0.1", Format::In(ErrorFormat::Plain)),
            ("application/grpc", Format::Blank),
            ("text/html;q=0", Format::In(ErrorFormat::Json)),
        ];
        for (value, expected) in cases {
            assert_eq!(choose(&accept(value), Family::Decision, ErrorFormat::Plain), expected, "{value}");
        }
    }

    #[test]
    fn without_a_wish_decisions_are_json_and_breakdowns_follow_the_body() {
        let kind = |value| HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
        let choose = |headers: &HeaderMap, family| choose(headers, family, ErrorFormat::Html);
        assert_eq!(choose(&kind("application/xml"), Family::Decision), Format::In(ErrorFormat::Json));
        assert_eq!(choose(&kind("application/xml"), Family::Breakdown), Format::In(ErrorFormat::Xml));
        assert_eq!(choose(&kind("image/png"), Family::Breakdown), Format::In(ErrorFormat::Html));
        assert_eq!(choose(&HeaderMap::new(), Family::Breakdown), Format::In(ErrorFormat::Html));
    }

    #[test]
    fn words_of_plugins_cannot_break_out_of_a_body() {
        assert_eq!(escape("<b>&"), "&lt;b&gt;&amp;");
        let failure = Failure::BadRequest(Reason::Malformed, "");
        let body = word_plain(
            Format::In(ErrorFormat::Json),
            &failure,
            RequestId::new(0),
            &ErrorWords::default(),
            &mut HeaderMap::new(),
        );
        serde_json::from_slice::<serde_json::Value>(&body).unwrap();
    }
}
