//! Files from before format 3.0, in which a path was a regular expression if it looked like one.

use serde_json::Value;

use crate::{model::Object, router::NormalPath};

/// Writes the paths of a route as 3.0 does.
pub(super) fn upgrade_paths(route: &mut Object) {
    let paths = route.get_mut("paths").and_then(Value::as_array_mut);
    for path in paths.into_iter().flatten() {
        if let Some(upgraded) = path.as_str().map(upgrade) {
            *path = upgraded.into();
        }
    }
}

fn upgrade(path: &str) -> String {
    if path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~/%-".contains(&byte)) {
        return NormalPath::parse(path).map_or_else(|_| path.to_owned(), |normal| normal.as_str().to_owned());
    }
    format!("~{}", decode(path.strip_prefix('~').unwrap_or(path)))
}

/// Decodes escapes, but those of characters that mean something in a URL or in a regular expression.
fn decode(pattern: &str) -> String {
    let bytes = pattern.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |offset: usize| {
            char::from(*bytes.get(at + offset)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
        };
        let escaped = if bytes[at] == b'%' { digit(1).zip(digit(2)).map(|(high, low)| high * 16 + low) } else { None };
        match escaped {
            Some(byte) if !b"!*'();:@&=+$,/?%#[]".contains(&byte) => {
                decoded.push(byte);
                at += 3;
            }
            Some(_) => {
                decoded.extend(bytes[at..at + 3].iter().map(u8::to_ascii_uppercase));
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    // An escape of half a character stays as it was.
    String::from_utf8(decoded).unwrap_or_else(|_| pattern.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_3_0_has_them() {
        for (before, after) in [
            ("/a", "/a"),
            ("/a//b/../c", "/a/c"),
            ("/a%20b", "/a b"),
            (r"/o/(?<id>\d+)$", r"~/o/(?<id>\d+)$"),
            (r"/o%2Fx/\d+", r"~/o%2Fx/\d+"),
            (r"/%61/\d+", r"~/a/\d+"),
            (r"/a%e4/\d+", r"~/a%e4/\d+"),
        ] {
            assert_eq!(upgrade(before), after, "{before}");
        }
    }
}
