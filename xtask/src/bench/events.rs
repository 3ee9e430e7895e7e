//! Server-sent events: how much later than the target wrote them a client reads them, by the one clock of this process.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Streams, one after the other, over one connection.
const STREAMS: usize = 500;
/// How long a target thinks before the first event, and before the second: both sides wait when it comes.
const PAUSE: Duration = Duration::from_millis(3);
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
const FIRST: &str = "data: 1\n\n";
const SECOND: &str = "data: 2\n\n";
/// No event takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Milliseconds from the target's write to the client's read, sorted: of the first event, which comes with the answer's head,
/// and of the second.
pub struct Delays {
    pub first: Vec<f64>,
    pub second: Vec<f64>,
}

/// The target: any request is answered with two events.
pub struct Source {
    pub port: u16,
    written: Receiver<Instant>,
}

impl Source {
    /// Starts it on a thread of its own, which lasts as long as this process.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (say, written) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let say = say.clone();
                thread::spawn(move || answer(stream, &say));
            }
        });
        Ok(Self { port, written })
    }

    /// Reads streams through this port: the source's own, or that of what is between.
    pub fn measure(&self, port: u16, path: &str) -> Result<Delays> {
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        client.set_nodelay(true)?;
        client.set_read_timeout(Some(PATIENCE))?;
        let mut delays = Delays { first: Vec::with_capacity(STREAMS), second: Vec::with_capacity(STREAMS) };
        for _ in 0..STREAMS {
            client.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
            let mut seen = Vec::new();
            delays.first.push(self.delay(&mut client, &mut seen, FIRST)?);
            delays.second.push(self.delay(&mut client, &mut seen, SECOND)?);
            await_text(&mut client, &mut seen, "\r\n0\r\n\r\n")?;
        }
        delays.first.sort_by(f64::total_cmp);
        delays.second.sort_by(f64::total_cmp);
        Ok(delays)
    }

    fn delay(&self, client: &mut TcpStream, seen: &mut Vec<u8>, event: &str) -> Result<f64> {
        await_text(client, seen, event)?;
        let read = Instant::now();
        let written = self.written.recv_timeout(PATIENCE).context("an event that nobody wrote")?;
        Ok((read - written).as_secs_f64() * 1000.0)
    }
}

/// Reads until this was among it.
fn await_text(client: &mut TcpStream, seen: &mut Vec<u8>, text: &str) -> Result<()> {
    let mut some = [0; 4096];
    while !seen.windows(text.len()).any(|part| part == text.as_bytes()) {
        match client.read(&mut some)? {
            0 => bail!("a stream of events ended early: {}", String::from_utf8_lossy(seen)),
            size => seen.extend_from_slice(&some[..size]),
        }
    }
    Ok(())
}

/// Serves one connection until it ends.
fn answer(mut stream: TcpStream, say: &Sender<Instant>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    let mut some = [0; 4096];
    loop {
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut some)? {
                0 => return Ok(()),
                size => request.extend_from_slice(&some[..size]),
            }
        }
        request.clear();
        for (before, event) in [(HEAD, FIRST), ("", SECOND)] {
            thread::sleep(PAUSE);
            let chunk = format!("{before}{:x}\r\n{event}\r\n", event.len());
            let begun = Instant::now();
            stream.write_all(chunk.as_bytes())?;
            say.send(begun).map_err(|_| ErrorKind::BrokenPipe)?;
        }
        stream.write_all(b"0\r\n\r\n")?;
    }
}
