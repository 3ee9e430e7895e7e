//! One connection to the Admin or Status API.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Api, Gate,
    activity::{Activity, Watched},
};
use crate::{admin::Door, shutdown::Tasks, tls::ClientIdentity};

/// How long a connection that was told to end may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Streams that one HTTP/2 connection may have open.
const STREAMS: u32 = 64;
/// Number of a request's headers.
const HEADERS: usize = 100;

/// Serves a connection until it ends.
pub(super) async fn run<T>(api: Arc<Api>, gate: Arc<Gate>, stream: T, peer: SocketAddr)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let door = Door { peer, public: gate.public, certificate: None };
    let Some(tls) = &gate.tls else { return converse(&api, &gate, stream, door).await };
    let handshake = TlsAcceptor::from(tls.config(gate.http2)).accept(stream);
    match timeout(api.settings.header_timeout, handshake).await {
        Ok(Ok(stream)) => {
            let door = Door { certificate: certificate(&stream), ..door };
            converse(&api, &gate, stream, door).await;
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, api = api.name, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, api = api.name, "a TLS handshake took too long"),
    }
}

/// What the client proved to be, its certificate having been verified in the handshake.
fn certificate<T>(stream: &TlsStream<T>) -> Option<Arc<ClientIdentity>> {
    let first = stream.get_ref().1.peer_certificates()?.first()?;
    ClientIdentity::read(first).map(Arc::new)
}

async fn converse<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(api: &Api, gate: &Gate, io: T, door: Door) {
    let (peer, activity, ending) = (door.peer, Activity::new(), api.tasks.shutdown());
    let router = TowerToHyperService::new(api.router.clone());
    let header_limit = api.settings.header_limit.as_usize();
    let service = Doored { router, door, activity: activity.clone(), header_limit };
    let builder = builder(api, gate.http2);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Watched::new(io, activity.clone())), service));
    let mut told = false;
    loop {
        let patience = if told { GOODBYE } else { api.settings.header_timeout };
        // A dropped arm loses nothing: the connection is kept, the others only look.
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, api = api.name, "a connection ended early");
                }
                return;
            }
            () = activity.idle_for(patience) => {
                if told {
                    return;
                }
            }
            () = ending.triggered(), if !told => {}
            // Whatever is asked for next is another process's to answer.
            () = api.replaced.triggered(), if !told => {}
        }
        told = true;
        connection.as_mut().graceful_shutdown();
    }
}

fn builder(api: &Api, http2: bool) -> auto::Builder<Owned> {
    let mut builder = auto::Builder::new(Owned(api.tasks.clone()));
    let limit = api.settings.header_limit;
    builder.http1().timer(TokioTimer::new()).header_read_timeout(api.settings.header_timeout);
    builder.http1().max_headers(HEADERS);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS);
    builder.http2().max_header_list_size(u32::try_from(limit.get()).unwrap_or(u32::MAX));
    if http2 { builder } else { builder.http1_only() }
}

/// Streams of HTTP/2 connections are tasks like any other.
#[derive(Clone)]
struct Owned(Tasks);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Owned {
    fn execute(&self, stream: F) {
        self.0.spawn("stream of an API", stream);
    }
}

/// The router, with the door put into each request.
#[derive(Clone)]
struct Doored {
    router: TowerToHyperService<axum::Router>,
    door: Door,
    activity: Arc<Activity>,
    /// Bytes of all headers. hyper bounds what it buffers of a head, URI included, at about 400 KiB.
    header_limit: usize,
}

impl Service<Request<Incoming>> for Doored {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let busy = self.activity.begin();
        let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        if headers.sum::<usize>() > self.header_limit {
            let mut refusal = Response::new(Body::empty());
            *refusal.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        request.extensions_mut().insert(self.door.clone());
        let answer = self.router.call(request.map(Body::new));
        Box::pin(async move {
            let _busy = busy;
            answer.await
        })
    }
}
