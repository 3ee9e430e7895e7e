//! JSON values as YAML text, in the layout of Kong's exports: block style, lists at the level of their key, quotes only
//! where the text would be read as something else. The same value gives the same text.

use std::fmt::Write as _;

use serde_json::Value;

use super::scalar;

/// Longer keys are marked as keys, which readers otherwise do not look for that far.
const LONG_KEY: usize = 500;

/// A value as a document.
pub fn to_text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(object) if !object.is_empty() => block(&mut out, value, 0),
        Value::Array(elements) if !elements.is_empty() => block(&mut out, value, 0),
        scalar => {
            out.push_str(&flat(scalar, 0));
            out.push('\n');
        }
    }
    out
}

/// A filled map or list. The first line goes on where the output ends.
fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(object) => {
            for (at, (key, value)) in object.iter().enumerate() {
                pad(out, if at == 0 { 0 } else { indent });
                write_key(out, key, indent);
                write_value(out, value, indent);
            }
        }
        Value::Array(elements) => {
            for (at, element) in elements.iter().enumerate() {
                pad(out, if at == 0 { 0 } else { indent });
                out.push_str("- ");
                if is_block(element) {
                    block(out, element, indent + 2);
                } else {
                    out.push_str(&flat(element, indent + 2));
                    out.push('\n');
                }
            }
        }
        _ => {}
    }
}

fn write_key(out: &mut String, key: &str, indent: usize) {
    if key.len() > LONG_KEY {
        out.push_str("? ");
        out.push_str(&quoted(key));
        out.push('\n');
        pad(out, indent);
    } else {
        out.push_str(&one_line(key));
    }
    out.push(':');
}

fn write_value(out: &mut String, value: &Value, indent: usize) {
    if !is_block(value) {
        out.push(' ');
        out.push_str(&flat(value, indent + 2));
        out.push('\n');
        return;
    }
    let below = if value.is_array() { indent } else { indent + 2 };
    out.push('\n');
    pad(out, below);
    block(out, value, below);
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(object) => !object.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        _ => false,
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// What needs no lines of its own, or a text of several lines below `indent`.
fn flat(value: &Value, indent: usize) -> String {
    match value {
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        Value::String(text) if fits_literal(text) => literal(text, indent),
        Value::String(text) => one_line(text),
        scalar => scalar.to_string(),
    }
}

/// Several lines that can stand as they are, such as a certificate.
fn fits_literal(text: &str) -> bool {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    lines.contains('\n')
        && !lines.starts_with([' ', '\t', '\n'])
        && !lines.ends_with('\n')
        && lines.chars().all(|character| character == '\n' || is_printable(character))
        && lines.split('\n').all(|line| line.is_empty() || !line.trim_matches(' ').is_empty())
}

fn literal(text: &str, indent: usize) -> String {
    let (mark, lines) = match text.strip_suffix('\n') {
        Some(lines) => ("|", lines),
        None => ("|-", text),
    };
    let mut out = mark.to_owned();
    for line in lines.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(&mut out, indent);
        }
        out.push_str(line);
    }
    out
}

fn one_line(text: &str) -> String {
    if !text.chars().all(is_printable) {
        return quoted(text);
    }
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// Whether the text without quotes is read as this text, by YAML 1.1 and 1.2 alike.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let second_is_space = text.chars().nth(1).is_none_or(|second| second == ' ');
    let marks = match first {
        '-' | '?' | ':' => second_is_space,
        _ => " ,[]{}#&*!|>'\"%@`=".contains(first),
    };
    let inside = text.contains(": ") || text.contains(" #") || text.ends_with([':', ' ']);
    let document = text.starts_with("---") || text.starts_with("...");
    !(marks || inside || document || text == "<<" || is_other(text))
}

/// Whether some reader takes it for something else than text.
fn is_other(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let bare = lower.trim_start_matches(['+', '-']);
    !scalar::resolve(text).is_string()
        || matches!(&*lower, "y" | "n")
        || matches!(bare, ".inf" | ".nan")
        || bare.strip_prefix("0o").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        || is_sexagesimal(bare)
        || is_date(text)
}

/// `190:20:30.5`, a number to base 60 in YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let Some((first, rest)) = text.split_once(':') else { return false };
    let (rest, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
    digits(first)
        && (fraction.is_empty() || digits(fraction))
        && rest.split(':').all(|part| part.len() <= 2 && digits(part))
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[5].is_ascii_digit()
        && text.is_ascii()
        && text.matches('-').count() >= 2
        && bytes[5..7.min(bytes.len())].iter().all(|byte| byte.is_ascii_digit() || *byte == b'-')
}

/// Characters that may stand in a text without escapes.
fn is_printable(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
}

/// Between double quotes, with escapes.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if is_printable(other) => out.push(other),
            other if u32::from(other) <= 0xff => _ = write!(out, "\\x{:02x}", u32::from(other)),
            other if u32::from(other) <= 0xffff => _ = write!(out, "\\u{:04x}", u32::from(other)),
            other => _ = write!(out, "\\U{:08x}", u32::from(other)),
        }
    }
    out.push('"');
    out
}
