//! Forms: `a.b=v`, `a[b]=v`, `a[]=v`, `a[1]=v` and repeats become objects and arrays of texts.

use percent_encoding::percent_decode;
use serde_json::Value;

use crate::model::Object;

/// More fields than this are refused.
pub(super) const MOST_FIELDS: usize = 1000;

/// Elements that indexes may leave open in one form.
const MOST_HOLES: usize = 2 * MOST_FIELDS;

/// What is deeper than this is one name.
const DEEPEST: usize = 32;

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Key(String),
    Index(usize),
    Append,
}

/// The names and values of a query or an urlencoded form. `None` when one of them is not UTF-8 or holds a NUL.
pub fn pairs(encoded: &[u8]) -> Option<Vec<(String, String)>> {
    let sequences = encoded.split(|byte| *byte == b'&').filter(|sequence| !sequence.is_empty());
    let pair = |sequence: &[u8]| {
        let (name, value) = match sequence.iter().position(|byte| *byte == b'=') {
            Some(at) => (&sequence[..at], &sequence[at + 1..]),
            None => (sequence, &[][..]),
        };
        Some((decode(name)?, decode(value)?))
    };
    sequences.map(pair).collect()
}

fn decode(encoded: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = encoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let text = String::from_utf8(percent_decode(&spaced).collect()).ok()?;
    (!text.contains('\0')).then_some(text)
}

/// The object that the fields of a form stand for. `None` when their indexes ask for far more than they fill.
pub fn object(fields: impl Iterator<Item = (String, Value)>) -> Option<Object> {
    let (mut whole, mut holes) = (Value::Object(Object::new()), 0);
    for (name, value) in fields {
        insert(&mut whole, &parts(&name), value, &mut holes);
        if holes > MOST_HOLES {
            return None;
        }
    }
    match whole {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Dots part names outside of brackets; what is in brackets is a name, an index, or nothing.
fn parts(name: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        if parts.len() == DEEPEST {
            parts.push(Part::Key(rest.to_owned()));
            break;
        }
        if let Some((inside, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            parts.push(match inside.parse() {
                Ok(index @ 1..=MOST_FIELDS) => Part::Index(index),
                _ if inside.is_empty() => Part::Append,
                _ => Part::Key(inside.to_owned()),
            });
            rest = after.strip_prefix('.').unwrap_or(after);
            continue;
        }
        let parting = |(_, character): &(usize, char)| matches!(character, '.' | '[');
        let end = rest.char_indices().skip(1).find(parting).map_or(rest.len(), |(at, _)| at);
        parts.push(Part::Key(rest[..end].to_owned()));
        rest = &rest[end..];
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    parts
}

fn insert(place: &mut Value, parts: &[Part], value: Value, holes: &mut usize) {
    let Some((first, rest)) = parts.split_first() else {
        match place {
            Value::Null => *place = value,
            Value::Array(elements) => elements.push(value),
            known => *known = Value::Array(vec![known.take(), value]),
        }
        return;
    };
    match first {
        Part::Key(key) => {
            if !place.is_object() {
                *place = Value::Object(Object::new());
            }
            if let Value::Object(object) = place {
                insert(object.entry(key.clone()).or_insert(Value::Null), rest, value, holes);
            }
        }
        Part::Append | Part::Index(_) => {
            if !place.is_array() {
                *place = if place.is_null() { Value::Array(Vec::new()) } else { Value::Array(vec![place.take()]) };
            }
            if let Value::Array(elements) = place {
                let at = match first {
                    Part::Index(index) => index - 1,
                    _ => elements.len(),
                };
                if elements.len() <= at {
                    *holes += at - elements.len();
                    elements.resize(at + 1, Value::Null);
                }
                insert(&mut elements[at], rest, value, holes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn forms_become_what_their_names_say() {
        for (pairs, expected) in [
            (&[("a.b.c", "v")][..], json!({"a": {"b": {"c": "v"}}})),
            (&[("hosts[]", "x"), ("hosts[]", "y")], json!({"hosts": ["x", "y"]})),
            (&[("hosts", "x"), ("hosts", "y"), ("hosts", "z")], json!({"hosts": ["x", "y", "z"]})),
            (&[("hosts[1]", "x"), ("hosts[2]", "y")], json!({"hosts": ["x", "y"]})),
            (&[("headers.X-Foo[]", "v")], json!({"headers": {"X-Foo": ["v"]}})),
            (&[("config[limits][sms][minute]", "5")], json!({"config": {"limits": {"sms": {"minute": "5"}}}})),
            (&[("config.limits.sms.minute", "5")], json!({"config": {"limits": {"sms": {"minute": "5"}}}})),
            (&[("fields[a.b]", "v")], json!({"fields": {"a.b": "v"}})),
        ] {
            let fields = pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
            assert_eq!(object(fields).map(Value::Object), Some(expected), "{pairs:?}");
        }
    }

    #[test]
    fn a_form_cannot_ask_for_much_more_than_it_holds() {
        let names = |count: usize| (0..count).map(|at| (format!("a{at}[1000][1000][1000]"), Value::from("v")));
        assert!(object(names(100)).is_none());
        assert!(object([("a[900]".to_owned(), Value::from("v"))].into_iter()).is_some());
    }

    #[test]
    fn pairs_are_decoded_or_refused() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (encoded, expected) in [
            (&b"a=1&b"[..], Some(vec![pair("a", "1"), pair("b", "")])),
            (b"a%5B%5D=x+y%zz&&", Some(vec![pair("a[]", "x y%zz")])),
            (b"=&a=b=c", Some(vec![pair("", ""), pair("a", "b=c")])),
            (b"a=%ff", None),
            (b"a=\xff", None),
            (b"%00=1", None),
        ] {
            assert_eq!(pairs(encoded), expected, "{}", String::from_utf8_lossy(encoded));
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read(names in proptest::collection::vec("[a-c.\\[\\]1-3é]{0,12}", 0..8)) {
            object(names.into_iter().map(|name| (name, Value::from("v"))));
        }
    }
}
