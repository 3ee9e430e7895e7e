//! JSON, more strictly than the grammar: a name that comes twice in one object has two readings, and a NUL cannot be kept
//! by every database. Depth is bounded by the parser.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::Object;

/// The value that a whole text stands for. What is JSON and yet refused is an error of the category `Data`.
///
/// # Errors
/// What is wrong, and where.
pub fn parse(bytes: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(bytes).map(|Strict(value)| value)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        if text.contains('\0') { Err(E::custom("a text holds a NUL character")) } else { Ok(text.into()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(Strict(element)) = access.next_element()? {
            elements.push(element);
        }
        Ok(elements.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        while let Some(name) = access.next_key::<String>()? {
            if name.contains('\0') {
                return Err(A::Error::custom("a name holds a NUL character"));
            }
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the name {name:?} comes twice in one object")));
            }
            let Strict(value) = access.next_value()?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::error::Category;

    use super::*;

    #[test]
    fn what_has_two_readings_is_no_matter_of_grammar() {
        for (text, part) in [
            (r#"{"a":1,"a":2}"#, r#"the name "a" comes twice in one object at line 1 column 10"#),
            (r#"{"a":[{"b":1,"b":1}]}"#, r#""b" comes twice"#),
            (r#"{"a":1,"\u0061":2}"#, r#""a" comes twice"#),
            (r#"{"a":"x\u0000y"}"#, "NUL"),
            (r#"{"a\u0000":1}"#, "NUL"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.classify() == Category::Data && error.to_string().contains(part), "{text}: {error}");
        }
    }
}
