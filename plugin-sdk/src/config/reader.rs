//! Reads settings from JSON and collects every mistake with its place.

use serde_json::Value;

use super::{ConfigError, Field};

/// What a field's attribute says about its values.
#[derive(Debug)]
pub struct Rule {
    /// JSON of the value that an absent or null field has.
    pub default: Option<&'static str>,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Whether `min` itself is out.
    pub above: bool,
    /// Least length of a string, in characters.
    pub len_min: usize,
    /// The only values a string may have, when there are any.
    pub one_of: &'static [&'static str],
    /// For the elements of a list, set or map.
    pub items: Option<&'static Rule>,
}

impl Rule {
    /// Anything goes.
    pub const NONE: Rule = Rule {
        default: None,
        min: f64::NEG_INFINITY,
        max: f64::INFINITY,
        above: false,
        len_min: 0,
        one_of: &[],
        items: None,
    };
}

/// Where the reading is, and the mistakes so far.
#[derive(Debug, Default)]
pub struct Reader {
    path: String,
    errors: Vec<ConfigError>,
}

impl Reader {
    /// Notes a mistake at the current place.
    pub fn fail<T>(&mut self, message: &str) -> Option<T> {
        self.errors.push(ConfigError { path: self.path.clone(), message: message.into() });
        None
    }

    /// Reads something one level deeper.
    pub fn within<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let result = read(self);
        self.path.truncate(length);
        result
    }

    /// Starts a record.
    pub fn object(&mut self, value: Value) -> Option<Object> {
        match value {
            Value::Object(members) => Some(Object(members)),
            _ => self.fail("expected a record"),
        }
    }

    pub(super) fn check_number(&mut self, value: f64, rule: &Rule) {
        if value < rule.min || value > rule.max || (rule.above && value <= rule.min) {
            let (min, max) = (number(rule.min), number(rule.max));
            let message = match (rule.above, rule.max.is_finite()) {
                (true, _) => ["value must be greater than ", &min].concat(),
                (false, true) => ["value should be between ", &min, " and ", &max].concat(),
                (false, false) => ["value must be at least ", &min].concat(),
            };
            self.fail::<()>(&message);
        }
    }

    pub(super) fn check_text(&mut self, value: &str, rule: &Rule) {
        if value.chars().count() < rule.len_min {
            self.fail::<()>(&["length must be at least ", &rule.len_min.to_string()].concat());
        }
        if !rule.one_of.is_empty() && !rule.one_of.contains(&value) {
            self.not_one_of::<()>(rule.one_of);
        }
    }

    /// Notes that a value is none of these.
    pub fn not_one_of<T>(&mut self, names: &[&str]) -> Option<T> {
        let mut message = String::from("expected one of: ");
        message.push_str(&names.join(", "));
        self.fail(&message)
    }

    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors
    }
}

/// Whole numbers without a fraction.
fn number(value: f64) -> String {
    let mut text = serde_json::to_string(&value).unwrap_or_default();
    if text.ends_with(".0") {
        text.truncate(text.len() - 2);
    }
    text
}

/// A record being read: fields are taken out, what is left over is unknown.
#[derive(Debug)]
pub struct Object(serde_json::Map<String, Value>);

impl Object {
    /// Takes a field. Null counts as absent, and an absent field has its default.
    pub fn field<T: Field>(&mut self, name: &str, rule: &Rule, reader: &mut Reader) -> Option<T> {
        let value = self.0.remove(name).filter(|value| !value.is_null());
        reader.within(name, |reader| match value.or_else(|| default(rule)) {
            Some(value) => T::read(value, rule, reader),
            None => T::absent(reader),
        })
    }

    /// Ends the record: what is left must be one of `ignored`, or it is a mistake.
    pub fn finish(self, ignored: &[&str], reader: &mut Reader) {
        for name in self.0.keys().filter(|name| !ignored.contains(&name.as_str())) {
            reader.within(name, |reader| reader.fail::<()>("unknown field"));
        }
    }
}

fn default(rule: &Rule) -> Option<Value> {
    serde_json::from_str(rule.default?).ok()
}
