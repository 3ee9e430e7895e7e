//! The PROXY protocol, versions 1 and 2: what a load balancer says of the connection that it passes on, before the first
//! byte of it (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>). Pure: bytes in, a header out, and back.
//!
//! ```
//! use sandgate::listener::proxy_protocol::{Header, Progress, read};
//!
//! let Ok(Progress::Done(Header::Passed(passed))) = read(b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n") else {
//!     panic!("this is a header");
//! };
//! assert_eq!(passed.source, "192.0.2.1:4711".parse().unwrap());
//! assert!(matches!(read(b"PROXY TCP4 192.0."), Ok(Progress::More(_))));
//! assert!(read(b"GET / HTTP/1.1\r\n").is_err());
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const WORD: &[u8; 6] = b"PROXY ";
/// The longest header of version 1, its end included.
const LONGEST_LINE: usize = 107;
/// The shortest one: `PROXY UNKNOWN`.
const SHORTEST_LINE: usize = 15;
/// Bytes of a header of version 2 before its addresses.
const FIXED: usize = 16;
/// The longest header of version 2: addresses and what else is said. nginx takes no more either.
const LONGEST: usize = 4096;

/// What was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The sender made the connection for itself, such as to see whether anybody listens.
    Local,
    /// For a client whose address is not told, or is none of the Internet's.
    Unknown,
    /// For this client.
    Passed(Passed),
}

/// Both ends of a connection that was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// The client.
    pub source: SocketAddr,
    /// Where it connected to.
    pub destination: SocketAddr,
}

/// How far a header has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// At least so many bytes more belong to it: reading as many reads nothing of what follows.
    More(usize),
    /// It is whole, and these bytes are no more than it.
    Done(Header),
}

/// Which version is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It begins like neither version.
    #[error("there is no PROXY header")]
    Missing,
    /// A line of version 1 that says nothing.
    #[error("the line of the PROXY header is not valid")]
    Line,
    /// A version 2 that is none, or a command or family that there is not.
    #[error("the PROXY header has an unknown version, command or family")]
    Kind,
    /// Addresses that are longer than the header, or more than anybody needs to say.
    #[error("the PROXY header has a wrong length")]
    Length,
}

/// Why no header was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The connection ended before.
    #[error("the connection ended before its PROXY header")]
    Io(#[from] std::io::Error),
}

/// Reads the header at the start of a connection, and nothing behind it.
///
/// # Cancel safety
/// Not safe: what was read is gone.
pub async fn receive(io: &mut (impl AsyncRead + Unpin)) -> Result<Header, ReadError> {
    let mut bytes = Vec::with_capacity(64);
    loop {
        let missing = match read(&bytes)? {
            Progress::Done(header) => return Ok(header),
            Progress::More(missing) => missing,
        };
        let before = bytes.len();
        bytes.resize(before + missing, 0);
        let got = io.read(&mut bytes[before..]).await?;
        if got == 0 {
            return Err(ReadError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
        bytes.truncate(before + got);
    }
}

/// Looks at the bytes of a connection so far.
///
/// # Errors
/// As soon as they can be no header.
pub fn read(bytes: &[u8]) -> Result<Progress, Malformed> {
    let common = bytes.len().min(SIGNATURE.len());
    if bytes[..common] == SIGNATURE[..common] {
        return read_binary(bytes);
    }
    let common = bytes.len().min(WORD.len());
    if bytes[..common] == WORD[..common] { read_line(bytes) } else { Err(Malformed::Missing) }
}

fn read_line(bytes: &[u8]) -> Result<Progress, Malformed> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        if bytes.len() >= LONGEST_LINE {
            return Err(Malformed::Line);
        }
        return Ok(Progress::More(SHORTEST_LINE.saturating_sub(bytes.len()).max(1)));
    };
    if end + 1 != bytes.len() || end >= LONGEST_LINE {
        return Err(Malformed::Line);
    }
    let line = bytes[WORD.len()..end].strip_suffix(b"\r").ok_or(Malformed::Line)?;
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(Progress::Done(Header::Unknown));
    }
    let passed = str::from_utf8(line).ok().and_then(passed_of_line).ok_or(Malformed::Line)?;
    Ok(Progress::Done(Header::Passed(passed)))
}

