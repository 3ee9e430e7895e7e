//! What the header phases are called with.

use http::{HeaderMap, HeaderName};

/// Values of declared headers for one call, in the form that the guest takes; the memory is kept from call to call.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// For `request-head` and `response-head`: a line for each.
    pub(super) lines: String,
    /// For `request-headers` and `response-headers`.
    pub(super) values: Vec<Option<String>>,
    /// Bit n: the n-th came more than once.
    pub(super) repeated: u64,
    spare: Vec<String>,
}

impl Arguments {
    /// Fills `lines` or the others.
    pub(super) fn fill(&mut self, names: &[HeaderName], headers: &HeaderMap, as_lines: bool) {
        if as_lines {
            self.lines.clear();
            names.iter().for_each(|name| self.add_line(first(headers, name)));
            return;
        }
        self.spare.extend(self.values.drain(..).flatten());
        self.repeated = 0;
        for (place, name) in names.iter().enumerate() {
            let (value, is_repeated) = first(headers, name);
            if is_repeated && place < 64 {
                self.repeated |= 1 << place;
            }
            let value = value.map(|text| {
                let mut owned = self.spare.pop().unwrap_or_default();
                owned.clear();
                owned.push_str(text);
                owned
            });
            self.values.push(value);
        }
    }

    fn add_line(&mut self, (value, is_repeated): (Option<&str>, bool)) {
        match value {
            Some(value) => {
                self.lines.push(if is_repeated { '+' } else { '=' });
                self.lines.push_str(value);
            }
            None => self.lines.push('-'),
        }
        // A header value has no line feed: RFC 9110 §5.5, kept by the type.
        self.lines.push('\n');
    }
}

/// The first value of a name, if it is UTF-8, and whether there are more.
fn first<'h>(headers: &'h HeaderMap, name: &HeaderName) -> (Option<&'h str>, bool) {
    let mut all = headers.get_all(name).iter();
    let value = all.next().and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    (value, all.next().is_some())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-one", &b"1"[..]), ("x-two", b"a b"), ("x-two", b"c"), ("x-odd", b"\xff"), ("x-no", b"")]
        {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        let names = ["x-two", "x-absent", "x-one", "x-odd", "x-no"].map(HeaderName::from_static);
        let mut arguments = Arguments::default();
        for _ in 0..2 {
            arguments.fill(&names, &headers, true);
            assert_eq!(arguments.lines, "+a b\n-\n=1\n-\n=\n");
            arguments.fill(&names, &headers, false);
            let values: Vec<_> = arguments.values.iter().map(Option::as_deref).collect();
            assert_eq!((&values[..], arguments.repeated), (&[Some("a b"), None, Some("1"), None, Some("")][..], 1));
        }
    }
}
