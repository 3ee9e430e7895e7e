//! The types that fields of settings may have.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Reader, Rule};

/// A type that settings are made of.
pub trait Field: Sized {
    /// Writes the schema keywords of the type; `items` are more of them for the elements of a list, set or map, each with a
    /// comma before it.
    fn keywords(out: &mut String, items: &str);

    /// Reads a value that is not null.
    fn read(value: Value, rule: &Rule, reader: &mut Reader) -> Option<Self>;

    /// What a field has that is not there and has no default.
    fn absent(reader: &mut Reader) -> Option<Self> {
        reader.fail("required field missing")
    }
}

/// A list without repetitions.
pub type Set<T> = std::collections::BTreeSet<T>;

/// Values by name.
pub type Map<T> = BTreeMap<String, T>;

impl Field for String {
    fn keywords(out: &mut String, _items: &str) {
        out.push_str("\"type\":\"string\"");
    }

    fn read(value: Value, rule: &Rule, reader: &mut Reader) -> Option<Self> {
        let Value::String(text) = value else { return reader.fail("expected a string") };
        reader.check_text(&text, rule);
        Some(text)
    }
}

impl Field for bool {
    fn keywords(out: &mut String, _items: &str) {
        out.push_str("\"type\":\"boolean\"");
    }

    fn read(value: Value, _rule: &Rule, reader: &mut Reader) -> Option<Self> {
        value.as_bool().or_else(|| reader.fail("expected a boolean"))
    }
}

impl Field for f64 {
    fn keywords(out: &mut String, _items: &str) {
        out.push_str("\"type\":\"number\"");
    }

    fn read(value: Value, rule: &Rule, reader: &mut Reader) -> Option<Self> {
        let Some(number) = value.as_f64() else { return reader.fail("expected a number") };
        reader.check_number(number, rule);
        Some(number)
    }
}

fn integer(value: &Value, rule: &Rule, reader: &mut Reader) -> Option<i64> {
    let whole = |number: f64| (number.trunc() == number && number.abs() < 9e15).then_some(number as i64);
    let Some(number) = value.as_i64().or_else(|| value.as_f64().and_then(whole)) else {
        return reader.fail("expected an integer");
    };
    reader.check_number(number as f64, rule);
    Some(number)
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn keywords(out: &mut String, _items: &str) {
                out.push_str("\"type\":\"integer\"");
            }

            fn read(value: Value, rule: &Rule, reader: &mut Reader) -> Option<Self> {
                let number = integer(&value, rule, reader)?;
                number.try_into().ok().or_else(|| reader.fail("expected an integer of this size"))
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i32, i64, usize);

impl<T: Field> Field for Option<T> {
    fn keywords(out: &mut String, items: &str) {
        T::keywords(out, items);
    }

    fn read(value: Value, rule: &Rule, reader: &mut Reader) -> Option<Self> {
        T::read(value, rule, reader).map(Some)
    }

    fn absent(_reader: &mut Reader) -> Option<Self> {
        Some(None)
    }
}

fn elements<T: Field>(value: Value, rule: &Rule, reader: &mut Reader) -> Option<Vec<T>> {
    let Value::Array(values) = value else { return reader.fail("expected an array") };
    let rule = rule.items.unwrap_or(&Rule::NONE);
    let mut list = Vec::with_capacity(values.len());
    for (place, value) in values.into_iter().enumerate() {
        let name = serde_json::to_string(&(place + 1)).unwrap_or_default();
        list.extend(reader.within(&name, |reader| T::read(value, rule, reader)));
    }
    Some(list)
}

fn list_keywords<T: Field>(out: &mut String, items: &str) {
    out.push_str("\"type\":\"array\",\"items\":{");
    T::keywords(out, "");
    out.push_str(items);
    out.push('}');
}

impl<T: Field> Field for Vec<T> {
    fn keywords(out: &mut String, items: &str) {
        list_keywords::<T>(out, items);
    }

    fn read(value: Value, rule: &Rule, reader: &mut Reader) -> Option<Self> {
        elements(value, rule, reader)
    }
}

impl<T: Field + Ord> Field for Set<T> {
    fn keywords(out: &mut String, items: &str) {
        list_keywords::<T>(out, items);
        out.push_str(",\"uniqueItems\":true");
    }

    fn read(value: Value, rule: &Rule, reader: &mut Reader) -> Option<Self> {
        elements(value, rule, reader).map(|list| list.into_iter().collect())
    }
}

impl<T: Field> Field for Map<T> {
    fn keywords(out: &mut String, items: &str) {
        out.push_str("\"type\":\"object\",\"additionalProperties\":{");
        T::keywords(out, "");
        out.push_str(items);
        out.push('}');
    }

    fn read(value: Value, rule: &Rule, reader: &mut Reader) -> Option<Self> {
        let Value::Object(members) = value else { return reader.fail("expected a map") };
        let rule = rule.items.unwrap_or(&Rule::NONE);
        let read = |(name, value): (String, Value)| {
            let value = reader.within(&name, |reader| T::read(value, rule, reader))?;
            Some((name, value))
        };
        Some(members.into_iter().filter_map(read).collect())
    }
}
