//! A look at the bytes of an HTTP/1 request head, for what the HTTP engine does not tell: whether the message has two
//! lengths, and whether it was the request line that was too long.

use memchr::{memchr, memchr_iter};

/// What was seen of a request head. Only answers are chosen by it, never where a message ends: a header line that is
/// split between two reads is missed, and the engine's own reading (chunked wins, the connection closes) is safe.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    request_line: usize,
    past_request_line: bool,
    past_head: bool,
    length: bool,
    encoding: bool,
}

impl HeadScan {
    /// Forgets the last head.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Looks at the next bytes.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        let starts = !self.past_request_line && self.request_line == 0;
        if !self.past_request_line {
            let end = memchr(b'\n', bytes);
            self.past_request_line = end.is_some();
            self.request_line += end.unwrap_or(bytes.len());
        }
        // Requests without a body by nature are left to the engine.
        if !self.past_head && !(starts && matches!(bytes.first(), Some(b'G' | b'H'))) {
            self.find_lengths(bytes);
        }
    }

    /// Whether the message gives its length in two ways (RFC 9112 §6.3).
    pub(super) fn has_two_lengths(&self) -> bool {
        self.length && self.encoding
    }

    /// Whether the request line alone is longer than this.
    pub(super) fn request_line_exceeds(&self, limit: usize) -> bool {
        self.request_line > limit
    }

    fn find_lengths(&mut self, bytes: &[u8]) {
        for end in memchr_iter(b'\n', bytes) {
            let line = &bytes[end + 1..];
            match line.first() {
                Some(b'\r' | b'\n') => {
                    self.past_head = true;
                    return;
                }
                Some(b'c' | b'C') => self.length |= names(line, b"content-length"),
                Some(b't' | b'T') => self.encoding |= names(line, b"transfer-encoding"),
                _ => {}
            }
        }
    }
}

fn names(line: &[u8], header: &[u8]) -> bool {
    line.len() > header.len() && line[..header.len()].eq_ignore_ascii_case(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lengths_are_seen_in_any_order_and_only_in_the_head() {
        let cases = [
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\nHost: a\r\nCONTENT-LENGTH: 3\r\n\r\n", true),
            ("POST / HTTP/1.1\nTransfer-Encoding: chunked\nContent-Length: 3\n\n", true),
            ("POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\nabc\r\nTransfer-Encoding: chunked\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Type: a\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        ];
        for (head, expected) in cases {
            let mut scan = HeadScan::default();
            scan.see(head.as_bytes());
            assert_eq!(scan.has_two_lengths(), expected, "{head}");
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

    proptest::proptest! {
        #[test]
        fn any_bytes_can_be_seen(chunks in proptest::collection::vec(proptest::collection::vec(0_u8.., 0..40), 0..6)) {
            let mut scan = HeadScan::default();
            chunks.iter().for_each(|chunk| scan.see(chunk));
        }
    }
}
