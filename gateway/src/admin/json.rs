//! JSON of clients, read strictly, and what they are told of what it is not.

use serde_json::{Value, error::Category};

use super::failure::Failure;
use crate::model::json;

/// The value that a whole text stands for.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Failure> {
    json::parse(bytes).map_err(|error| {
        Failure::Bad(match error.classify() {
            Category::Data => format!("JSON body: {error}"),
            _ => "Cannot parse JSON body".to_owned(),
        })
    })
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
