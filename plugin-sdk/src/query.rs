//! Query strings and urlencoded forms.

use crate::body::Found;

/// The decoded pairs of a query or a form, in order. A name without `=` has the value `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs(Vec<(String, Option<String>)>);

impl Pairs {
    /// From `a=1&b=2`.
    pub fn parse(text: &str) -> Self {
        let pair = |part: &str| match part.split_once('=') {
            Some((name, value)) => (decode(name), Some(decode(value))),
            None => (decode(part), None),
        };
        Self(text.split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Found {
        let mut values = self.0.iter().filter(|pair| pair.0 == name);
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Found::Several,
            (Some((_, Some(value))), None) => Found::One(value.clone()),
            _ => Found::Nothing,
        }
    }

    /// Whether there is such a name, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|pair| pair.0 == name)
    }

    /// Removes every value of a name. False when there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|pair| pair.0 != name);
        self.0.len() < before
    }

    /// Moves every value of a name to another, which loses its own.
    pub fn rename(&mut self, old: &str, new: &str) -> bool {
        if !self.has(old) {
            return false;
        }
        self.remove(new);
        for pair in self.0.iter_mut().filter(|pair| pair.0 == old) {
            pair.0 = new.into();
        }
        true
    }

    /// Gives a name that is there this value alone.
    pub fn replace(&mut self, name: &str, value: &str) -> bool {
        let Some(place) = self.0.iter().position(|pair| pair.0 == name) else { return false };
        self.0[place].1 = Some(value.into());
        let mut n = 0;
        self.0.retain(|pair| {
            n += 1;
            n <= place + 1 || pair.0 != name
        });
        true
    }

    /// Gives a name that is not there a value.
    pub fn add(&mut self, name: &str, value: &str) -> bool {
        let absent = !self.has(name);
        if absent {
            self.append(name, value);
        }
        absent
    }

    /// Gives a name one more value.
    pub fn append(&mut self, name: &str, value: &str) {
        self.0.push((name.into(), Some(value.into())));
    }

    /// Takes over the pairs of another; its names lose their values here.
    pub fn merge(&mut self, other: Pairs) {
        self.0.retain(|pair| !other.has(&pair.0));
        self.0.extend(other.0);
    }

    /// Orders the pairs by name; those of one name stay as they are.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `a=1&b=2` again.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.0 {
            if !out.is_empty() {
                out.push('&');
            }
            encode(name, &mut out);
            if let Some(value) = value {
                out.push('=');
                encode(value, &mut out);
            }
        }
        out
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_argument_is_found_decoded() {
        let cases = [
            ("", Found::Nothing),
            ("b=1", Found::Nothing),
            ("a=1&b=2", Found::One("1".into())),
            ("a=x%20y+z", Found::One("x y z".into())),
            ("%61=1", Found::One("1".into())),
            ("a=%4", Found::One("%4".into())),
            ("a", Found::One(String::new())),
            ("a=1&a=2", Found::Several),
        ];
        for (query, expected) in cases {
            assert_eq!(get(query, "a"), expected, "{query}");
        }
    }

    #[test]
    fn what_stays_keeps_its_bytes() {
        assert_eq!(without("x=%7e&a=1&&y=2+3&%61=9", "a"), "x=%7e&y=2+3");
        assert_eq!(without("a=1", "a"), "");
    }

    #[test]
    fn pairs_are_changed_in_place() {
        let mut pairs = Pairs::parse("a=1&b=2&a=3&c");
        assert!(pairs.rename("b", "n") && pairs.replace("a", "x y") && !pairs.add("n", "0") && pairs.add("z", "9"));
        pairs.append("c", "&");
        assert_eq!(pairs.encode(), "a=x%20y&n=2&c&z=9&c=%26");
        assert!(pairs.remove("c") && !pairs.remove("c") && !pairs.rename("c", "d") && !pairs.replace("c", "1"));
    }
}
