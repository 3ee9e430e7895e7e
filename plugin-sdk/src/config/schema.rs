//! Pieces of a JSON Schema, written as text.

use super::Field;

/// Writes one member of `properties`: the keywords of the type, then those of the attribute.
pub fn member<T: Field>(out: &mut String, name: &str, keywords: &str, items: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    quoted(out, name);
    out.push_str(":{");
    T::keywords(out, items);
    out.push_str(keywords);
    out.push('}');
}

/// Writes a JSON string of text that needs no escapes (names of fields).
pub fn quoted(out: &mut String, text: &str) {
    out.push('"');
    out.push_str(text);
    out.push('"');
}
