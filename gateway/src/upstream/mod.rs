//! Requests to targets over pooled connections: HTTP/1.1, one request at a time, or HTTP/2, many at once. One [`Client`] a
//! worker: nothing is shared between workers and nothing locks. Decides neither which target is asked (`balancer`) nor what
//! the client is told (`proxy`).
//!
//! A connection of HTTP/1.1 has no task of its own: the request that uses it polls it, and so does the answer's body. Only
//! where an answer begins before the request has ended, a task moves both.

mod body;
mod connect;
mod deadline;
mod driven;
mod http2;
mod link;
mod metered;
mod pool;
mod retry;
#[cfg(test)]
mod tests;
mod tunnel;

use std::{cell::Cell, io, net::SocketAddr, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use rustls_pki_types::ServerName;

use crate::tls::TargetTls;

pub use body::{BodyError, RequestBody, ResponseBody, Upload};
pub use pool::PoolStatus;
pub use retry::{Again, may_retry};
pub use tunnel::{Passed, Tunnel, TunnelError};

use http2::Trunks;
use link::Link;
use pool::Pool;

/// Limits of the pool of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Idle connections that are kept to one address with one TLS identity. Default 512, 0 keeps none.
    pub pool_size: usize,
    /// How long one may be idle. Default 60 s; met within a second.
    pub idle_timeout: Duration,
    /// Requests on one connection. Default 10,000.
    pub requests_per_connection: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { pool_size: 512, idle_timeout: Duration::from_secs(60), requests_per_connection: 10_000 }
    }
}

/// Who a target must be for a TLS connection to be the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsIdentity {
    /// Sent as SNI and, when verified, looked for in the certificate.
    pub server_name: ServerName<'static>,
    /// Whom to trust, and what to show.
    pub settings: TargetTls,
}

impl TlsIdentity {
    /// Who is called by this host, without a port; by its address if that cannot be a name.
    pub fn of(host: &str, address: SocketAddr, settings: &TargetTls) -> Self {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        let server_name = name.unwrap_or_else(|_| ServerName::IpAddress(address.ip().into()));
        Self { server_name, settings: settings.clone() }
    }
}

/// What is spoken to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: agreed on by ALPN over TLS, with prior knowledge on clear text.
    Http2,
    /// Whatever the client speaks: such connections are in no pool.
    Any,
}

/// Where a connection leads. Two requests share a connection only if all of it is equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// Address of the target.
    pub address: SocketAddr,
    /// TLS, or `None` for clear text.
    pub tls: Option<TlsIdentity>,
    /// What is spoken.
    pub protocol: Protocol,
}

/// How long to wait.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// Between two writes.
    pub write: Duration,
    /// Between two reads.
    pub read: Duration,
}

