//! One check of one target.

use std::{
    borrow::Cow,
    io,
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::grpc;
use crate::{
    balancer::Report,
    shutdown::Tasks,
    snapshot::{Security, TargetEntry, UpstreamEntry},
};

/// Bytes of an answer that are read: its first line is all that counts.
const LINE: usize = 1_024;

/// How the targets of an upstream are checked.
pub(super) struct Probe {
    kind: Kind,
    timeout: Duration,
    path: Arc<str>,
    /// What they are called, in place of their own names.
    host: Option<Arc<str>>,
    server_name: Option<Arc<str>>,
    /// Where it is TLS that can be spoken.
    tls: Option<Arc<ClientConfig>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http { tls: bool },
    Grpc { tls: bool },
}

/// What a target answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A status.
    Status(u16),
    /// That it can be asked.
    Fine,
    /// That it should not be asked.
    NotFine,
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("it took longer than {0:?}")]
    Timeout(Duration),
    #[error("the connection failed")]
    Connection(#[from] io::Error),
    #[error("there is no TLS that can be spoken with it")]
    Unfit,
    #[error("its answer is not valid")]
    Invalid,
    #[error("its gRPC answer failed")]
    Grpc(#[from] hyper::Error),
}

impl ProbeError {
    /// What it says of the target.
    pub(super) fn report(&self) -> Report {
        match self {
            Self::Timeout(_) => Report::Timeout,
            Self::Connection(_) | Self::Unfit | Self::Invalid | Self::Grpc(_) => Report::TcpFailure,
        }
    }
}

/// Where there is a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Probe {
    pub(super) fn of(entry: &UpstreamEntry) -> Self {
        let upstream = &entry.upstream;
        let checks = &upstream.healthchecks.active;
        let kind = match &*checks.r#type {
            "tcp" => Kind::Tcp,
            "https" => Kind::Http { tls: true },
            "grpc" => Kind::Grpc { tls: false },
            "grpcs" => Kind::Grpc { tls: true },
            _ => Kind::Http { tls: false },
        };
        let pairs = checks.headers.iter().flatten();
        let pairs = pairs.flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        Self {
            kind,
            timeout: Duration::from_secs_f64(checks.timeout.clamp(0.001, 65_535.0)),
            path: checks.http_path.clone(),
            host: upstream.host_header.clone(),
            server_name: checks.https_sni.clone(),
            tls: tls(entry, kind),
            headers: pairs.filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect(),
        }
    }

    /// Asks a target at an address of it, for as long as the timeout says.
    pub(super) async fn ask(
        &self,
        target: &TargetEntry,
        address: SocketAddr,
        tasks: &Tasks,
    ) -> Result<Heard, ProbeError> {
        let asked = tokio::time::timeout(self.timeout, self.ask_at_leisure(target, address, tasks)).await;
        asked.unwrap_or(Err(ProbeError::Timeout(self.timeout)))
    }

    async fn ask_at_leisure(
        &self,
        target: &TargetEntry,
        address: SocketAddr,
        tasks: &Tasks,
    ) -> Result<Heard, ProbeError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match self.kind {
            Kind::Tcp => Ok(Heard::Fine),
            Kind::Http { tls: false } => self.ask_http(stream, target).await,
            Kind::Http { tls: true } => self.ask_http(self.secure(stream, target).await?, target).await,
            Kind::Grpc { tls: false } => grpc::ask(Box::new(stream), &self.host(target), tasks).await,
            Kind::Grpc { tls: true } => {
                let stream = self.secure(stream, target).await?;
                grpc::ask(Box::new(stream), &self.host(target), tasks).await
            }
        }
    }

    async fn secure(&self, stream: TcpStream, target: &TargetEntry) -> Result<impl Stream + use<>, ProbeError> {
        let config = self.tls.clone().ok_or(ProbeError::Unfit)?;
        let host = self.server_name.as_deref().unwrap_or(&target.host).to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        Ok(TlsConnector::from(config).connect(name, stream).await?)
    }

    async fn ask_http(&self, mut stream: impl Stream, target: &TargetEntry) -> Result<Heard, ProbeError> {
        let mut request = format!("GET {} HTTP/1.1\r\nhost: ", self.path).into_bytes();
        request.extend_from_slice(self.host(target).as_bytes());
        request.extend_from_slice(concat!("\r\nuser-agent: sandgate/", env!("CARGO_PKG_VERSION")).as_bytes());
        request.extend_from_slice(b"\r\nconnection: close\r\n");
        for (name, value) in &self.headers {
            request.extend_from_slice(name.as_str().as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await?;
        let mut line = Vec::with_capacity(LINE);
        while !line.contains(&b'\n') && line.len() < LINE {
            if stream.read_buf(&mut line).await? == 0 {
                break;
            }
        }
        status(&line).map(Heard::Status).ok_or(ProbeError::Invalid)
    }

    /// What a target is called; names come without the port, as from Kong.
    fn host<'a>(&'a self, target: &'a TargetEntry) -> Cow<'a, str> {
        match self.host.as_deref().unwrap_or(&target.host) {
            host if host.parse::<Ipv6Addr>().is_ok() => Cow::Owned(format!("[{host}]")),
            host => Cow::Borrowed(host),
        }
    }
}

/// The settings of an upstream, with the protocol that its checks speak.
fn tls(entry: &UpstreamEntry, kind: Kind) -> Option<Arc<ClientConfig>> {
    match &entry.checked_over {
        Security::Clear => None,
        Security::Unfit(reason) => {
            let upstream = &*entry.upstream.name;
            tracing::error!(upstream, reason, "its checks over TLS fail");
            None
        }
        Security::Tls(settings) => {
            let mut config = (*settings.config()).clone();
            let protocol = if matches!(kind, Kind::Grpc { .. }) { "h2" } else { "http/1.1" };
            config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
            Some(Arc::new(config))
        }
    }
}

/// The status of a status line.
fn status(line: &[u8]) -> Option<u16> {
    let text = line.strip_prefix(b"HTTP/1.")?;
    let (_, text) = text.split_first()?;
    let digits = text.strip_prefix(b" ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|status| (100..1000).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_begins_as_http_does() {
        let cases: [(&[u8], Option<u16>); 6] = [
            (b"HTTP/1.1 200 OK\r\n", Some(200)),
            (b"HTTP/1.0 503\r\n", Some(503)),
            (b"HTTP/2 200\r\n", None),
            (b"SSH-2.0-OpenSSH\r\n", None),
            (b"HTTP/1.1 2", None),
            (b"", None),
        ];
        for (line, expected) in cases {
            assert_eq!(status(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }
}
