//! The upstream of every measured gateway: one thread, one poll, 128 bytes for any request, connections kept alive.
//! It runs as a process of its own, so that its time is nobody else's.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// The hidden subcommand.
#[derive(clap::Args)]
pub struct Options {
    /// The port to listen on
    port: u16,
}

const LISTENER: Token = Token(0);
const BODY: usize = 128;

struct Connection {
    stream: TcpStream,
    /// Bytes of a request head that has not ended yet.
    begun: Vec<u8>,
}

/// Serves until it is killed.
pub fn run(options: &Options) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], options.port).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(512);
    let mut connections: HashMap<Token, Connection> = HashMap::new();
    let mut next = LISTENER.0;
    let response = response();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections, &mut next)?;
            } else if let Some(connection) = connections.get_mut(&event.token())
                && serve(connection, &response).is_none()
            {
                connections.remove(&event.token());
            }
        }
    }
}

fn response() -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: {BODY}\r\n\r\n");
    [head.as_bytes(), &[b'a'; BODY]].concat()
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    connections: &mut HashMap<Token, Connection>,
    next: &mut usize,
) -> Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        *next += 1;
        stream.set_nodelay(true)?;
        poll.registry().register(&mut stream, Token(*next), Interest::READABLE)?;
        connections.insert(Token(*next), Connection { stream, begun: Vec::new() });
    }
    Ok(())
}

/// Answers what has arrived; `None` once the connection has ended. Requests have no bodies, and an answer fits into the
/// buffer of the socket.
fn serve(connection: &mut Connection, response: &[u8]) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match connection.stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(size) => {
                let requests = complete(&mut connection.begun, &buffer[..size]);
                for _ in 0..requests {
                    connection.stream.write_all(response).ok()?;
                }
                // The poll is edge-triggered, but a read that did not fill the buffer has emptied the socket.
                if size < buffer.len() {
                    return Some(());
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// How many request heads end in these bytes; keeps what is left over.
fn complete(begun: &mut Vec<u8>, arrived: &[u8]) -> usize {
    // Nearly always exactly one whole request.
    if begun.is_empty() && arrived.ends_with(b"\r\n\r\n") {
        return arrived.windows(4).filter(|four| four == b"\r\n\r\n").count();
    }
    begun.extend_from_slice(arrived);
    let ends = begun.windows(4).enumerate().filter(|(_, four)| four == b"\r\n\r\n");
    let ends: Vec<_> = ends.map(|(at, _)| at + 4).collect();
    begun.drain(..ends.last().copied().unwrap_or(0));
    ends.len()
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn requests_are_counted_however_they_arrive() {
        let cases: [(&str, &[&str], &[usize]); 4] = [
            ("one", &["GET / HTTP/1.1\r\n\r\n"], &[1]),
            ("two at once", &["GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"], &[2]),
            ("one in two parts", &["GET / HTTP/1.1\r\n", "\r\n"], &[0, 1]),
            ("one and a half", &["GET / HTTP/1.1\r\n\r\nGET", " / HTTP/1.1\r\n\r\n"], &[1, 1]),
        ];
        for (label, parts, expected) in cases {
            let mut begun = Vec::new();
            let counts: Vec<_> = parts.iter().map(|part| complete(&mut begun, part.as_bytes())).collect();
            assert_eq!(counts, expected, "{label}");
        }
    }
}
