//! `outbound-http`: requests of a plugin's own, to hosts it was granted.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::plugin::{
    bindings::sandgate::plugin::{
        outbound_http::{Call, Host},
        types::{HostError, Response},
    },
    instance::{HostState, Stage},
};

const LARGEST_ANSWER: usize = 8 << 20;
const LONGEST: Duration = Duration::from_secs(600);
/// How long a connection may wait for its next use where the plugin does not say, and at most; and how many of one
/// destination may.
const KEPT: Duration = Duration::from_secs(60);
const KEPT_LONGEST: Duration = Duration::from_secs(600);
const KEPT_MOST: usize = 16;
/// How late a connection may be closed.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// Connections that may be used again.
#[derive(Default)]
pub(in crate::plugin) struct Outbound {
    idle: Mutex<HashMap<Destination, Vec<Idle>>>,
    verifying: std::sync::OnceLock<Arc<ClientConfig>>,
    trusting: std::sync::OnceLock<Arc<ClientConfig>>,
}

struct Idle {
    sender: SendRequest<Full<Bytes>>,
    until: Instant,
}

impl Idle {
    fn is_usable(&self) -> bool {
        Instant::now() < self.until && !self.sender.is_closed()
    }
}

/// What a connection was made for; equal in every part, or not shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Destination {
    secure: bool,
    verify: bool,
    host: String,
    port: u16,
}

impl Outbound {
    async fn send(
        &self,
        destination: Destination,
        request: Request<Full<Bytes>>,
        keep: Duration,
    ) -> Result<Response, HostError> {
        if let Some(mut kept) = self.take_idle(&destination) {
            // A kept connection may have died unseen; a new one is made then.
            if let Ok(answer) = kept.send_request(request.clone()).await {
                return self.read((destination, keep), kept, answer).await;
            }
        }
        let mut sender = self.connect(&destination).await?;
        let answer = sender.send_request(request).await.map_err(|error| failed("no answer", error))?;
        self.read((destination, keep), sender, answer).await
    }

    /// Closes the connections that waited long enough.
    pub(super) fn sweep(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, kept| {
            kept.retain(Idle::is_usable);
            !kept.is_empty()
        });
    }

    async fn read(
        &self,
        (destination, keep): (Destination, Duration),
        sender: SendRequest<Full<Bytes>>,
        answer: http::Response<hyper::body::Incoming>,
    ) -> Result<Response, HostError> {
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await;
        let body = body.map_err(|error| HostError::Failed(format!("the answer could not be read: {error}")))?;
        if !sender.is_closed() && !keep.is_zero() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = idle.entry(destination).or_default();
            kept.retain(Idle::is_usable);
            if kept.len() < KEPT_MOST {
                kept.push(Idle { sender, until: Instant::now() + keep });
            }
        }
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Response { status: head.status.as_u16(), headers, body: body.to_bytes().to_vec() })
    }

    fn take_idle(&self, destination: &Destination) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.get_mut(destination)?;
        while let Some(last) = kept.pop() {
            if last.is_usable() {
                return Some(last.sender);
            }
        }
        None
    }

    async fn connect(&self, destination: &Destination) -> Result<SendRequest<Full<Bytes>>, HostError> {
        let address = (destination.host.as_str(), destination.port);
        let stream = TcpStream::connect(address).await.map_err(|error| failed("no connection", error))?;
        let _ = stream.set_nodelay(true);
        if !destination.secure {
            return drive(stream).await;
        }
        let config = self.tls(destination.verify)?;
        let name = ServerName::try_from(destination.host.clone());
        let name = name.map_err(|_| HostError::Invalid(format!("'{}' is not a server name", destination.host)))?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        drive(stream.map_err(|error| failed("no TLS", error))?).await
    }

    fn tls(&self, verify: bool) -> Result<Arc<ClientConfig>, HostError> {
        let place = if verify { &self.verifying } else { &self.trusting };
        if let Some(config) = place.get() {
            return Ok(config.clone());
        }
        let config = Arc::new(crate::tls::client_config(verify).map_err(|error| failed("no TLS", error))?);
        Ok(place.get_or_init(|| config).clone())
    }
}

async fn drive<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, HostError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| failed("no HTTP", error))?;
    #[expect(clippy::disallowed_methods, reason = "ends by itself with its connection, on whichever runtime calls")]
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection of a plugin ended");
        }
    });
    Ok(sender)
}

fn failed(what: &str, error: impl std::fmt::Display) -> HostError {
    HostError::Failed(format!("{what}: {error}"))
}

impl Host for HostState {
    async fn send(&mut self, call: Call) -> Result<Response, HostError> {
        self.send_and_keep(call, KEPT).await
    }

    async fn send_kept(&mut self, call: Call, keep: u32) -> Result<Response, HostError> {
        self.send_and_keep(call, Duration::from_millis(keep.into()).min(KEPT_LONGEST)).await
    }
}

impl HostState {
    async fn send_and_keep(&mut self, call: Call, keep: Duration) -> Result<Response, HostError> {
        if !matches!(self.stage, Stage::RequestHeaders | Stage::ResponseHeaders | Stage::Background) {
            return Err(HostError::Denied("outbound-http in this phase".into()));
        }
        self.permit("outbound-http")?;
        let (destination, request, limit) = prepare(call)?;
        self.permit_for("outbound-http", &format!("{}:{}", destination.host, destination.port))?;
        let services = self.services().clone();
        let sent = tokio::time::timeout(limit, services.outbound.send(destination, request, keep));
        sent.await.map_err(|_| HostError::Timeout)?
    }
}

fn prepare(call: Call) -> Result<(Destination, Request<Full<Bytes>>, Duration), HostError> {
    let invalid = |what: String| HostError::Invalid(what);
    let uri: Uri = call.url.parse().map_err(|_| invalid(format!("'{}' is not a url", call.url)))?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(invalid(format!("'{}' is neither http nor https", call.url))),
    };
    let host = uri.host().ok_or_else(|| invalid(format!("'{}' names no host", call.url)))?.to_owned();
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let method = Method::from_bytes(call.method.as_bytes()).map_err(|_| invalid("the method".into()))?;
    let mut request = Request::builder().method(method).uri(target);
    let default_port = if secure { 443 } else { 80 };
    let authority = if port == default_port { host.clone() } else { format!("{host}:{port}") };
    request = request.header(header::HOST, authority);
    for (name, value) in &call.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(format!("header '{name}'")))?;
        let value = HeaderValue::from_str(value).map_err(|_| invalid(format!("the value of '{name}'")))?;
        if name != header::HOST && name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            request = request.header(name, value);
        }
    }
    let request = request.body(Full::new(call.body.into())).map_err(|error| invalid(error.to_string()))?;
    let limit = Duration::from_millis(call.timeout.max(1).into()).min(LONGEST);
    Ok((Destination { secure, verify: call.verify_tls, host, port }, request, limit))
}
