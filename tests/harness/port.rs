//! Ports for programs that must be told one: PostgreSQL, nginx and others.

use std::net::Ipv4Addr;

use tokio::net::TcpSocket;

/// A port of loopback that is nobody else's while this lives, also when its program is away: it is bound, so that the kernel
/// gives it to no one, and not listened at, so that a program that reuses addresses, as servers do, can have it.
pub struct Port(TcpSocket);

impl Port {
    pub fn reserve() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option that there is");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        Self(socket)
    }

    pub fn number(&self) -> u16 {
        self.0.local_addr().expect("a bound socket").port()
    }
}
