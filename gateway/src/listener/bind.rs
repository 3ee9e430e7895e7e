//! Addresses → listening sockets, one for each worker, bound before any worker starts. Sockets that another process held
//! before are used again, so that what waits in their queues is served.

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{fs::FileTypeExt as _, net::UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::Inherited;
use crate::tls::ClientCertificate;

/// What stands for the address of a client or listener that has none.
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Port 0: any free port.
    Tcp(SocketAddr),
    /// A socket in the file system. Its clients count as 127.0.0.1.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// Probes of idle connections; `None` leaves a number to the system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Probes {
    /// Silence before the first probe.
    pub idle: Option<Duration>,
    /// Between two probes.
    pub interval: Option<Duration>,
    /// Probes without an answer that end the connection.
    pub count: Option<u32>,
}

/// A place to listen, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub place: Place,
    /// Terminates TLS.
    pub tls: bool,
    /// Whether clients are asked for a certificate.
    pub client_certificate: ClientCertificate,
    /// Offers HTTP/2 by ALPN. On clear text HTTP/2 with prior knowledge is always understood.
    pub http2: bool,
    /// Another process may listen there too.
    pub shared: bool,
    /// An IPv6 socket takes IPv4 connections too.
    pub dual: bool,
    /// Probes idle connections.
    pub probes: Option<Probes>,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Every connection begins with a PROXY header.
    pub proxied: bool,
}

impl Entry {
    /// Clear text, without options.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            tls: false,
            client_certificate: ClientCertificate::Off,
            http2: false,
            shared: false,
            dual: false,
            probes: None,
            backlog: 4096,
            proxied: false,
        }
    }

    /// The address; that of a unix socket is 127.0.0.1:0.
    pub fn address(&self) -> SocketAddr {
        match self.place {
            Place::Tcp(address) => address,
            Place::Unix(_) => NOWHERE,
        }
    }
}

/// A socket of one worker.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: Socket,
    pub(super) entry: Entry,
    key: String,
}

impl Bound {
    /// Where it listens; the real port if 0 was asked for.
    pub fn place(&self) -> &Place {
        &self.entry.place
    }

    /// The address; that of a unix socket is 127.0.0.1:0.
    pub fn address(&self) -> SocketAddr {
        self.entry.address()
    }

    /// Whether it offers HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.entry.http2
    }

    /// Whether TLS is terminated on it.
    pub fn is_tls(&self) -> bool {
        self.entry.tls
    }

    /// The same socket once more, under the name by which the next process asks for it.
    ///
    /// # Errors
    /// When the process has no more descriptors.
    pub fn heirloom(&self) -> io::Result<(String, OwnedFd)> {
        Ok((self.key.clone(), self.socket.as_fd().try_clone_to_owned()?))
    }
}

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listening on {place} failed")]
pub struct BindError {
    /// The address as asked for.
    pub place: Place,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Binds every entry of a room, such as `proxy`, once for each worker; `[worker][entry]`. All sockets of an entry share
/// one port. What was inherited is used before anything is bound; a worker may get several sockets of an entry then.
pub fn bind(
    room: &str,
    entries: &[Entry],
    workers: usize,
    inherited: &mut Inherited,
) -> Result<Vec<Vec<Bound>>, BindError> {
    let mut sockets: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::with_capacity(entries.len())).collect();
    for (number, asked) in entries.iter().enumerate() {
        // Several listeners may ask for any port.
        let twins = entries[..number].iter().filter(|entry| entry.place == asked.place).count();
        let key = format!("{room} {twins} {}", asked.place);
        let given = inherited.take(&key, &asked.place);
        let own = complete(asked, given, workers).map_err(|source| BindError { place: asked.place.clone(), source })?;
        for (number, (socket, entry)) in own.into_iter().enumerate() {
            sockets[number % workers].push(Bound { socket, entry, key: key.clone() });
        }
    }
    Ok(sockets)
}

/// At least one socket for each worker.
fn complete(asked: &Entry, given: Vec<Socket>, workers: usize) -> io::Result<Vec<(Socket, Entry)>> {
    let mut entry = asked.clone();
    let mut sockets = given;
    if sockets.is_empty() {
        sockets.push(open(&entry, workers > 1)?);
    }
    // Port 0 becomes a real one with the first socket; the others must share it.
    if let Some(address) = sockets[0].local_addr()?.as_socket() {
        entry.place = Place::Tcp(address);
    }
    let has_group = matches!(entry.place, Place::Tcp(_)) && sockets[0].reuse_port()?;
    while sockets.len() < workers {
        // A socket without a group is one queue, from which all workers take.
        let next = if has_group { listen(&entry, true)? } else { sockets[0].try_clone()? };
        sockets.push(next);
    }
    Ok(sockets.into_iter().map(|socket| (socket, entry.clone())).collect())
}

/// The first socket of an entry.
fn open(entry: &Entry, group: bool) -> io::Result<Socket> {
    match &entry.place {
        Place::Unix(path) => listen_unix(path, entry),
        Place::Tcp(_) => {
            if group && !entry.shared {
                // A group would let another gateway of this user in without a word.
                drop(listen(entry, false)?);
            }
            listen(entry, group || entry.shared)
        }
    }
}

