//! A look at the bytes of an HTTP/1 request head, for what the HTTP engine does not tell: whether the message has two
//! lengths, and whether it was the request line that was too long.

use memchr::memchr;

/// How much of the start of a header line tells its name: the longest one that is looked for, with its colon.
const TELLING: usize = b"transfer-encoding:".len();

/// What was seen of a request head, however it is cut into reads. Only answers are chosen by it, never where a message
/// ends.
#[derive(Debug, Default)]
pub struct HeadScan {
    request_line: usize,
    past_request_line: bool,
    past_head: bool,
    length: bool,
    encoding: bool,
    /// The start of the header line that an earlier read left unfinished.
    line: [u8; TELLING],
    line_length: usize,
}

impl HeadScan {
    /// Looks at the next bytes.
    pub fn see(&mut self, mut bytes: &[u8]) {
        if !self.past_request_line {
            // Requests without a body by nature are left to the engine.
            self.past_head |= self.request_line == 0 && matches!(bytes.first(), Some(b'G' | b'H'));
            let end = memchr(b'\n', bytes);
            self.request_line += end.unwrap_or(bytes.len());
            let Some(end) = end else { return };
            self.past_request_line = true;
            bytes = &bytes[end + 1..];
        }
        if !self.past_head {
            self.find_lengths(bytes);
        }
    }

    /// Whether the message gives its length in two ways (RFC 9112 §6.3).
    pub fn has_two_lengths(&self) -> bool {
        self.length && self.encoding
    }

    /// Whether the request line alone is longer than this.
    pub fn request_line_exceeds(&self, limit: usize) -> bool {
        self.request_line > limit
    }

    fn find_lengths(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr(b'\n', bytes) {
            if self.line_length == 0 {
                self.judge(&bytes[..end]);
            } else {
                self.keep(&bytes[..end]);
                let (line, length) = (self.line, std::mem::take(&mut self.line_length));
                self.judge(&line[..length]);
            }
            if self.past_head {
                return;
            }
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(TELLING - self.line_length);
        self.line[self.line_length..][..taken].copy_from_slice(&bytes[..taken]);
        self.line_length += taken;
    }

    fn judge(&mut self, line: &[u8]) {
        match line.first() {
            None | Some(b'\r') => self.past_head = true,
            Some(b'c' | b'C') => self.length |= names(line, b"content-length:"),
            Some(b't' | b'T') => self.encoding |= names(line, b"transfer-encoding:"),
            _ => {}
        }
    }
}

fn names(line: &[u8], header: &[u8]) -> bool {
    line.len() >= header.len() && line[..header.len()].eq_ignore_ascii_case(header)
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
        fn it_does_not_matter_how_a_head_is_cut(cuts in proptest::collection::vec(0_usize..90, 0..6), tail in "[a-z\n:]{0,9}") {
            let bytes = format!("POST / HTTP/1.1\r\ncontent-length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{tail}");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let (mut scan, mut from) = (HeadScan::default(), 0);
            for to in cuts.into_iter().chain([bytes.len()]) {
                scan.see(&bytes.as_bytes()[from..to]);
                from = to;
            }
            assert!(scan.has_two_lengths());
        }
    }
}
