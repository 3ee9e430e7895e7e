//! What a listener hands connections to.

use std::{error::Error, future::Future, net::SocketAddr, pin::Pin, rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{bind::NOWHERE, proxy_protocol::Passed};
use crate::tls::ClientChain;

/// Facts of a connection.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Number of the connection in this process, from 1.
    pub serial: u64,
    /// The directly connected peer.
    pub peer: SocketAddr,
    /// Where it connected to.
    pub local: SocketAddr,
    /// What the peer said by the PROXY protocol, where the listener asks for it: whether it is true is not known here.
    pub passed: Option<Passed>,
    /// What the handshake settled, if TLS was terminated here.
    pub tls: Option<Handshake>,
}

impl Accepted {
    /// Whether the peer came through a socket in the file system, and so has no address.
    pub fn is_local_file(&self) -> bool {
        self.peer == NOWHERE
    }
}

/// What a TLS handshake settled.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// IANA name of the cipher suite.
    pub cipher: String,
    /// Server name that the client asked for.
    pub server_name: Option<Arc<str>>,
    /// Certificates that the client showed.
    pub client: Option<Arc<ClientChain>>,
}

/// A request that never became one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// It breaks the grammar of HTTP.
    Request,
    /// Its length is given in two ways (RFC 9112 §6.3).
    Lengths,
    /// Its body is coded in another way than chunked.
    Coding,
    /// Its headers are too many or too long.
    Headers,
    /// Its target is too long.
    Uri,
    /// The service panicked.
    Crashed,
}

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// What follows HTTP on a connection: takes its bytes, with those that were read already.
pub type Afterwards = Box<dyn FnOnce(Box<dyn Duplex>, Bytes) -> Pin<Box<dyn Future<Output = ()>>>>;

/// Answers requests; one a worker.
pub trait Service: 'static {
    /// Bodies of answers.
    type Body: Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + From<Bytes> + Unpin + 'static;
    /// What is kept for a connection.
    type Session: 'static;

    /// A connection was made.
    fn open(&self, accepted: Accepted) -> Self::Session;

    /// Answers a request, boxed because it is handed on through several futures. Dropped when the client goes away.
    fn serve(
        self: Rc<Self>,
        session: Rc<Self::Session>,
        request: Box<Request<Incoming>>,
    ) -> impl Future<Output = Response<Self::Body>> + 'static;

    /// Words the answer to a request that never became one. The connection closes after it.
    fn refuse(&self, session: &Self::Session, malformed: Malformed) -> Response<Bytes>;

    /// What follows HTTP/1.1 on a connection, once an answer with 101 was sent.
    fn afterwards(&self, _session: &Self::Session) -> Option<Afterwards> {
        None
    }

    /// Called once a second.
    fn tick(&self) {}
}