/// Why a target gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The target refused or could not be reached.
    #[error("connecting to {0} failed")]
    Connect(SocketAddr, #[source] io::Error),
    /// The target did not take the connection in time.
    #[error("connecting to {0} took longer than {1:?}")]
    ConnectTimeout(SocketAddr, Duration),
    /// The connection broke before any byte of an answer.
    #[error("the connection to {address} broke before an answer")]
    Broken {
        /// The target.
        address: SocketAddr,
        /// Whether it came from the pool.
        reused: bool,
        /// Whether bytes of the request may have reached the target.
        sent: bool,
        /// What happened, if the HTTP engine told.
        #[source]
        source: Option<hyper::Error>,
    },
    /// What the target sent is not HTTP.
    #[error("the answer of {0} is not valid")]
    Invalid(SocketAddr, #[source] hyper::Error),
    /// What the target sent can be read in two ways.
    #[error("the answer of {0} is not valid: {1}")]
    Ambiguous(SocketAddr, &'static str),
    /// The target took no bytes of the request in time.
    #[error("{0} took no bytes for {1:?}")]
    WriteTimeout(SocketAddr, Duration),
    /// The target sent no bytes of an answer in time.
    #[error("{0} sent no answer for {1:?}")]
    ReadTimeout(SocketAddr, Duration),
    /// The request's own body broke off or stalled, which is no fault of the target.
    #[error("the body of the request ended early")]
    Upload(#[source] UploadError),
}

/// Why a request's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The client sent nothing in time.
    #[error("the client sent nothing for {0:?}")]
    Stalled(Duration),
    /// Reading it failed, or it was refused on its way.
    #[error("reading it failed")]
    Failed(#[source] hyper::Error),
}

/// The connections to targets of one worker.
#[derive(Debug)]
pub struct Client {
    settings: Rc<Cell<Settings>>,
    pool: Rc<Pool>,
    trunks: Trunks,
}

impl Client {
    /// A client with an empty pool.
    pub fn new(settings: Settings) -> Self {
        let settings = Rc::new(Cell::new(settings));
        let (pool, trunks) = (Rc::new(Pool::new(settings.clone())), Trunks::new(settings.clone()));
        Self { settings, pool, trunks }
    }

    /// Other limits from now on.
    pub fn configure(&self, settings: Settings) {
        self.settings.set(settings);
    }

    /// Sends a request over an idle connection or a new one. Returns when the head of the answer was read; its body
    /// gives the connection back.
    ///
    /// # Cancel safety
    /// Safe: a dropped request closes its connection.
    pub fn send<'a>(
        &'a self,
        key: &'a PoolKey,
        request: Request<RequestBody>,
        timeouts: &'a Timeouts,
    ) -> impl Future<Output = Result<Response<ResponseBody>, SendError>> + 'a {
        // Not in the future where it can be helped: a request is large, and each future would have a copy of it.
        let can_repeat = key.protocol == Protocol::Http1 && request.body().progress().is_none();
        let begun = match can_repeat.then(|| self.pool.take(key)).flatten() {
            Some(mut link) => {
                let sent = link.begin(request);
                Ok((link, sent))
            }
            None => Err(Box::new(request)),
        };
        async move {
            let (mut link, sent) = match begun {
                Ok(begun) => begun,
                // The futures of rare cases are boxed: they would be moved about with that of every request.
                Err(request) if key.protocol == Protocol::Http2 => {
                    return Box::pin(self.send_http2(key, *request, timeouts)).await;
                }
                Err(request) if matches!(request.body(), RequestBody::Stream(_)) => {
                    return Box::pin(self.send_upload(key, *request, timeouts)).await;
                }
                Err(request) => {
                    let mut link = Box::pin(self.proven(key, timeouts)).await?;
                    let sent = link.begin(*request);
                    (link, sent)
                }
            };
            let answer = link.finish(sent, timeouts, key.address).await;
            self.receive(link, answer, timeouts)
        }
    }

    /// The answer with what gives its connection back.
    fn receive(
        &self,
        link: Box<Link>,
        answer: Result<Response<Incoming>, SendError>,
        timeouts: &Timeouts,
    ) -> Result<Response<ResponseBody>, SendError> {
        if matches!(answer, Err(SendError::Broken { reused: true, sent: false, .. })) {
            self.pool.note_stale();
        }
        let answer = answer?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer.map(|body| ResponseBody::switched(body, *link, self.pool.clone(), timeouts)));
        }
        Ok(answer.map(|body| ResponseBody::new(body, link, self.pool.clone(), timeouts.read)))
    }

    /// A connection of its own, for bytes of any kind. `first` is said before anything else, TLS included.
    ///
    /// # Cancel safety
    /// Safe: a dropped attempt closes its connection.
    pub async fn open(&self, key: &PoolKey, timeouts: &Timeouts, first: &[u8]) -> Result<Tunnel, SendError> {
        let opened = tokio::time::timeout(timeouts.connect, connect::open_saying(key, first)).await;
        let io = opened.map_err(|_| SendError::ConnectTimeout(key.address, timeouts.connect))??;
        Ok(Tunnel::new(io, Bytes::new(), timeouts.read, timeouts.write))
    }

    /// Called once a second: drops idle connections that are too old or were closed by their target.
    pub fn tick(&self) {
        self.pool.tick();
        self.trunks.tick();
    }

    /// What the pool holds and did.
    pub fn status(&self) -> PoolStatus {
        self.pool.status()
    }

    async fn send_http2(
        &self,
        key: &PoolKey,
        request: Request<RequestBody>,
        timeouts: &Timeouts,
    ) -> Result<Response<ResponseBody>, SendError> {
        let taken = tokio::time::timeout(timeouts.connect, self.trunks.take(key, connect::open(key))).await;
        let mut stream = taken.map_err(|_| SendError::ConnectTimeout(key.address, timeouts.connect))??;
        let answer = stream.send(request, timeouts, key).await?;
        Ok(answer.map(|body| ResponseBody::of_stream(body, stream, self.pool.clone(), timeouts.read)))
    }

    /// A request whose body comes piece by piece.
    async fn send_upload(
        &self,
        key: &PoolKey,
        request: Request<RequestBody>,
        timeouts: &Timeouts,
    ) -> Result<Response<ResponseBody>, SendError> {
        let progress = request.body().progress();
        let mut link = self.proven(key, timeouts).await?;
        let sent = link.begin(request);
        let answer = link.finish(sent, timeouts, key.address).await;
        let answer = self.receive(link, answer, timeouts)?;
        let goes_on = progress.is_some_and(|progress| !progress.ended.get());
        Ok(if goes_on { answer.map(ResponseBody::beside_upload) } else { answer })
    }

    /// A connection that is open for sure, or as good as.
    async fn proven(&self, key: &PoolKey, timeouts: &Timeouts) -> Result<Box<Link>, SendError> {
        if let Some(link) = self.pool.take_proven(key).await {
            return Ok(link);
        }
        let opening = connect::open(key);
        let opened = tokio::time::timeout(timeouts.connect, opening).await;
        let io = opened.map_err(|_| SendError::ConnectTimeout(key.address, timeouts.connect))??;
        Link::start(io, Rc::new(key.clone())).await
    }
}
