//! Rules on one value. Their order is that in which Kong checks them: the first that fails gives the message.

use std::sync::Arc;

use regex::Regex;
use serde_json::{Value, json};

use super::{Pattern, TextKind, describe::number};
use crate::model::Object;

/// One rule on a value that is not null and has the right type.
#[derive(Debug, Clone)]
pub enum Rule {
    /// Equal to this; `null` forbids any value.
    Eq(Value),
    /// Different from this.
    Ne(Value),
    /// None of these.
    NotOneOf(Vec<Value>),
    /// One of these.
    OneOf(Vec<Value>),
    /// Greater than this.
    Gt(f64),
    /// A UUID.
    Uuid,
    /// A regular expression that compiles.
    IsRegex,
    /// Within these, both included.
    Between(f64, f64),
    /// Bytes of a text or elements, exactly.
    LenEq(usize),
    /// Bytes of a text or elements, at least.
    LenMin(usize),
    /// Bytes of a text or elements, at most.
    LenMax(usize),
    /// A text that begins so.
    StartsWith(Arc<str>),
    /// A text that none of these match.
    MatchNone(Vec<Pattern>),
    /// A text that this matches.
    Match(Pattern),
    /// A text that all of these match.
    MatchAll(Vec<Pattern>),
    /// A text that one of these matches, or else this message.
    MatchAny(Vec<Pattern>, Option<Arc<str>>),
    /// An array that has this element.
    Contains(Value),
    /// Each element keeps these.
    Elements(Vec<Rule>),
    /// A text of this form.
    Text(TextKind),
    /// A record of two PEM texts, `private_key` and `public_key`, that belong together.
    KeyPair,
    /// Elements are all of one of these sets.
    ExclusiveSubsets(Vec<Vec<&'static str>>),
    /// Not null: only where a check adds rules to a field.
    Required,
}

impl Rule {
    /// Its place among the rules of a field.
    pub(super) fn order(&self) -> u8 {
        match self {
            Rule::Required => 0,
            Rule::Eq(_) => 1,
            Rule::Ne(_) => 2,
            Rule::NotOneOf(_) => 3,
            Rule::OneOf(_) => 4,
            Rule::Gt(_) => 5,
            Rule::Uuid => 6,
            Rule::IsRegex => 7,
            Rule::Between(..) => 8,
            Rule::LenEq(_) | Rule::LenMin(_) | Rule::LenMax(_) => 9,
            Rule::StartsWith(_) => 10,
            Rule::MatchNone(_) => 11,
            Rule::Match(_) => 12,
            Rule::MatchAll(_) => 13,
            Rule::MatchAny(..) => 14,
            Rule::Contains(_) => 15,
            Rule::Elements(_) => 16,
            Rule::Text(_) | Rule::KeyPair => 17,
            Rule::ExclusiveSubsets(_) => 18,
        }
    }

    /// The message, if a value breaks the rule. Null breaks only what demands a value.
    pub(super) fn broken(&self, value: &Value) -> Option<String> {
        if value.is_null() {
            return match self {
                Rule::Required => Some("required field missing".to_owned()),
                Rule::Eq(wanted) if !wanted.is_null() => Some(format!("value must be {}", plain(wanted))),
                Rule::Ne(Value::Null) => Some("value must not be null".to_owned()),
                _ => None,
            };
        }
        match self {
            Rule::Eq(Value::Null) => Some("value must be null".to_owned()),
            Rule::Eq(wanted) => (value != wanted).then(|| format!("value must be {}", plain(wanted))),
            Rule::Ne(refused) => (value == refused).then(|| format!("value must not be {}", plain(refused))),
            Rule::NotOneOf(refused) => {
                refused.contains(value).then(|| format!("must not be one of: {}", listed(refused)))
            }
            Rule::OneOf(allowed) => (!allowed.contains(value)).then(|| format!("expected one of: {}", listed(allowed))),
            Rule::Gt(limit) => {
                broken_number(value, |n| n > *limit, || format!("value must be greater than {}", number(*limit)))
            }
            Rule::Between(low, high) => broken_number(
                value,
                |n| (*low..=*high).contains(&n),
                || format!("value should be between {} and {}", number(*low), number(*high)),
            ),
            Rule::LenEq(wanted) => (length(value) != *wanted).then(|| format!("length must be {wanted}")),
            Rule::LenMin(least) => (length(value) < *least).then(|| format!("length must be at least {least}")),
            Rule::LenMax(most) => (length(value) > *most).then(|| format!("length must be at most {most}")),
            Rule::Contains(element) => {
                (!elements(value).contains(element)).then(|| format!("expected to contain: {}", plain(element)))
            }
            Rule::Elements(rules) => {
                elements(value).iter().find_map(|element| rules.iter().find_map(|rule| rule.broken(element)))
            }
            Rule::KeyPair => crate::model::key::pair_problem(value),
            Rule::ExclusiveSubsets(sets) => exclusive(sets, elements(value)),
            Rule::Required => None,
            _ => value.as_str().and_then(|text| self.broken_text(text)),
        }
    }

