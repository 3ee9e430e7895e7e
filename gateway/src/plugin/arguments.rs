//! What the header phases are called with.

use http::{HeaderMap, HeaderName};

/// Values of declared headers for one call, in the form that the guest takes; the memory is kept from call to call.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// For `request-head` and `response-head`: all in one.
    pub(super) text: String,
    /// For `request-headers` and `response-headers`.
    pub(super) values: Vec<Option<String>>,
    /// Bit n: the n-th came more than once.
    pub(super) repeated: u64,
    spare: Vec<String>,
}

impl Arguments {
    /// Fills `text` or the others.
    pub(super) fn fill(&mut self, names: &[HeaderName], headers: &HeaderMap, as_text: bool) {
        if as_text {
            self.text.clear();
            names.iter().for_each(|name| self.add(first(headers, name)));
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

    /// `-`, or `=` (once) or `+` (more than once), the length, `:` and the value.
    fn add(&mut self, (value, is_repeated): (Option<&str>, bool)) {
        let Some(value) = value else { return self.text.push('-') };
        self.text.push(if is_repeated { '+' } else { '=' });
        self.text.push_str(itoa::Buffer::new().format(value.len()));
        self.text.push(':');
        self.text.push_str(value);
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
            assert_eq!(arguments.text, "+3:a b-=1:1-=0:");
            arguments.fill(&names, &headers, false);
            let values: Vec<_> = arguments.values.iter().map(Option::as_deref).collect();
            assert_eq!((&values[..], arguments.repeated), (&[Some("a b"), None, Some("1"), None, Some("")][..], 1));
        }
    }
}
