//! Targets and clients of streams: bytes that are no HTTP.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that says its name, then what it hears, and `.` when it hears no more. It ends with its value.
pub struct StreamTarget {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
    connections: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl StreamTarget {
    /// For TCP.
    pub async fn named(name: &'static str) -> Self {
        Self::serving(name, None).await
    }

    /// For TLS.
    pub async fn secured(name: &'static str, acceptor: TlsAcceptor) -> Self {
        Self::serving(name, Some(acceptor)).await
    }

    /// For UDP: answers each datagram with its name and the same once more.
    pub async fn datagrams(name: &'static str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("a bound socket");
        let (heard, connections) = Default::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut space = vec![0; 65_535];
            while let Ok((length, peer)) = socket.recv_from(&mut space).await {
                let answer = [name.as_bytes(), b" ", &space[..length]].concat();
                _ = socket.send_to(&answer, peer).await;
            }
        });
        Self { address, heard, connections, _tasks: tasks }
    }

    async fn serving(name: &'static str, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (heard, connections) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicU64>::default());
        let (into, count, mut tasks) = (heard.clone(), connections.clone(), JoinSet::new());
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Relaxed);
                let (into, acceptor) = (into.clone(), acceptor.clone());
                open.spawn(async move {
                    match acceptor {
                        None => _ = echo(name, stream, into).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                _ = echo(name, stream, into).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, heard, connections, _tasks: tasks }
    }

    /// Every byte that it heard, of all connections.
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().expect("nothing panics").clone()
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }
}

async fn echo(
    name: &str,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    heard: Arc<Mutex<Vec<u8>>>,
) -> std::io::Result<()> {
    stream.write_all(format!("{name} ").as_bytes()).await?;
    stream.flush().await?;
    let mut space = vec![0; 65_536];
    loop {
        let length = stream.read(&mut space).await?;
        if length == 0 {
            stream.write_all(b".").await?;
            return stream.shutdown().await;
        }
        heard.lock().expect("nothing panics").extend_from_slice(&space[..length]);
        stream.write_all(&space[..length]).await?;
        stream.flush().await?;
    }
}

/// Says something, ends its side, and hears the other one out. What was heard until it ended, or broke off.
pub async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, words: &[u8]) -> String {
    // The other side may be gone already.
    _ = stream.write_all(words).await;
    _ = stream.shutdown().await;
    let mut heard = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
    _ = end.expect("it ends in time");
    String::from_utf8_lossy(&heard).into_owned()
}

/// Hears so many bytes.
pub async fn hear(stream: &mut (impl AsyncRead + Unpin), length: usize) -> String {
    let mut heard = vec![0; length];
    let read = timeout(PATIENCE, stream.read_exact(&mut heard)).await.expect("it is said in time");
    read.expect("so much is said");
    String::from_utf8_lossy(&heard).into_owned()
}