    fn broken_text(&self, text: &str) -> Option<String> {
        let invalid = || format!("invalid value: {text}");
        let said = |pattern: &Pattern| pattern.error.as_deref().map_or_else(invalid, str::to_owned);
        match self {
            Rule::Uuid => (!is_uuid(text)).then(|| "expected a valid UUID".to_owned()),
            Rule::IsRegex => Regex::new(text).is_err().then(|| format!("not a valid regex: {text}")),
            Rule::StartsWith(prefix) => (!text.starts_with(&**prefix)).then(|| format!("should start with: {prefix}")),
            Rule::MatchNone(patterns) => patterns.iter().find(|pattern| pattern.matches(text)).map(said),
            Rule::Match(pattern) => (!pattern.matches(text)).then(|| said(pattern)),
            Rule::MatchAll(patterns) => patterns.iter().find(|pattern| !pattern.matches(text)).map(said),
            Rule::MatchAny(patterns, error) => (!patterns.iter().any(|pattern| pattern.matches(text)))
                .then(|| error.as_deref().map_or_else(invalid, str::to_owned)),
            Rule::Text(kind) => kind.problem(text),
            _ => None,
        }
    }

    /// Rules from an object in the shape of `/schemas`.
    pub(super) fn parse_all(object: &Object) -> Result<Vec<Rule>, String> {
        let mut rules = Vec::new();
        for (key, value) in object {
            rules.extend(
                Self::parse(key, value)
                    .ok_or_else(|| format!("{key} is not a rule that is known, or has a wrong value"))?,
            );
        }
        rules.sort_by_key(Rule::order);
        Ok(rules)
    }

    fn parse(key: &str, value: &Value) -> Option<Option<Rule>> {
        let count = || value.as_u64().and_then(|n| usize::try_from(n).ok());
        let rule = match key {
            "type" | "description" => return Some(None),
            "required" => return value.as_bool().map(|required| required.then_some(Rule::Required)),
            "eq" => Rule::Eq(value.clone()),
            "ne" => Rule::Ne(value.clone()),
            "one_of" => Rule::OneOf(value.as_array()?.clone()),
            "not_one_of" => Rule::NotOneOf(value.as_array()?.clone()),
            "gt" => Rule::Gt(value.as_f64()?),
            "between" => match value.as_array()?.as_slice() {
                [low, high] => Rule::Between(low.as_f64()?, high.as_f64()?),
                _ => return None,
            },
            "len_eq" => Rule::LenEq(count()?),
            "len_min" => Rule::LenMin(count()?),
            "len_max" => Rule::LenMax(count()?),
            "match" => Rule::Match(Pattern::parse_lua(value.as_str()?).ok()?),
            "match_any" => {
                let patterns = value.get("patterns")?.as_array()?.iter();
                let patterns: Option<Vec<_>> = patterns.map(|text| Pattern::parse_lua(text.as_str()?).ok()).collect();
                Rule::MatchAny(patterns?, value.get("err").and_then(Value::as_str).map(Arc::from))
            }
            "starts_with" => Rule::StartsWith(value.as_str()?.into()),
            "contains" => Rule::Contains(value.clone()),
            "elements" => Rule::Elements(Self::parse_all(value.as_object()?).ok()?),
            _ => return None,
        };
        Some(Some(rule))
    }
}

fn broken_number(value: &Value, good: impl Fn(f64) -> bool, message: impl Fn() -> String) -> Option<String> {
    value.as_f64().filter(|number| !good(*number)).map(|_| message())
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.len(),
        Value::Object(object) => object.len(),
        _ => 0,
    }
}

fn exclusive(sets: &[Vec<&'static str>], elements: &[Value]) -> Option<String> {
    let touched: Vec<_> =
        sets.iter().filter(|set| set.iter().any(|member| elements.contains(&json!(member)))).collect();
    if touched.len() < 2 {
        return None;
    }
    let named = |set: &&Vec<&str>| format!("('{}')", set.join("', '"));
    Some(format!("these sets are mutually exclusive: {}", touched.iter().map(named).collect::<Vec<_>>().join(", ")))
}

/// UUID in its usual form, either case.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn listed(values: &[Value]) -> String {
    values.iter().map(plain).collect::<Vec<_>>().join(", ")
}
