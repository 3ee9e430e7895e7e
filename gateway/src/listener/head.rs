//! A look at the bytes of an HTTP/1 client, for what the HTTP engine does not tell: whether a message has two lengths, whether
//! lines end as they should, and whether it was the request line that was too long.

use memchr::memchr;

use super::service::Malformed;

/// Bytes that are kept of a line which is split between reads: enough for a length with some space before it.
const KEPT: usize = 128;

/// Follows the messages of one connection, however they are cut into reads. Only answers are chosen by it, never where a
/// message ends: that is the engine's to know, which refuses what this would misread.
#[derive(Debug, Default)]
pub struct HeadScan {
    place: Place,
    /// The start of a line that is not whole yet, and its last byte.
    part: Vec<u8>,
    request_line: usize,
    length: Option<u64>,
    is_encoded: bool,
    flaw: Option<Malformed>,
}

/// Where in a message the next byte is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    RequestLine,
    Header,
    Body {
        left: u64,
        is_chunk: bool,
    },
    ChunkSize,
    Trailer,
}

impl HeadScan {
    /// Looks at the next bytes.
    pub fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if let Place::Body { left, is_chunk } = self.place {
                bytes = self.pass(bytes, left, is_chunk);
                continue;
            }
            let Some(end) = memchr(b'\n', bytes) else { return self.keep(bytes) };
            if self.place == Place::Header && self.part.is_empty() && is_of_no_interest(&bytes[..end]) {
                // Nearly every header.
            } else if self.part.is_empty() {
                self.request_line += if self.place == Place::RequestLine { end } else { 0 };
                self.end_line(&bytes[..end]);
            } else {
                self.keep(&bytes[..end]);
                let line = std::mem::take(&mut self.part);
                self.end_line(&line);
            }
            bytes = &bytes[end + 1..];
        }
    }

    /// What is wrong with the heads that were read since it was asked for last: with the one that was just read whole, or
    /// with one that came right behind it, so that its client is no better.
    pub fn judge(&mut self) -> Option<Malformed> {
        self.flaw.take()
    }

    /// Whether the request line alone is longer than this.
    pub fn request_line_exceeds(&self, limit: usize) -> bool {
        self.request_line > limit
    }

    fn pass<'a>(&mut self, bytes: &'a [u8], left: u64, is_chunk: bool) -> &'a [u8] {
        let passed = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - passed as u64;
        self.place = match (left, is_chunk) {
            (0, true) => Place::ChunkSize,
            (0, false) => Place::RequestLine,
            (left, is_chunk) => Place::Body { left, is_chunk },
        };
        &bytes[passed..]
    }

    /// Remembers what was read of a line.
    fn keep(&mut self, bytes: &[u8]) {
        self.request_line += if self.place == Place::RequestLine { bytes.len() } else { 0 };
        let room = KEPT - self.part.len();
        self.part.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room
            && let (Some(last), Some(kept)) = (bytes.last(), self.part.last_mut())
        {
            *kept = *last;
        }
    }

    fn end_line(&mut self, line: &[u8]) {
        let (line, is_whole) = line.strip_suffix(b"\r").map_or((line, false), |line| (line, true));
        match self.place {
            // RFC 9112 §2.2: empty lines before a request are passed over.
            Place::RequestLine if line.is_empty() => self.request_line = 0,
            Place::RequestLine | Place::Header if !is_whole => {
                // Some take a bare LF for the end of a line and some do not.
                self.flaw.get_or_insert(Malformed::Request);
                self.go_on(line);
            }
            _ => self.go_on(line),
        }
    }

    fn go_on(&mut self, line: &[u8]) {
        match self.place {
            Place::RequestLine => self.place = Place::Header,
            Place::Header if line.is_empty() => self.end_head(),
            Place::Header => self.note(line),
            Place::ChunkSize => self.place = after_size(line),
            Place::Trailer if line.is_empty() => self.place = Place::RequestLine,
            Place::Trailer | Place::Body { .. } => {}
        }
    }

    fn note(&mut self, line: &[u8]) {
        match line.first() {
            Some(b'c' | b'C') => {
                if let Some(value) = value(line, b"content-length") {
                    self.length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                }
            }
            Some(b't' | b'T') => self.is_encoded |= value(line, b"transfer-encoding").is_some(),
            _ => {}
        }
        if self.is_encoded && self.length.is_some() {
            // RFC 9112 §6.3: this may be an attempt at smuggling.
            self.flaw = Some(Malformed::Lengths);
        }
    }

    fn end_head(&mut self) {
        self.place = match (self.is_encoded, self.length.take()) {
            (true, _) => Place::ChunkSize,
            (false, None | Some(0)) => Place::RequestLine,
            (false, Some(left)) => Place::Body { left, is_chunk: false },
        };
        self.is_encoded = false;
        self.request_line = 0;
    }
}

