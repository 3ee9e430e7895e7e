//! What the end-to-end tests are made of: a gateway (the real binary, its own data directory, ports that the kernel chose),
//! targets behind it, and clients before it. Everything is on loopback, ends with the test, and waits for events, never for
//! a time.

mod admin;
mod authority;
mod client;
mod connection;
mod dns;
mod gateway;
mod guest;
mod hour;
mod load;
mod log;
mod openssl;
mod peer;
mod port;
mod postgres;
mod process;
mod python;
mod raw;
mod stream;
mod target;
mod tls;

pub use admin::Admin;
pub use authority::Authority;
pub use client::{Answer, Call, Wire, full};
pub use connection::Client;
pub use dns::{Mood, TestDns};
pub use gateway::{Gateway, TestGateway};
pub use guest::{Wasm, builtin, core_guest, guest, marked, replaced};
pub use hour::within_an_hour;
pub use load::Load;
pub use openssl::{Shaken, s_client, s_client_says};
pub use peer::Peer;
pub use port::Port;
pub use postgres::{PASSWORD, TestPostgres};
pub use python::environment;
pub use raw::{exchange, read_until};
pub use stream::{StreamTarget, hear, talk};
pub use target::TestTarget;
pub use tls::{
    ClientKey, acceptor, acceptor_as, connect as connect_tls, connect_to as connect_tls_to, shown_certificate,
};
