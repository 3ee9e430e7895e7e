//! What consistent hashing goes by in a request.

use std::borrow::Cow;

use http::{HeaderValue, header};
use uuid::Uuid;

use crate::{
    balancer::stable_hash,
    plugin::{Exchange, HeaderChange},
    snapshot::{Cookie, HashInput, Hashing},
};

/// The hash of a request; `None` if it has nothing of what is looked at.
pub(super) fn hash(exchange: &mut Exchange, hashing: &Hashing) -> Option<u64> {
    let on = input(exchange, &hashing.on).filter(|input| !input.is_empty());
    let input = on.or_else(|| input(exchange, &hashing.fallback));
    input.filter(|input| !input.is_empty()).map(|input| stable_hash(&input))
}

fn input(exchange: &mut Exchange, wanted: &HashInput) -> Option<Vec<u8>> {
    match wanted {
        HashInput::None => None,
        HashInput::Consumer => {
            let consumer = exchange.consumer.as_ref().map(|entry| &entry.consumer.id);
            let id = consumer.or_else(|| exchange.credential.as_ref().map(|credential| &credential.id));
            id.map(|id| id.as_bytes().to_vec())
        }
        HashInput::Ip => Some(exchange.client.to_string().into_bytes()),
        HashInput::Header(name) => {
            let values: Vec<_> = exchange.request.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            Some(values.join(&b", "[..]))
        }
        HashInput::Cookie(cookie) => Some(own_or_new(exchange, cookie)),
        HashInput::Path => Some(exchange.path.as_bytes().to_vec()),
        HashInput::QueryArg(name) => argument(exchange.request.target.query()?, name),
        HashInput::UriCapture(name) => {
            let group = exchange.captures.iter().find(|(group, _)| **group == **name);
            group.map(|(_, text)| text.as_bytes().to_vec())
        }
    }
}

/// Every value of an argument, in an order of their own: the client's says nothing.
fn argument(query: &str, name: &str) -> Option<Vec<u8>> {
    let arguments = form_urlencoded::parse(query.as_bytes()).filter(|(argument, _)| argument == name);
    let mut values: Vec<Cow<'_, str>> = arguments.map(|(_, value)| value).collect();
    values.sort_unstable();
    Some(values.concat().into_bytes())
}

/// The client's cookie. Without one it gets one that leads it to the same target again.
fn own_or_new(exchange: &mut Exchange, cookie: &Cookie) -> Vec<u8> {
    let headers = exchange.request.headers.get_all(header::COOKIE).iter();
    let pairs = headers.flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    let own = pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(cookie.name.as_bytes())?.strip_prefix(b"="));
    if let Some(value) = own.map(<[u8]>::to_vec).find(|value| !value.is_empty()) {
        return value;
    }
    let value = Uuid::new_v4().to_string();
    // `Same-Site` is no attribute that browsers know; it is what Kong's clients get.
    let line = format!("{}={value}; Path={}; Same-Site=Lax; HttpOnly", cookie.name, cookie.path);
    if let Ok(line) = HeaderValue::try_from(line) {
        exchange.response_changes.push(HeaderChange::Append(header::SET_COOKIE, line));
    }
    value.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_an_argument_count_whatever_their_order() {
        assert_eq!(argument("a=2&b=9&a=1%20", "a"), argument("a=1+&a=2", "a"));
        assert_eq!(argument("b=1", "a"), Some(Vec::new()));
    }
}
