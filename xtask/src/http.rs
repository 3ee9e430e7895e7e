//! A client that is just enough for the demo and the benchmark: one request a connection, plain HTTP/1.1 on loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// No answer takes longer: compiling an uploaded module does not.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
pub struct Response {
    /// The status, such as 200.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// The body, without chunk framing.
    pub body: Vec<u8>,
}

impl Response {
    /// A header by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request to a port of this machine.
pub fn call(port: u16, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
    send(port, target, headers, body).with_context(|| format!("sending {target} to port {port}"))
}

fn send(port: u16, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut head = format!("{target} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || !target.starts_with("GET ") {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes).context("the answer is not HTTP")
}

fn parse(bytes: &[u8]) -> Option<Response> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut response = Response { status, head, body: bytes[end + 4..].to_vec() };
    if response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        response.body = join_chunks(&response.body);
    }
    Some(response)
}

fn join_chunks(mut bytes: &[u8]) -> Vec<u8> {
    let mut joined = Vec::new();
    while let Some(line) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size =
            std::str::from_utf8(&bytes[..line]).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let (Some(size), start) = (size.filter(|size| *size > 0), line + 2) else {
            break;
        };
        joined.extend_from_slice(&bytes[start.min(bytes.len())..(start + size).min(bytes.len())]);
        bytes = bytes.get(start + size + 2..).unwrap_or_default();
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_answer_is_read_with_and_without_chunks() {
        let plain = parse(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello").expect("it is an answer");
        assert_eq!((plain.status, plain.header("a"), plain.text().as_str()), (200, Some("b"), "hello"));
        let chunked = parse(b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        let chunked = chunked.expect("it is an answer");
        assert_eq!((chunked.status, chunked.text().as_str()), (401, "abcde"));
        assert!(parse(b"not an answer").is_none());
    }
}