fn listen(entry: &Entry, group: bool) -> io::Result<Socket> {
    let address = entry.address();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!entry.dual)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(group)?;
    // Accepted connections inherit these: one call here instead of one a connection.
    socket.set_tcp_nodelay(true)?;
    if let Some(probes) = &entry.probes {
        probe(&socket, probes)?;
    }
    socket.bind(&address.into())?;
    listening(socket, entry)
}

fn listening(socket: Socket, entry: &Entry) -> io::Result<Socket> {
    socket.set_nonblocking(true)?;
    socket.listen(i32::try_from(entry.backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

fn probe(socket: &Socket, probes: &Probes) -> io::Result<()> {
    socket.set_keepalive(true)?;
    let mut wanted = TcpKeepalive::new();
    if let Some(idle) = probes.idle {
        wanted = wanted.with_time(idle);
    }
    if let Some(interval) = probes.interval {
        wanted = wanted.with_interval(interval);
    }
    if let Some(count) = probes.count {
        wanted = wanted.with_retries(count);
    }
    socket.set_tcp_keepalive(&wanted)
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

fn listen_unix(path: &Path, entry: &Entry) -> io::Result<Socket> {
    match UnixStream::connect(path) {
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        // A socket that nobody serves was left by a process that was killed. Other files refuse, too, and stay.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && is_socket(path) => fs::remove_file(path)?,
        Err(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    listening(socket, entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: &str) -> Entry {
        Entry::new(Place::Tcp(address.parse().unwrap()))
    }

    fn bound(entries: &[Entry], workers: usize) -> Result<Vec<Vec<Bound>>, BindError> {
        bind("proxy", entries, workers, &mut Inherited::default())
    }

    #[test]
    fn workers_share_the_port_that_port_zero_became() {
        let sockets = bound(&[entry("127.0.0.1:0"), entry("127.0.0.1:0")], 3).unwrap();
        let ports: Vec<Vec<u16>> =
            sockets.iter().map(|bound| bound.iter().map(|bound| bound.address().port()).collect()).collect();
        assert!(ports[0].iter().all(|port| *port != 0));
        assert_ne!(ports[0][0], ports[0][1]);
        assert!(ports.iter().all(|of_worker| *of_worker == ports[0]));
    }

    #[test]
    fn an_address_that_is_not_ours_fails_with_its_name() {
        let error = bound(&[entry("192.0.2.1:0")], 1).unwrap_err();
        assert_eq!(error.to_string(), "listening on 192.0.2.1:0 failed");
    }

    #[test]
    fn a_second_gateway_on_a_port_is_refused() {
        let first = bound(&[entry("127.0.0.1:0")], 2).unwrap();
        let taken = Entry::new(first[0][0].place().clone());
        assert_eq!(bound(std::slice::from_ref(&taken), 2).unwrap_err().source.kind(), io::ErrorKind::AddrInUse);
        assert!(bound(&[Entry { shared: true, ..taken }], 2).is_ok(), "unless the operator wants it");
    }

    #[test]
    fn an_ipv6_listener_leaves_ipv4_alone_unless_told() {
        let six = bound(&[entry("[::]:0")], 1).unwrap();
        let port = six[0][0].address().port();
        assert!(bound(&[entry(&format!("0.0.0.0:{port}"))], 1).is_ok());
        let both = bound(&[Entry { dual: true, ..entry("[::]:0") }], 1).unwrap();
        assert!(bound(&[entry(&format!("0.0.0.0:{}", both[0][0].address().port()))], 1).is_err());
    }

    #[test]
    fn a_unix_socket_that_was_left_behind_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let entry = Entry::new(Place::Unix(folder.path().join("a.sock")));
        drop(bound(std::slice::from_ref(&entry), 2).unwrap());
        let live = bound(std::slice::from_ref(&entry), 2).unwrap();
        assert_eq!(live.len(), 2);
        assert_eq!(bound(&[entry], 1).unwrap_err().source.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "words").unwrap();
        assert!(bound(&[Entry::new(Place::Unix(path.clone()))], 1).is_err());
        assert_eq!(fs::read_to_string(path).unwrap(), "words");
    }

    #[test]
    fn every_inherited_socket_is_served() {
        let entries = [entry("127.0.0.1:0"), entry("127.0.0.1:0")];
        let first = bound(&entries, 3).unwrap();
        for workers in [2, 3, 4] {
            let heirlooms = first.iter().flatten().map(|bound| bound.heirloom().unwrap()).collect();
            let mut inherited = Inherited::named(heirlooms).unwrap();
            let second = bind("proxy", &entries, workers, &mut inherited).unwrap();
            assert_eq!(second.iter().flatten().count(), 2 * workers.max(3), "{workers} workers");
            assert!(inherited.rest().is_empty());
            for (number, before) in first[0].iter().enumerate() {
                let count = second.iter().flatten().filter(|bound| bound.address() == before.address()).count();
                assert_eq!(count, workers.max(3), "listener {number}");
            }
        }
    }
}