/// Whether a whole line is that of a header which says nothing of lengths.
fn is_of_no_interest(line: &[u8]) -> bool {
    matches!(line, [first, .., b'\r'] if !matches!(first, b'c' | b'C' | b't' | b'T'))
}

/// The value of a header line of this name.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// What follows a line with the size of a chunk.
fn after_size(line: &[u8]) -> Place {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = std::str::from_utf8(&line[..digits]).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
    match size {
        Some(0) => Place::Trailer,
        // With the end of its line.
        Some(size) => Place::Body { left: size.saturating_add(2), is_chunk: true },
        // The engine ends the connection.
        None => Place::Body { left: u64::MAX, is_chunk: false },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(bytes: &[u8]) -> Option<Malformed> {
        let mut scan = HeadScan::default();
        scan.see(bytes);
        scan.judge()
    }

    const TWO_LENGTHS: &str = "GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn two_lengths_are_seen_in_any_order_and_only_in_one_head() {
        let cases = [
            (TWO_LENGTHS, Some(Malformed::Lengths)),
            (
                "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nHost: a\r\nCONTENT-LENGTH:3\r\n\r\n",
                Some(Malformed::Lengths),
            ),
            ("POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\nabc\r\nTransfer-Encoding: chunked\r\n", None),
            ("POST / HTTP/1.1\r\nContent-Type: a\r\nTransfer-Encoding: chunked\r\n\r\n", None),
            ("\r\nGET / HTTP/1.1\r\n\r\n", None),
        ];
        for (head, expected) in cases {
            assert_eq!(seen(head.as_bytes()), expected, "{head}");
        }
    }

    #[test]
    fn heads_behind_bodies_are_seen() {
        let bodies = [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\na\nb\r\n0a\r\n0123456789\r\n0\r\nX: 1\r\n\r\n",
        ];
        for first in bodies {
            assert_eq!(seen(first.repeat(3).as_bytes()), None, "{first}");
            let both = [&first.repeat(2), TWO_LENGTHS].concat();
            assert_eq!(seen(both.as_bytes()), Some(Malformed::Lengths), "{first}");
        }
    }

    #[test]
    fn a_bare_line_feed_in_a_head_is_a_flaw() {
        for head in
            ["GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "GET / HTTP/1.1\r\n\n"]
        {
            assert_eq!(seen(head.as_bytes()), Some(Malformed::Request), "{head:?}");
        }
    }

    #[test]
    fn a_long_request_line_is_told_from_long_headers() {
        let (mut line, mut header) = (HeadScan::default(), HeadScan::default());
        line.see(b"GET /aaaaaaaaaa");
        line.see(b"aaaaaaaaaa HTTP/1.1\r\n");
        header.see(b"GET / HTTP/1.1\r\nx: aaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert!(line.request_line_exceeds(20));
        assert!(!header.request_line_exceeds(20));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_seen(chunks in proptest::collection::vec(proptest::collection::vec(0_u8.., 0..40), 0..6)) {
            let mut scan = HeadScan::default();
            chunks.iter().for_each(|chunk| scan.see(chunk));
        }

        #[test]
        fn however_they_are_cut(first in 0_usize..170, second in 0_usize..170, spaces in 0_usize..300) {
            let text = format!(
                "POST / HTTP/1.1\r\nX: {}\r\nContent-Length: 4\r\n\r\na\nb\n{TWO_LENGTHS}",
                " ".repeat(spaces)
            );
            let (bytes, mut scan) = (text.as_bytes(), HeadScan::default());
            let (first, second) = (first.min(second), second.max(first));
            let ends = [0, first.min(bytes.len()), second.min(bytes.len()), bytes.len()];
            ends.windows(2).for_each(|ends| scan.see(&bytes[ends[0]..ends[1]]));
            prop_assert_eq!(scan.judge(), Some(Malformed::Lengths));
        }
    }
}
