//! OpenSSL's own client: another TLS than ours at the other end.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// No handshake takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is asked for after a handshake.
const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// What `openssl s_client` says of a connection on which it sent a request.
pub struct Shaken(pub String);

/// Connects with these arguments, sends a request and reads to the end.
pub async fn s_client(address: SocketAddr, arguments: &[&str]) -> Shaken {
    s_client_says(address, arguments, REQUEST).await
}

/// As `s_client`, sending this once the handshake is done.
pub async fn s_client_says(address: SocketAddr, arguments: &[&str], text: &str) -> Shaken {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let text = text.to_owned();
    tokio::task::spawn_blocking(move || run(address, &arguments, &text)).await.expect("openssl runs")
}

fn run(address: SocketAddr, arguments: &[String], text: &str) -> Shaken {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string()]).args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let outputs: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
    let readers = outputs.map(|mut output| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            output.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
        })
    });
    // The client may be gone before it reads; it waits for more until the gateway ends the connection.
    let mut input = child.stdin.take().unwrap();
    _ = input.write_all(text.as_bytes());
    let end = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    _ = child.kill();
    _ = child.wait();
    drop(input);
    Shaken(readers.map(|reader| reader.join().unwrap().unwrap_or_default()).concat())
}

impl Shaken {
    /// Whether the request was answered.
    pub fn is_answered(&self) -> bool {
        self.0.contains("HTTP/1.1 ")
    }

    /// Whether all of these are in what was said.
    #[track_caller]
    pub fn expect(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.0.contains(part), "{part:?} is not in\n{}", self.0);
        }
    }

    /// Whether the session is that of an earlier connection.
    #[track_caller]
    pub fn is_resumed(&self) -> bool {
        assert!(self.is_answered(), "{}", self.0);
        self.0.contains("Reused, TLS")
    }
}
