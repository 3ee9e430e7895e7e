//! Query strings and urlencoded forms.

use crate::body::Found;

/// The decoded pairs of `a=1&b=2`, in order. A name without `=` has the value `None`.
pub fn pairs(query: &str) -> impl Iterator<Item = (String, Option<String>)> + '_ {
    query.split('&').filter(|part| !part.is_empty()).map(|part| match part.split_once('=') {
        Some((name, value)) => (decode(name), Some(decode(value))),
        None => (decode(part), None),
    })
}

/// The values of one argument, decoded. Cheap when the name is not there.
pub fn values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    raw_parts(query).filter(move |(key, _)| is(key, name)).map(|(_, part)| match part.split_once('=') {
        Some((_, value)) => decode(value),
        None => String::new(),
    })
}

/// One argument, decoded.
pub fn get(query: &str, name: &str) -> Found {
    let mut values = values(query, name);
    match (values.next(), values.next()) {
        (None, _) => Found::Nothing,
        (Some(value), None) => Found::One(value),
        _ => Found::Several,
    }
}

/// The query without one argument; every other byte stays as it was.
pub fn without(query: &str, name: &str) -> String {
    let mut kept = String::with_capacity(query.len());
    for (_, part) in raw_parts(query).filter(|(key, _)| !is(key, name)) {
        if !kept.is_empty() {
            kept.push('&');
        }
        kept.push_str(part);
    }
    kept
}

/// Percent-encodes everything but unreserved characters (RFC 3986 §2.3).
pub fn encode(text: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// Undoes percent-encoding and `+`. A `%` without two digits stays; bytes that are not UTF-8 become U+FFFD.
pub fn decode(text: &str) -> String {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn digit(hexadecimal: u8) -> u8 {
    match hexadecimal {
        b'0'..=b'9' => hexadecimal - b'0',
        _ => (hexadecimal | 0x20) - b'a' + 10,
    }
}

fn raw_parts(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|part| !part.is_empty()).map(|part| match part.split_once('=') {
        Some((name, _)) => (name, part),
        None => (part, part),
    })
}

fn is(raw: &str, name: &str) -> bool {
    raw == name || (raw.bytes().any(|byte| byte == b'%' || byte == b'+') && decode(raw) == name)
}
