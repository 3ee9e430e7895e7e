//! A look at the frames of an HTTP/2 client, for floods that the HTTP engine answers patiently: frames that ask for an
//! answer, or for nothing at all, cost their sender next to nothing.

/// Length, type, flags and stream of a frame (RFC 9113 §4.1).
const HEADER: usize = 9;
/// How a connection begins (RFC 9113 §3.4): no frame.
const PREFACE: usize = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
/// END_STREAM of DATA, END_HEADERS of CONTINUATION, ACK of SETTINGS and PING are of one bit or another.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Follows the frames of one connection, however they are cut into reads.
#[derive(Debug)]
pub struct FrameScan {
    /// Bytes to pass over before the next frame.
    skip: usize,
    header: [u8; HEADER],
    filled: usize,
    /// Streams that the client opened, and the last of them.
    opened: u32,
    last: u32,
}

impl Default for FrameScan {
    fn default() -> Self {
        Self { skip: PREFACE, header: [0; HEADER], filled: 0, opened: 0, last: 0 }
    }
}

impl FrameScan {
    /// How many of the frames that begin in these bytes ask for work and bring none: PING, SETTINGS, PRIORITY and
    /// RST_STREAM, and DATA and CONTINUATION that are empty and end nothing.
    pub fn see(&mut self, mut bytes: &[u8]) -> u32 {
        let mut idle = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER {
                idle += u32::from(self.begin());
            }
        }
        idle
    }

    /// How many streams were opened.
    pub(super) fn opened(&self) -> u32 {
        self.opened
    }

    /// A whole header was read. Whether its frame brings nothing.
    fn begin(&mut self) -> bool {
        let [high, middle, low, kind, flags, stream @ ..] = self.header;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.filled = 0;
        match kind {
            PING | SETTINGS => flags & ACK == 0,
            PRIORITY | RST_STREAM => true,
            HEADERS => {
                self.open(u32::from_be_bytes(stream));
                false
            }
            DATA => self.skip == 0 && flags & END_STREAM == 0,
            CONTINUATION => self.skip == 0 && flags & END_HEADERS == 0,
            _ => false,
        }
    }

    /// Headers of a stream; those of one that is open are trailers.
    fn open(&mut self, stream: u32) {
        if stream > self.last {
            self.last = stream;
            self.opened += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        bytes.extend(std::iter::repeat_n(b'x', length.into()));
        bytes
    }

    /// A connection with five frames that bring nothing among others.
    fn connection() -> Vec<u8> {
        let frames = [
            frame(SETTINGS, 0, 6),
            frame(SETTINGS, ACK, 0),
            frame(1, END_HEADERS, 30),
            frame(DATA, 0, 200),
            frame(DATA, 0, 0),
            frame(DATA, END_STREAM, 0),
            frame(PING, 0, 8),
            frame(PING, ACK, 8),
            frame(RST_STREAM, 0, 4),
            frame(CONTINUATION, 0, 0),
            frame(8, 0, 4),
        ];
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frames.concat()].concat()
    }

    #[test]
    fn frames_that_bring_nothing_are_counted() {
        assert_eq!(FrameScan::default().see(&connection()), 5);
    }

    proptest::proptest! {
        #[test]
        fn however_they_arrive(cuts in proptest::collection::vec(0_usize..400, 0..8)) {
            let bytes = connection();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let (mut scan, mut from, mut seen) = (FrameScan::default(), 0, 0);
            for to in cuts.into_iter().chain([bytes.len()]) {
                seen += scan.see(&bytes[from..to]);
                from = to;
            }
            assert_eq!(seen, 5);
        }
    }
}
