//! JSON of clients, more strictly than the grammar: a name that comes twice in one object has two readings, and a NUL
//! cannot be kept by every database. Depth is bounded by the parser.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, error::Category};

use super::failure::Failure;
use crate::model::Object;

/// The value that a whole text stands for.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Failure> {
    match read(bytes) {
        Ok(value) => Ok(value),
        Err(error) if error.classify() == Category::Data => Err(Failure::Bad(format!("JSON body: {error}"))),
        Err(_) => Err(Failure::Bad("Cannot parse JSON body".to_owned())),
    }
}

/// The same, before it is said in an answer why there is no value.
///
/// # Errors
/// When the bytes are no JSON, or have two readings.
pub fn read(bytes: &[u8]) -> serde_json::Result<Value> {
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
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> String {
        match parse(text.as_bytes()) {
            Err(Failure::Bad(message)) => message,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        assert_eq!(
            refusal(r#"{"a":1,"a":2}"#),
            r#"JSON body: the name "a" comes twice in one object at line 1 column 10"#
        );
        assert!(refusal(r#"{"a":[{"b":1,"b":1}]}"#).contains("\"b\" comes twice"));
        assert!(refusal(r#"{"a":"x\u0000y"}"#).contains("NUL"));
        assert!(refusal(r#"{"a\u0000":1}"#).contains("NUL"));
    }

    #[test]
    fn what_is_no_json_is_refused_in_kongs_words() {
        let deep = "[".repeat(100_000);
        for text in ["", "{", "nul", "{\"a\":1e400}", "\"\\ud800\"", "[1,]", "{'a':1}", "\u{feff}{}", &deep] {
            assert_eq!(refusal(text), "Cannot parse JSON body", "{text:.20}");
        }
    }

    proptest! {
        #[test]
        fn everything_else_is_read_as_it_stands(text in ".*") {
            let value = serde_json::json!({ "a": [text.replace('\0', ""), 1, -2.5, null, true] });
            prop_assert_eq!(parse(value.to_string().as_bytes()).unwrap(), value);
        }
    }
}
