//! Multipart forms (RFC 7578), kept as they came but for the parts that are touched.

/// The parts of a form.
#[derive(Debug, Clone, PartialEq)]
pub struct Multipart {
    boundary: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
struct Part {
    name: String,
    head: Vec<u8>,
    content: Vec<u8>,
}

impl Multipart {
    pub(super) fn parse(content_type: &str, body: &[u8]) -> Option<Self> {
        let boundary = parameter(content_type, "boundary")?;
        let delimiter = ["--", &boundary].concat();
        let mut parts = Vec::new();
        let mut rest = &body[find(body, delimiter.as_bytes())? + delimiter.len()..];
        while !rest.starts_with(b"--") {
            let start = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n"))?;
            let end = find(start, delimiter.as_bytes())?;
            parts.extend(Part::parse(&start[..end]));
            rest = &start[end + delimiter.len()..];
        }
        Some(Self { boundary, parts })
    }

    /// Text of the first part with this name.
    pub fn get(&self, name: &str) -> Option<String> {
        let part = self.parts.iter().find(|part| part.name == name)?;
        std::str::from_utf8(&part.content).ok().map(String::from)
    }

    /// Removes every part with this name. False when there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.parts.len();
        self.parts.retain(|part| part.name != name);
        self.parts.len() < before
    }

    /// Moves the parts of one name to another. False when there is none.
    pub fn rename(&mut self, old: &str, new: &str) -> bool {
        if self.get(old).is_none() {
            return false;
        }
        self.remove(new);
        for part in self.parts.iter_mut().filter(|part| part.name == old) {
            *part = Part { content: std::mem::take(&mut part.content), ..Part::text(new) };
        }
        true
    }

    /// Replaces the part with this name by a text, or adds it.
    pub fn set(&mut self, name: &str, text: &str) -> bool {
        self.remove(name);
        self.parts.push(Part { content: text.as_bytes().to_vec(), ..Part::text(name) });
        true
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            for piece in [b"--", self.boundary.as_bytes(), b"\r\n", &part.head, b"\r\n\r\n", &part.content, b"\r\n"] {
                out.extend_from_slice(piece);
            }
        }
        for piece in [b"--", self.boundary.as_bytes(), b"--\r\n"] {
            out.extend_from_slice(piece);
        }
        out
    }
}

impl Part {
    /// A text field without content.
    fn text(name: &str) -> Self {
        let head = ["Content-Disposition: form-data; name=\"", name, "\""].concat();
        Self { name: name.into(), head: head.into_bytes(), content: Vec::new() }
    }

    /// From what stands between two delimiters.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b"\r\n").or_else(|| text.strip_suffix(b"\n")).unwrap_or(text);
        let split = find(text, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&text[..split]).ok()?;
        let disposition = head.lines().find(|line| {
            line.split_once(':').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"))
        })?;
        Some(Self {
            name: parameter(disposition, "name")?,
            head: head.as_bytes().to_vec(),
            content: text[split + 4..].to_vec(),
        })
    }
}

/// A parameter of a header value, quoted or not.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|part| {
        let (key, text) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| text.trim().trim_matches('"').into())
    })
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
