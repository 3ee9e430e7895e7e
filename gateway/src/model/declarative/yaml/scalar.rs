//! What a plain scalar means. YAML 1.1, as Kong's loader has it, without base 60: `12:30` stays text.

use serde_json::{Number, Value};

/// The value of a scalar without quotes.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Value::from(text), Value::Number)
}

fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let plain = digits.replace('_', "");
    whole(negative, &plain).or_else(|| fraction(negative, &plain))
}

/// Decimal, `0x` hexadecimal, `0b` binary, and octal after a zero.
fn whole(negative: bool, digits: &str) -> Option<Number> {
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', rest @ ..] if !rest.is_empty() && rest.iter().all(|digit| (b'0'..=b'7').contains(digit)) => {
            (8, &digits[1..])
        }
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if negative { i64::try_from(-i128::from(value)).ok().map(Number::from) } else { Some(value.into()) }
}

fn fraction(negative: bool, digits: &str) -> Option<Number> {
    let number_like = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    if !digits.bytes().all(number_like) || !digits.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: f64 = digits.parse().ok()?;
    Number::from_f64(if negative { -value } else { value })
}
