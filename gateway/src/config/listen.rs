//! Addresses to listen on, in Kong's syntax: `127.0.0.1:8000, 127.0.0.1:8443 ssl http2`.

use std::{fmt, net::SocketAddr, str::FromStr};

use super::Problem;

/// Connections that may wait to be accepted; the kernel may lower it.
const BACKLOG: u32 = 4096;

/// One address to listen on, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Port 0: any free port.
    pub address: SocketAddr,
    /// Speaks TLS (`ssl`).
    pub tls: bool,
    /// Offers HTTP/2 by ALPN, or takes prior knowledge on clear text (`http2`).
    pub http2: bool,
    /// A socket for each worker (`reuseport`).
    pub reuseport: bool,
    /// Connections that may wait to be accepted (`backlog=N`): 1 to 65,535.
    pub backlog: u32,
}

impl FromStr for Listen {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let mut words = text.split_whitespace();
        let address = words.next().unwrap_or_default();
        let address = address.parse().map_err(|_| Problem::Address(address.to_owned()))?;
        let mut listen = Self { address, tls: false, http2: false, reuseport: false, backlog: BACKLOG };
        for option in words {
            listen.set(option).ok_or_else(|| Problem::ListenOption(option.to_owned(), address))?;
        }
        Ok(listen)
    }
}

impl Listen {
    fn set(&mut self, option: &str) -> Option<()> {
        match option {
            "ssl" => self.tls = true,
            "http2" => self.http2 = true,
            "reuseport" => self.reuseport = true,
            option => self.backlog = backlog(option)?,
        }
        Some(())
    }
}

fn backlog(option: &str) -> Option<u32> {
    let number = option.strip_prefix("backlog=")?.parse().ok()?;
    (1..=65_535).contains(&number).then_some(number)
}

impl fmt::Display for Listen {
    /// The way it is typed, with options in a fixed order.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.address)?;
        for (set, option) in [(self.tls, "ssl"), (self.http2, "http2"), (self.reuseport, "reuseport")] {
            if set {
                write!(out, " {option}")?;
            }
        }
        if self.backlog != BACKLOG {
            write!(out, " backlog={}", self.backlog)?;
        }
        Ok(())
    }
}

/// A list of addresses with commas between; empty for `off`.
pub(super) fn listens(text: &str) -> Result<Vec<Listen>, Problem> {
    if text == "off" {
        return Ok(Vec::new());
    }
    text.split(',').map(|part| part.trim().parse()).collect()
}
