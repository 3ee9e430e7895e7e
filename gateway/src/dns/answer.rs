//! What servers say of a name.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hickory_resolver::{
    net::{DnsError, NetError},
    proto::op::ResponseCode,
};

/// Kinds of records that lead to addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Names with ports and weights, which have addresses in turn.
    Srv,
}

impl Kind {
    /// As in zone files.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
        }
    }
}

/// The addresses of a name. At least one, in order, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Of which kind the records are.
    pub kind: Kind,
    /// The addresses.
    pub records: Vec<Record>,
    /// How long they count.
    pub valid: Duration,
}

/// An address of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// The address.
    pub ip: IpAddr,
    /// What an SRV record says beside it.
    pub service: Option<Service>,
}

/// What an SRV record says beside an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// The name that has the address.
    pub name: Arc<str>,
    /// 0: as the target says.
    pub port: u16,
    /// Its share, at least 1.
    pub weight: u16,
}

impl Found {
    /// `None` without records.
    pub fn new(kind: Kind, mut records: Vec<Record>, valid: Duration) -> Option<Self> {
        records.sort_unstable();
        records.dedup();
        if records.is_empty() { None } else { Some(Self { kind, records, valid }) }
    }
}

/// Why a name has no address. Worded as Kong does, which shows it to clients and operators.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NameError {
    /// There is no such name.
    #[error("dns server error: 3 name error")]
    NotFound,
    /// The name has no records of the kinds asked for.
    #[error("dns client error: 101 empty record received")]
    Empty,
    /// A server says that it failed.
    #[error("dns server error: {} {}", u16::from(*.0), word(*.0))]
    Server(ResponseCode),
    /// No server answered in time.
    #[error("dns client error: timeout")]
    Timeout,
    /// No server could be asked.
    #[error("dns client error: no server could be asked")]
    Failed(#[source] Arc<NetError>),
    /// It is no name of a host.
    #[error("dns client error: invalid name")]
    Invalid,
}

impl NameError {
    /// Whether a server has said so for sure, and older answers count no more.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NotFound | Self::Empty | Self::Invalid)
    }

    /// Of two failures on the way to one answer the one that says less for sure.
    pub(super) fn or(self, other: Self) -> Self {
        match (self.is_final(), other.is_final()) {
            (true, false) => other,
            (true, true) if matches!(self, Self::NotFound) => other,
            _ => self,
        }
    }
}

impl PartialEq for NameError {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Server(one), Self::Server(other)) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl From<NetError> for NameError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => Self::NotFound,
                ResponseCode::NoError => Self::Empty,
                code => Self::Server(code),
            },
            NetError::Dns(DnsError::ResponseCode(code)) => Self::Server(code),
            NetError::Timeout => Self::Timeout,
            error => Self::Failed(Arc::new(error)),
        }
    }
}

/// What a code is called, as in Kong's DNS library.
fn word(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::FormErr => "format error",
        ResponseCode::ServFail => "server failure",
        ResponseCode::NotImp => "not implemented",
        ResponseCode::Refused => "refused",
        _ => "unknown",
    }
}
