//! New connections to targets.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{PoolKey, Protocol, SendError};

/// A connection to a target.
#[derive(Debug)]
pub(super) enum TargetIo {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects, with TLS where the key says so.
pub(super) async fn open(key: &PoolKey) -> Result<TargetIo, SendError> {
    open_saying(key, b"").await
}

/// As [`open`], and says something before anything else, TLS included.
pub(super) async fn open_saying(key: &PoolKey, first: &[u8]) -> Result<TargetIo, SendError> {
    let failed = |error| SendError::Connect(key.address, error);
    let mut stream = TcpStream::connect(key.address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    if !first.is_empty() {
        stream.write_all(first).await.map_err(failed)?;
    }
    let Some(identity) = &key.tls else {
        return Ok(TargetIo::Plain(stream));
    };
    let mut config = identity.settings.config();
    match key.protocol {
        Protocol::Http1 => {}
        Protocol::Http2 => Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()],
        Protocol::Any => Arc::make_mut(&mut config).alpn_protocols.clear(),
    }
    let handshake = TlsConnector::from(config).connect(identity.server_name.clone(), stream);
    Ok(TargetIo::Tls(Box::new(handshake.await.map_err(failed)?)))
}

impl AsyncRead for TargetIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for TargetIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Tls(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
