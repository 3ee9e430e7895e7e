//! `custom_fields_by_lua`: members that operators add to the access record, or take out of it.
//!
//! There is no Lua here. What most configurations say is understood: `return "text"`, `return 1`, `return true` and
//! `return nil`, which removes the member. Everything else is refused when the configuration is written.

use serde_json::Value;

use crate::{
    config::{ConfigError, Map, error},
    text::json,
};

/// The parsed setting.
#[derive(Debug, Default)]
pub struct CustomFields(Vec<(Vec<String>, Option<Value>)>);

impl CustomFields {
    /// From the setting. Errors: one for each expression that is no literal.
    pub fn parse(setting: Option<&Map<String>>) -> Result<Self, Vec<ConfigError>> {
        let (mut fields, mut errors) = (Vec::new(), Vec::new());
        for (name, source) in setting.into_iter().flatten() {
            match literal(source) {
                Some(value) => fields.push((steps(name), value)),
                None => errors.push(error(
                    &["custom_fields_by_lua.", name].concat(),
                    "Lua is not available: only 'return' with a literal or nil is understood",
                )),
            }
        }
        if errors.is_empty() { Ok(Self(fields)) } else { Err(errors) }
    }

    /// Whether records stay as they are.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The access record with the fields. It stays as it is when there are none.
    pub fn apply(&self, record: String) -> String {
        if self.0.is_empty() {
            return record;
        }
        let Some(mut root) = json(record.as_bytes()) else { return record };
        for (steps, value) in &self.0 {
            place(&mut root, steps, value.as_ref());
        }
        serde_json::to_string(&root).unwrap_or(record)
    }
}

/// `a.b\.c` is `a`, then `b.c`.
fn steps(name: &str) -> Vec<String> {
    let mut steps = vec![String::new()];
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        match (character, steps.last_mut()) {
            ('.', _) => steps.push(String::new()),
            ('\\', Some(step)) => step.extend(characters.next()),
            (other, Some(step)) => step.push(other),
            (_, None) => {}
        }
    }
    steps
}

/// The value that the source returns: `Some(None)` for nil, `None` for what is no literal.
fn literal(source: &str) -> Option<Option<Value>> {
    let value = source.trim().strip_prefix("return")?;
    let value = value.strip_suffix(';').unwrap_or(value);
    if !value.starts_with([' ', '\t', '\n', '"', '\'']) {
        return None;
    }
    match value.trim() {
        "nil" => Some(None),
        "true" => Some(Some(Value::Bool(true))),
        "false" => Some(Some(Value::Bool(false))),
        text => quoted(text).map(Value::String).or_else(|| number(text)).map(Some),
    }
}

fn number(text: &str) -> Option<Value> {
    let number = json(text.as_bytes())?;
    number.is_number().then_some(number)
}

/// The text between two quotes of one kind, without escapes or further quotes in it.
fn quoted(text: &str) -> Option<String> {
    ['"', '\''].into_iter().find_map(|quote| {
        let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inside.contains([quote, '\\'])).then(|| inside.into())
    })
}

fn place(value: &mut Value, steps: &[String], new: Option<&Value>) {
    let (Value::Object(members), Some((step, rest))) = (value, steps.split_first()) else { return };
    match (rest.is_empty(), new) {
        (true, Some(new)) => {
            members.insert(step.clone(), new.clone());
        }
        (true, None) => {
            members.remove(step);
        }
        (false, Some(_)) => {
            place(members.entry(step.clone()).or_insert_with(|| Value::Object(Default::default())), rest, new)
        }
        (false, None) => {
            if let Some(next) = members.get_mut(step) {
                place(next, rest, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(name: &str, source: &str, record: &str) -> Result<String, Vec<ConfigError>> {
        let setting = Map::from([(name.to_owned(), source.to_owned())]);
        CustomFields::parse(Some(&setting)).map(|fields| fields.apply(record.into()))
    }

    #[test]
    fn literals_are_placed_and_nil_removes() {
        let cases = [
            ("a", "return 'v'", r#"{"a":"v","b":{"c":1}}"#),
            ("a", "return \"v\"", r#"{"a":"v","b":{"c":1}}"#),
            ("a", "return 12", r#"{"a":12,"b":{"c":1}}"#),
            ("b.d", "return true", r#"{"b":{"c":1,"d":true}}"#),
            ("b\\.d", "return 1", r#"{"b":{"c":1},"b.d":1}"#),
            ("b.c", "return nil", r#"{"b":{}}"#),
            ("b", "return nil", "{}"),
            ("x.y", "return nil", r#"{"b":{"c":1}}"#),
            ("x.y", "return 1", r#"{"b":{"c":1},"x":{"y":1}}"#),
        ];
        for (name, source, expected) in cases {
            let result = apply(name, source, r#"{"b":{"c":1}}"#);
            let members = |text: &str| serde_json::from_str::<Value>(text).expect("it is JSON");
            assert_eq!(result.as_deref().map(members), Ok(members(expected)), "{name}: {source}");
        }
    }

    #[test]
    fn lua_is_refused() {
        for source in ["return kong.request.get_path()", "return 'a' .. 'b'", "local x = 1", "", "returnnil"] {
            let errors = apply("a", source, "{}").expect_err(source);
            assert_eq!(errors[0].path, "custom_fields_by_lua.a");
        }
    }
}
