//! The one canonical request path: decoded once, compared by the router, shown to plugins, sent upstream.

use std::borrow::Cow;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a path sent upstream; `%` because the escapes that are left are meant.
const ESCAPED_UPSTREAM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'?')
    .remove(b'@')
    .remove(b'[')
    .remove(b']')
    .remove(b'%');

/// A request path in canonical form.
///
/// It starts with `/`, has no dot segment, no empty segment but possibly the last, no control byte, and no escape but
/// those of reserved characters (RFC 3986 §2.2), of `%`, and of bytes that are not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalPath<'a>(Cow<'a, str>);

impl<'a> NormalPath<'a> {
    /// Normalises a path without its query; borrows when it is already normal, which nearly all are.
    ///
    /// # Errors
    /// When the path can be read in two ways: a broken escape, a control byte (escaped or not), no leading `/`.
    pub fn parse(raw: &'a str) -> Result<Self, PathError> {
        if !raw.is_empty() && !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        match survey(raw.as_bytes()) {
            Work::Nothing if raw.is_empty() => Ok(Self(Cow::Borrowed("/"))),
            Work::Nothing => Ok(Self(Cow::Borrowed(raw))),
            Work::Segments => Ok(Self(Cow::Owned(resolve(raw)))),
            Work::Escapes => Ok(Self(Cow::Owned(resolve(&decode(raw)?)))),
        }
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path if it had to be rewritten; `None` says that the raw one was normal, so that a caller who keeps that
    /// need not keep a copy.
    pub fn into_rewritten(self) -> Option<String> {
        match self.0 {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some(path),
        }
    }
}

/// Why a path has no single meaning. The client is told 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Such as `*` or `foo`.
    #[error("request path does not start with a slash")]
    NotAbsolute,
    /// A `%` without two hexadecimal digits.
    #[error("request path has a broken escape at byte {0}")]
    BrokenEscape(usize),
    /// A byte below 0x20, or 0x7f, written plainly or escaped.
    #[error("request path has a control byte at byte {0}")]
    ControlByte(usize),
}

/// Escapes a path for the request line to a target; borrows when there is nothing to escape.
pub fn escape_for_upstream(path: &str) -> Cow<'_, str> {
    utf8_percent_encode(path, ESCAPED_UPSTREAM).into()
}

/// What a raw path needs.
enum Work {
    Nothing,
    /// Dot segments or repeated slashes only.
    Segments,
    /// Escapes or forbidden bytes, and perhaps segments.
    Escapes,
}

fn survey(raw: &[u8]) -> Work {
    let mut work = Work::Nothing;
    for (at, &byte) in raw.iter().enumerate() {
        match byte {
            b'%' | 0..0x20 | 0x7f => return Work::Escapes,
            b'/' if starts_odd_segment(&raw[at + 1..]) => work = Work::Segments,
            _ => {}
        }
    }
    work
}

/// Whether what follows a slash is another slash, or a segment `.` or `..`.
fn starts_odd_segment(rest: &[u8]) -> bool {
    matches!(rest, [b'/', ..] | [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
}

fn decode(raw: &str) -> Result<String, PathError> {
    let bytes = raw.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes[at] == b'%';
        let byte = if escaped { unescape(bytes, at)? } else { bytes[at] };
        if byte.is_ascii_control() {
            return Err(PathError::ControlByte(at));
        }
        if escaped && is_reserved(byte) {
            decoded.extend(bytes[at..at + 3].iter().map(u8::to_ascii_uppercase));
        } else {
            decoded.push(byte);
        }
        at += if escaped { 3 } else { 1 };
    }
    Ok(String::from_utf8(decoded).unwrap_or_else(|error| escape_foreign(error.as_bytes())))
}

fn unescape(bytes: &[u8], at: usize) -> Result<u8, PathError> {
    let digit = |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
    match (digit(1), digit(2)) {
        (Some(high), Some(low)) => Ok((high * 16 + low) as u8),
        _ => Err(PathError::BrokenEscape(at)),
    }
}

fn is_reserved(byte: u8) -> bool {
    b"!*'();:@&=+$,/?%#[]".contains(&byte)
}

/// Escapes the bytes that are not part of a UTF-8 character again.
fn escape_foreign(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(text, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    text
}

/// Removes dot segments (RFC 3986 §5.2.4), then empty segments.
fn resolve(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
        if is_last && matches!(segment, "." | "..") {
            kept.push("");
        }
    }
    let last = kept.len() - 1;
    let mut resolved = String::with_capacity(path.len());
    for (at, segment) in kept.into_iter().enumerate() {
        if at == last || !segment.is_empty() {
            resolved.push('/');
            resolved.push_str(segment);
        }
    }
    resolved
}

#[cfg(test)]
mod tests;
