//! The first message of a TLS client: read far enough to know the name that it asks for, with nothing decided about TLS
//! itself, since whoever ends it may be somebody else (RFC 8446 §4.1.2, RFC 6066 §3). Pure, but for [`receive`].

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The longest message that is waited for. Real ones have one or two kilobytes.
const LONGEST: usize = 16 << 10;
/// The longest record (RFC 8446 §5.1).
const LONGEST_RECORD: usize = 16 << 10;
/// Bytes of a record before its content.
const RECORD_HEADER: usize = 5;
/// Bytes of a message before its content.
const MESSAGE_HEADER: usize = 4;
/// Records that one message may come in: they cost more than they hold.
const MOST_RECORDS: usize = 64;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// The server name, in lower case.
    pub server_name: Option<String>,
}

/// How far a message has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// At least so many bytes more are needed.
    More(usize),
    /// It is whole. What follows it was not looked at.
    Done(Hello),
}

/// What is wrong with the start of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTls {
    /// No handshake record.
    #[error("the first bytes are no TLS handshake")]
    Record,
    /// Some other message, or parts of it do not fit together.
    #[error("the first message is no valid ClientHello")]
    Message,
    /// More than is waited for.
    #[error("the first message is too long")]
    TooLong,
    /// What it asks for cannot be the name of a server.
    #[error("the server name is not valid")]
    Name,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is none.
    #[error(transparent)]
    NotTls(#[from] NotTls),
    /// The connection ended before.
    #[error("the connection ended before its TLS handshake")]
    Io(#[from] std::io::Error),
}

/// Reads a client's first message. Answers with every byte that was read, too.
///
/// # Cancel safety
/// Not safe: what was read is gone.
pub async fn receive(io: &mut (impl AsyncRead + Unpin)) -> Result<(Hello, Vec<u8>), ReadError> {
    let mut bytes = Vec::with_capacity(2048);
    loop {
        let missing = match read(&bytes)? {
            Progress::Done(hello) => return Ok((hello, bytes)),
            Progress::More(missing) => missing,
        };
        let wanted = bytes.len() + missing;
        while bytes.len() < wanted {
            if io.read_buf(&mut bytes).await? == 0 {
                return Err(ReadError::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

/// Looks at the bytes of a connection so far.
///
/// # Errors
/// As soon as they can be no handshake.
pub fn read(bytes: &[u8]) -> Result<Progress, NotTls> {
    let (mut message, mut rest) = (Vec::new(), bytes);
    for _ in 0..MOST_RECORDS {
        let length = match record(rest)? {
            Some(length) => length,
            None => return Ok(Progress::More(RECORD_HEADER - rest.len())),
        };
        let content = &rest[RECORD_HEADER..rest.len().min(RECORD_HEADER + length)];
        message.extend_from_slice(content);
        if let Some(hello) = whole(&message)? {
            return Ok(Progress::Done(hello));
        }
        if content.len() < length {
            return Ok(Progress::More(length - content.len()));
        }
        rest = &rest[RECORD_HEADER + length..];
    }
    Err(NotTls::TooLong)
}

/// The length of a record; nothing before its header is whole.
fn record(bytes: &[u8]) -> Result<Option<usize>, NotTls> {
    let expected = [0x16, 3];
    let common = bytes.len().min(expected.len());
    if bytes[..common] != expected[..common] {
        return Err(NotTls::Record);
    }
    let Some(header) = bytes.first_chunk::<RECORD_HEADER>() else { return Ok(None) };
    match usize::from(u16::from_be_bytes([header[3], header[4]])) {
        length @ 1..=LONGEST_RECORD => Ok(Some(length)),
        _ => Err(NotTls::Record),
    }
}

/// The message once it is whole.
fn whole(message: &[u8]) -> Result<Option<Hello>, NotTls> {
    if message.first().is_some_and(|kind| *kind != 1) {
        return Err(NotTls::Message);
    }
    let Some([_, a, b, c]) = message.first_chunk::<MESSAGE_HEADER>() else { return Ok(None) };
    let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
    if length > LONGEST {
        return Err(NotTls::TooLong);
    }
    match message.get(MESSAGE_HEADER..MESSAGE_HEADER + length) {
        Some(content) => hello(content).map(Some),
        None => Ok(None),
    }
}

/// Version, random, session, suites, compression, extensions.
fn hello(content: &[u8]) -> Result<Hello, NotTls> {
    let mut parts = Parts(content);
    parts.take(2 + 32)?;
    parts.vector(1)?;
    parts.vector(2)?;
    parts.vector(1)?;
    if parts.0.is_empty() {
        return Ok(Hello::default());
    }
    let mut extensions = Parts(parts.vector(2)?);
    let mut server_name = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let mut extension = Parts(extensions.vector(2)?);
        if kind == 0 {
            server_name = name_of(&mut extension)?;
        }
    }
    Ok(Hello { server_name })
}

/// The first host name of a list.
fn name_of(extension: &mut Parts<'_>) -> Result<Option<String>, NotTls> {
    let mut names = Parts(extension.vector(2)?);
    while !names.0.is_empty() {
        let kind = names.number(1)?;
        let name = names.vector(2)?;
        if kind == 0 {
            return host(name).map(Some);
        }
    }
    Ok(None)
}

fn host(name: &[u8]) -> Result<String, NotTls> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    if !(1..=255).contains(&name.len()) || !name.iter().all(is_plain) {
        return Err(NotTls::Name);
    }
    let name = str::from_utf8(name).map_err(|_| NotTls::Name)?;
    Ok(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

/// What is left to read.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NotTls> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NotTls::Message)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Of so many bytes, at most two.
    fn number(&mut self, width: usize) -> Result<usize, NotTls> {
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Bytes after their length, which has so many bytes.
    fn vector(&mut self, width: usize) -> Result<&'a [u8], NotTls> {
        let length = self.number(width)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::aws_lc_rs};

    use super::*;

    /// What a real client says first.
    fn said(name: &str) -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The same in records of so many bytes.
    fn split(bytes: &[u8], size: usize) -> Vec<u8> {
        let records = bytes[RECORD_HEADER..].chunks(size);
        records.flat_map(|part| [&[0x16, 3, 1], &(part.len() as u16).to_be_bytes()[..], part].concat()).collect()
    }

    #[test]
    fn the_name_of_a_real_client_is_found() {
        for (asked, expected) in [("a.example", Some("a.example")), ("192.0.2.1", None)] {
            let bytes = said(asked);
            let expected = Hello { server_name: expected.map(str::to_owned) };
            assert_eq!(read(&bytes), Ok(Progress::Done(expected.clone())));
            assert_eq!(read(&split(&bytes, 40)), Ok(Progress::Done(expected)));
        }
    }

    #[test]
    fn every_part_of_a_message_wants_more() {
        for bytes in [said("a.example"), split(&said("a.example"), 100)] {
            for length in 0..bytes.len() {
                let progress = read(&bytes[..length]);
                assert!(matches!(progress, Ok(Progress::More(1..))), "{length}: {progress:?}");
            }
        }
    }

    #[test]
    fn what_is_no_handshake_is_told_at_once() {
        let cases: [(&[u8], NotTls); 6] = [
            (b"G", NotTls::Record),
            (b"\x16\x04", NotTls::Record),
            (b"\x16\x03\x01\0\0", NotTls::Record),
            (b"\x16\x03\x01\0\x04\x02", NotTls::Message),
            (b"\x16\x03\x01\0\x04\x01\0\0\0", NotTls::Message),
            (b"\x16\x03\x01\x40\0\x01\x01\0\0", NotTls::TooLong),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(bytes), Err(expected), "{bytes:?}");
        }
        assert_eq!(read(&split(&said("a.example"), 1)), Err(NotTls::TooLong), "in too many records");
    }

    #[test]
    fn names_are_compared_in_lower_case() {
        assert_eq!(host(b"A.Example."), Ok("a.example".to_owned()));
        for odd in [&b""[..], b"a b", b"a\0", b"\xe4", &[b'a'; 256]] {
            assert_eq!(host(odd), Err(NotTls::Name));
        }
    }

    #[tokio::test]
    async fn every_byte_that_was_read_is_there_again() {
        let bytes = [said("a.example"), b"and more".to_vec()].concat();
        let (hello, read) = receive(&mut &bytes[..]).await.unwrap();
        assert_eq!(hello.server_name.as_deref(), Some("a.example"));
        assert!(bytes.starts_with(&read) && read.len() >= bytes.len() - 8);
        assert!(matches!(receive(&mut &bytes[..20]).await, Err(ReadError::Io(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(at in 0_usize..200, with: u8, bytes in proptest::collection::vec(0_u8.., 0..64)) {
            _ = read(&bytes);
            _ = read(&[&b"\x16\x03\x01"[..], &bytes].concat());
            let mut changed = said("a.example");
            changed[at] = with;
            _ = read(&changed);
        }
    }
}
