//! One connection from its first byte to its last: who is it, where does it lead, then bytes both ways.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::{
    Ends, Streams,
    failure::Failure,
    hello,
    prefixed::Prefixed,
    record::Record,
    target::{self, Reached},
};
use crate::{
    listener::{
        Entry,
        proxy_protocol::{self, Header, Passed},
    },
    router::{StreamProtocol, StreamQuery},
    snapshot::{ServiceEntry, StreamEntry},
    upstream::TunnelError,
};

/// A client's connection.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// Serves a connection until it ends.
pub(super) async fn run(streams: &Rc<Streams>, mut io: impl Io, ends: Ends, entry: &Entry) -> Result<(), Failure> {
    let mut record = Record::begin(streams, "TCP", ends);
    let outcome = async {
        let client = if entry.proxied { introduced(streams, &mut io, ends).await? } else { named(ends, ends.peer) };
        record.client = client.told.source;
        let route = Caller { client, record: &mut record };
        if entry.tls { secure(streams, io, route, entry).await } else { plain(streams, io, route).await }
    };
    let outcome = outcome.await;
    outcome.inspect_err(|failure| record.fail(failure))
}

/// Who calls, and what is written down of it.
struct Caller<'r> {
    client: Client,
    record: &'r mut Record,
}

/// The connection as its client sees it.
#[derive(Debug, Clone, Copy)]
struct Client {
    ends: Ends,
    /// What targets hear of it.
    told: Passed,
}

fn named(ends: Ends, source: std::net::SocketAddr) -> Client {
    Client { ends, told: Passed { source, destination: ends.local } }
}

/// Reads the PROXY header. What it says counts if the peer is trusted.
async fn introduced(streams: &Streams, io: &mut impl Io, ends: Ends) -> Result<Client, Failure> {
    let header = streams.hear(proxy_protocol::receive(io), Failure::ProxyHeaderTimeout).await?;
    let header = header.map_err(Failure::ProxyHeader)?;
    Ok(match header {
        Header::Passed(told) if streams.trusts(ends.peer) => Client { ends, told },
        Header::Passed(_) | Header::Local | Header::Unknown => named(ends, ends.peer),
    })
}

async fn plain(streams: &Streams, io: impl Io, caller: Caller<'_>) -> Result<(), Failure> {
    let (found, _) = find(streams, caller.client, StreamProtocol::Tcp, None)?;
    pass(streams, io, Bytes::new(), caller, found).await
}

/// The name that the client asks for decides whether TLS ends here.
async fn secure(streams: &Streams, mut io: impl Io, caller: Caller<'_>, entry: &Entry) -> Result<(), Failure> {
    let hello = streams.hear(hello::receive(&mut io), Failure::HandshakeTimeout).await?;
    let (hello, first) = hello.map_err(Failure::Hello)?;
    let first = Bytes::from(first);
    caller.record.sni = hello.server_name;
    let name = caller.record.sni.as_deref();
    let (found, is_passthrough) = find(streams, caller.client, StreamProtocol::Tls, name)?;
    if is_passthrough {
        return pass(streams, io, first, caller, found).await;
    }
    let handshake = TlsAcceptor::from(super::tls(&streams.settings().tls, entry)).accept(Prefixed::new(first, io));
    let io = streams.hear(handshake, Failure::HandshakeTimeout).await?.map_err(Failure::Handshake)?;
    pass(streams, io, Bytes::new(), caller, found).await
}

/// The route that takes the stream, and whether TLS goes on to the target. The snapshot is not held: streams outlive it.
fn find(
    streams: &Streams,
    client: Client,
    protocol: StreamProtocol,
    sni: Option<&str>,
) -> Result<(Arc<StreamEntry>, bool), Failure> {
    let snapshot = streams.current.load();
    let query =
        StreamQuery { protocol, source: client.told.source, destination: streams.known_as(client.ends.local), sni };
    let found = snapshot.streams.find(&query).ok_or(Failure::NoRoute)?;
    Ok((found.value.clone(), found.is_passthrough))
}

/// Passes bytes both ways until both sides are done. `early`: what the client said already.
async fn pass(
    streams: &Streams,
    io: impl Io,
    early: Bytes,
    caller: Caller<'_>,
    found: Arc<StreamEntry>,
) -> Result<(), Failure> {
    let Caller { client, record } = caller;
    record.lead(&found);
    let service = found.service.as_ref().ok_or(Failure::NoService)?;
    let first = introduction(streams, service, &client.told);
    // Boxed: the stream lives on for long without it.
    let reached = Box::pin(target::reach(streams, service, client.told.source, &first)).await?;
    let Reached { tunnel, address, _in_flight } = reached;
    record.pass(address);
    // So that no configuration of the past stays for the sake of a long stream.
    drop(found);
    let outcome = tunnel.run(io, early, &record.passed).await;
    streams.counters.passed(&record.passed);
    let (to_target, to_client) = (record.passed.to_target.get(), record.passed.to_client.get());
    let (peer, route, client) = (client.ends.peer, record.route(), client.told.source);
    // Either side may end a stream as it likes, or say nothing any more.
    match &outcome {
        Ok(()) => tracing::debug!(%peer, %client, route, target = %address, to_target, to_client, "a stream ended"),
        Err(error @ (TunnelError::Idle(_) | TunnelError::Stuck(_) | TunnelError::Io(_))) => {
            let error = error as &dyn std::error::Error;
            tracing::debug!(%peer, %client, route, target = %address, to_target, to_client, error, "a stream broke off");
        }
    }
    Ok(())
}

/// What the target hears before anything else.
fn introduction(streams: &Streams, service: &ServiceEntry, told: &Passed) -> Vec<u8> {
    let version = streams.settings().introductions.of(service.service.name.as_deref());
    version.map_or_else(Vec::new, |version| told.write(target::version(version)))
}