/// `TCP4 source destination port port`
fn passed_of_line(line: &str) -> Option<Passed> {
    let mut words = line.split(' ');
    let address: fn(&str) -> Option<IpAddr> = match words.next()? {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (source, destination) = (address(words.next()?)?, address(words.next()?)?);
    let (from, to) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    Some(Passed { source: SocketAddr::new(source, from), destination: SocketAddr::new(destination, to) })
}

/// Digits alone, without a zero in front.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

fn read_binary(bytes: &[u8]) -> Result<Progress, Malformed> {
    if bytes.len() < FIXED {
        // While it may still become a version 1, which is never shorter than the signature.
        let wanted = if bytes.len() < SIGNATURE.len() { SIGNATURE.len() } else { FIXED };
        return Ok(Progress::More(wanted - bytes.len()));
    }
    let is_local = match bytes[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed::Kind),
    };
    let length = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    let (family, transport) = (bytes[13] >> 4, bytes[13] & 0xf);
    if family > 3 || transport > 2 {
        return Err(Malformed::Kind);
    }
    let addresses = [0, 12, 36, 216][usize::from(family)];
    if FIXED + length > LONGEST || (!is_local && length < addresses) {
        return Err(Malformed::Length);
    }
    if bytes.len() < FIXED + length {
        return Ok(Progress::More(FIXED + length - bytes.len()));
    }
    if bytes.len() > FIXED + length {
        return Err(Malformed::Length);
    }
    Ok(Progress::Done(match (is_local, family) {
        (true, _) => Header::Local,
        (false, 1) => passed_of_bytes::<4>(&bytes[FIXED..]),
        (false, 2) => passed_of_bytes::<16>(&bytes[FIXED..]),
        (false, _) => Header::Unknown,
    }))
}

/// Two addresses of so many bytes, then two ports. What may follow (TLVs) is not looked at.
fn passed_of_bytes<const N: usize>(bytes: &[u8]) -> Header
where
    IpAddr: From<[u8; N]>,
{
    let (Some((source, rest)), true) = (bytes.split_first_chunk::<N>(), bytes.len() >= 2 * N + 4) else {
        return Header::Unknown;
    };
    let Some((destination, ports)) = rest.split_first_chunk::<N>() else { return Header::Unknown };
    let end = |address: &[u8; N], port: [u8; 2]| SocketAddr::new((*address).into(), u16::from_be_bytes(port));
    Header::Passed(Passed {
        source: end(source, [ports[0], ports[1]]),
        destination: end(destination, [ports[2], ports[3]]),
    })
}

impl Passed {
    /// The header that says so. Ends of two families are both written as IPv6.
    pub fn write(&self, version: Version) -> Vec<u8> {
        let (source, destination) = (self.source.ip().to_canonical(), self.destination.ip().to_canonical());
        match (version, source, destination) {
            (Version::V1, IpAddr::V4(from), IpAddr::V4(to)) => self.line("TCP4", &from, &to),
            (Version::V1, from, to) => self.line("TCP6", &sixteen(from), &sixteen(to)),
            (Version::V2, IpAddr::V4(from), IpAddr::V4(to)) => self.binary(0x11, &from.octets(), &to.octets()),
            (Version::V2, from, to) => self.binary(0x21, &sixteen(from).octets(), &sixteen(to).octets()),
        }
    }

    fn line(&self, family: &str, source: &dyn std::fmt::Display, destination: &dyn std::fmt::Display) -> Vec<u8> {
        let (from, to) = (self.source.port(), self.destination.port());
        format!("PROXY {family} {source} {destination} {from} {to}\r\n").into_bytes()
    }

    fn binary(&self, kind: u8, source: &[u8], destination: &[u8]) -> Vec<u8> {
        let length = (source.len() + destination.len() + 4) as u16;
        let ports = [self.source.port().to_be_bytes(), self.destination.port().to_be_bytes()].concat();
        [&SIGNATURE[..], &[0x21, kind], &length.to_be_bytes(), source, destination, &ports].concat()
    }
}

fn sixteen(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests;
