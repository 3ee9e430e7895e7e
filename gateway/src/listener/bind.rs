//! Addresses → listening sockets, one for each worker, bound before any worker starts.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// An address to listen on, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Port 0: any free port.
    pub address: SocketAddr,
    /// Terminates TLS.
    pub tls: bool,
    /// Offers HTTP/2 by ALPN. On clear text HTTP/2 with prior knowledge is always understood.
    pub http2: bool,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
}

/// A socket of one worker.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: TcpListener,
    pub(super) entry: Entry,
}

impl Bound {
    /// Where it listens; the real port if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.entry.address
    }

    /// Whether TLS is terminated on it.
    pub fn is_tls(&self) -> bool {
        self.entry.tls
    }
}

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listening on {address} failed")]
pub struct BindError {
    /// The address as asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Binds every entry once for each worker; `[worker][entry]`. All sockets of an entry share one port.
pub fn bind(entries: &[Entry], workers: usize) -> Result<Vec<Vec<Bound>>, BindError> {
    let mut sockets: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::with_capacity(entries.len())).collect();
    for entry in entries {
        let mut entry = *entry;
        for of_worker in &mut sockets {
            let bound = listen(&entry).map_err(|source| BindError { address: entry.address, source })?;
            // Port 0 becomes a real one with the first socket; the others must share it.
            entry = bound.entry;
            of_worker.push(bound);
        }
    }
    Ok(sockets)
}

fn listen(entry: &Entry) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(entry.address), Type::STREAM, Some(Protocol::TCP))?;
    if entry.address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Accepted connections inherit it: one call here instead of one a connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&entry.address.into())?;
    socket.listen(i32::try_from(entry.backlog).unwrap_or(i32::MAX))?;
    let socket = TcpListener::from(socket);
    let entry = Entry { address: socket.local_addr()?, ..*entry };
    Ok(Bound { socket, entry })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: &str) -> Entry {
        Entry { address: address.parse().unwrap(), tls: false, http2: false, backlog: 16 }
    }

    #[test]
    fn workers_share_the_port_that_port_zero_became() {
        let sockets = bind(&[entry("127.0.0.1:0"), entry("127.0.0.1:0")], 3).unwrap();
        let ports: Vec<Vec<u16>> =
            sockets.iter().map(|bound| bound.iter().map(|bound| bound.address().port()).collect()).collect();
        assert!(ports[0].iter().all(|port| *port != 0));
        assert_ne!(ports[0][0], ports[0][1]);
        assert!(ports.iter().all(|of_worker| *of_worker == ports[0]));
    }

    #[test]
    fn an_address_that_is_not_ours_fails_with_its_name() {
        let error = bind(&[entry("192.0.2.1:0")], 1).unwrap_err();
        assert_eq!(error.to_string(), "listening on 192.0.2.1:0 failed");
    }
}
