//! UDP: a client is whoever sends from one address, and is served by one target until both have been silent for long.
//! What cannot be taken at once is lost, as datagrams are.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant as StdInstant},
};

use bytes::Bytes;
use tokio::{
    io::Interest,
    net::UdpSocket,
    sync::mpsc::{Receiver, Sender, channel, error::TrySendError},
    time::{Instant, sleep_until, timeout},
};

use super::{EXHAUSTED_PAUSE, Ends, Streams, failure::Failure, record::Record, target, tell};
use crate::{
    balancer::Report,
    router::{StreamProtocol, StreamQuery},
    shutdown::{Drain, Ending},
    snapshot::StreamEntry,
    upstream::Passed,
};

/// The longest datagram.
const LONGEST: usize = 65_535;
/// Datagrams of one client that wait for its target.
const WAITING: usize = 32;
/// How long a target's answers are waited for once the gateway is to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Clients of one socket, with the way to what serves them.
type Clients = Rc<RefCell<HashMap<SocketAddr, Sender<Bytes>>>>;

/// Takes the datagrams of one socket for ever.
pub(super) async fn receive(streams: Rc<Streams>, socket: Rc<UdpSocket>, local: SocketAddr, end: Drain) {
    let clients = Clients::default();
    let mut space = vec![0; LONGEST];
    loop {
        match socket.recv_from(&mut space).await {
            Ok((length, peer)) => {
                let datagram = Bytes::copy_from_slice(&space[..length]);
                take(&streams, &socket, &clients, Arrived { datagram, peer, local, end: &end });
            }
            // What a client that is gone leaves behind concerns nobody else.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                tracing::error!(%error, address = %local, "receiving a datagram failed");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

struct Arrived<'a> {
    datagram: Bytes,
    peer: SocketAddr,
    local: SocketAddr,
    end: &'a Drain,
}

fn take(streams: &Rc<Streams>, socket: &Rc<UdpSocket>, clients: &Clients, arrived: Arrived<'_>) {
    let Arrived { datagram, peer, local, end } = arrived;
    let known = clients.borrow().get(&peer).cloned();
    let datagram = match known.map(|known| known.try_send(datagram.clone())) {
        Some(Ok(()) | Err(TrySendError::Full(_))) => return,
        Some(Err(TrySendError::Closed(datagram))) => datagram,
        None => datagram,
    };
    let found = match admit(streams, peer, local) {
        Ok(found) => found,
        // No session, and so no line: whoever sends to a wrong port would fill the disk.
        Err(failure) => {
            streams.counters.ended(failure.end());
            return tell(&streams.counters, peer, &failure);
        }
    };
    let (sender, receiver) = channel(WAITING);
    // The queue is empty.
    _ = sender.try_send(datagram);
    clients.borrow_mut().insert(peer, sender.clone());
    let place = Place::take(streams, clients, peer, sender);
    let session = Session { socket: socket.clone(), peer, found, end: end.clone() };
    let mut record = Record::begin(streams, "UDP", Ends { peer, local });
    record.lead(&session.found);
    streams.spawn(async move {
        if let Err(failure) = session.run(&place.streams, receiver, &mut record).await {
            record.fail(&failure);
            tell(&place.streams.counters, peer, &failure);
        }
    });
}

/// The route of a client, if there is room for it.
fn admit(streams: &Streams, peer: SocketAddr, local: SocketAddr) -> Result<Arc<StreamEntry>, Failure> {
    if streams.sessions.get() >= streams.settings().udp_sessions {
        return Err(Failure::Sessions);
    }
    let snapshot = streams.current.load();
    let query =
        StreamQuery { protocol: StreamProtocol::Udp, source: peer, destination: streams.known_as(local), sni: None };
    Ok(snapshot.streams.find(&query).ok_or(Failure::NoRoute)?.value.clone())
}

/// A client's place among the others, until this is dropped.
struct Place {
    streams: Rc<Streams>,
    clients: Clients,
    peer: SocketAddr,
    own: Sender<Bytes>,
}

impl Place {
    fn take(streams: &Rc<Streams>, clients: &Clients, peer: SocketAddr, own: Sender<Bytes>) -> Self {
        streams.sessions.set(streams.sessions.get() + 1);
        Self { streams: streams.clone(), clients: clients.clone(), peer, own }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.sessions.set(self.streams.sessions.get() - 1);
        let mut clients = self.clients.borrow_mut();
        // Another one may have come in its place.
        if clients.get(&self.peer).is_some_and(|known| known.same_channel(&self.own)) {
            clients.remove(&self.peer);
        }
    }
}

/// What is exchanged between one client and its target.
struct Session {
    socket: Rc<UdpSocket>,
    peer: SocketAddr,
    found: Arc<StreamEntry>,
    end: Drain,
}

impl Session {
    async fn run(&self, streams: &Streams, mut sent: Receiver<Bytes>, record: &mut Record) -> Result<(), Failure> {
        let service = self.found.service.as_ref().ok_or(Failure::NoService)?;
        let picked = target::pick(streams, service, self.peer, &mut crate::snapshot::Tried::new()).await?;
        record.pass(picked.address);
        let outcome = match connect(picked.address).await {
            Ok(target) => self.pass(streams, &target, (&mut sent, service.read_timeout), &record.passed).await,
            Err(error) => Err(error),
        };
        // How long a session lasts says nothing about its target.
        picked.report(streams, if outcome.is_ok() { Report::Success } else { Report::TcpFailure }, StdInstant::now());
        outcome.map_err(Failure::Datagrams)
    }

    /// Passes datagrams both ways until nobody has said anything for so long.
    async fn pass(
        &self,
        streams: &Streams,
        target: &UdpSocket,
        (sent, silence): (&mut Receiver<Bytes>, Duration),
        passed: &Passed,
    ) -> io::Result<()> {
        let (mut silence, mut ends) = (silence, false);
        let mut last = Instant::now() + silence;
        loop {
            // Dropping any arm loses nothing: queue and sockets keep what they have.
            tokio::select! {
                Some(datagram) = sent.recv() => {
                    count(&passed.to_target, &streams.counters.to_targets, datagram.len());
                    timeout(LAST_WORDS, target.send(&datagram)).await.unwrap_or(Ok(0))?;
                }
                ready = target.ready(Interest::READABLE | Interest::ERROR) => {
                    if ready?.is_error() {
                        refused(target)?;
                    }
                    self.answer(streams, target, passed)?;
                }
                () = self.end.reached(Ending::Retire), if !ends => {
                    (silence, ends) = (silence.min(LAST_WORDS), true);
                }
                () = sleep_until(last) => return Ok(()),
            }
            last = Instant::now() + silence;
        }
    }

    /// Passes on what the target has said by now.
    fn answer(&self, streams: &Streams, target: &UdpSocket, passed: &Passed) -> io::Result<()> {
        thread_local! {
            static SPACE: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST]);
        }
        SPACE.with_borrow_mut(|space| {
            loop {
                let length = match target.try_recv(space) {
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                };
                if self.socket.try_send_to(&space[..length], self.peer).is_ok() {
                    count(&passed.to_client, &streams.counters.to_clients, length);
                }
            }
        })
    }
}

/// Counts bytes of a session, and of all of them.
fn count(passed: &Cell<u64>, all: &AtomicU64, bytes: usize) {
    passed.set(passed.get() + bytes as u64);
    all.fetch_add(bytes as u64, Relaxed);
}

/// What the system heard of the target, such as that nobody listens there.
fn refused(target: &UdpSocket) -> io::Result<()> {
    let nothing = || io::ErrorKind::WouldBlock.into();
    match target.try_io(Interest::ERROR, || target.take_error()?.ok_or_else(nothing)) {
        Ok(error) => Err(error),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

/// A socket of its own for each client: the target tells them apart by it.
async fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    Ok(socket)
}
