//! Bytes as they are on the wire, for what no well-behaved client would send.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The other side closes before, or has nothing more to say.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends the bytes and reads until the other side closes.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the gateway listens");
    // A refusal may come, and the connection close, before everything was written.
    _ = stream.write_all(bytes).await;
    read_until(&mut stream, "no such text").await
}

/// Reads until `end` was read, the other side closes, or patience ends.
pub async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    let read = async {
        let mut chunk = [0; 8192];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            answer.extend_from_slice(&chunk[..count]);
            if answer.windows(end.len()).any(|window| window == end.as_bytes()) {
                break;
            }
        }
    };
    _ = timeout(PATIENCE, read).await;
    String::from_utf8_lossy(&answer).into_owned()
}
