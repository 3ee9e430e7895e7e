//! What expressions can look at.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use atc_router::ast::Type;
use smallvec::{SmallVec, smallvec};

use super::{address, address_type, number_type, text_type};
use crate::router::header::is_same_name;
use crate::router::name::Authority;
use crate::router::query::{Query, Transport};
use crate::router::stream::{StreamProtocol, StreamQuery};

/// Name, type (which cannot be copied), and whether only requests have it.
type Row = (&'static str, fn() -> Type, bool);

/// Every field; `*` stands for any name.
pub(super) const FIELDS: [Row; 14] = [
    ("net.protocol", text_type, false),
    ("net.port", number_type, false),
    ("net.src.ip", address_type, false),
    ("net.src.port", number_type, false),
    ("net.dst.ip", address_type, false),
    ("net.dst.port", number_type, false),
    ("tls.sni", text_type, false),
    ("http.method", text_type, true),
    ("http.host", text_type, true),
    ("http.path", text_type, true),
    ("http.path.segments.len", number_type, true),
    ("http.path.segments.*", text_type, true),
    ("http.headers.*", text_type, true),
    ("http.queries.*", text_type, true),
];

/// Who is asked. The second lifetime is that of what it borrows.
#[derive(Debug, Clone, Copy)]
pub(in crate::router) enum Asked<'q, 'a> {
    /// A request.
    Http(&'q Query<'a>),
    /// A stream.
    Stream(&'q StreamQuery<'a>),
}

/// One value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::router) enum Datum<'a> {
    Text(Cow<'a, str>),
    Number(i64),
    Address(IpAddr),
}

/// All values of a field, mostly one.
type Values<'a> = SmallVec<[Datum<'a>; 2]>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    Protocol,
    SourceAddress,
    SourcePort,
    DestinationAddress,
    DestinationPort,
    Sni,
    Method,
    Host,
    Path,
    SegmentCount,
    Segments {
        first: usize,
        last: usize,
    },
    /// Lower case, with hyphens.
    Header(Box<str>),
    Argument(Box<str>),
    /// What no request has.
    Absent,
}

impl Field {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "net.protocol" => Self::Protocol,
            "net.src.ip" => Self::SourceAddress,
            "net.src.port" => Self::SourcePort,
            "net.dst.ip" => Self::DestinationAddress,
            "net.port" | "net.dst.port" => Self::DestinationPort,
            "tls.sni" => Self::Sni,
            "http.method" => Self::Method,
            "http.host" => Self::Host,
            "http.path" => Self::Path,
            "http.path.segments.len" => Self::SegmentCount,
            _ => return Self::of_family(name),
        })
    }

    fn of_family(name: &str) -> Option<Self> {
        if let Some(segments) = name.strip_prefix("http.path.segments.") {
            return Some(segment_range(segments).unwrap_or(Self::Absent));
        }
        if let Some(header) = name.strip_prefix("http.headers.") {
            return Some(Self::Header(header.replace('_', "-").into()));
        }
        name.strip_prefix("http.queries.").map(|argument| Self::Argument(argument.into()))
    }

    pub(super) fn values<'a>(&self, asked: Asked<'_, 'a>) -> Values<'a> {
        match asked {
            Asked::Http(query) => self.of_request(query),
            Asked::Stream(query) => self.of_stream(query),
        }
    }

    fn of_request<'a>(&self, query: &Query<'a>) -> Values<'a> {
        let (source, destination) = (query.source, query.destination);
        let one = |text: &'a str| smallvec![Datum::Text(text.into())];
        match self {
            Self::Protocol => one(if query.transport == Transport::Plain { "http" } else { "https" }),
            Self::Sni => match query.transport {
                Transport::Tls { sni: Some(sni) } => one(sni),
                _ => Values::new(),
            },
            Self::Method => one(query.method.as_str()),
            Self::Host => Authority::of(query.host, query.port).map_or(Values::new(), |host| one(host.name)),
            Self::Path => one(query.path),
            Self::SegmentCount => {
                smallvec![Datum::Number(i64::try_from(segments(query.path).count()).unwrap_or(i64::MAX))]
            }
            Self::Segments { first, last } => range(query.path, *first, *last).map_or(Values::new(), one),
            Self::Header(name) => headers(query, name),
            Self::Argument(name) => arguments(query, name),
            Self::DestinationPort => smallvec![Datum::Number(query.port.into())],
            _ => self.of_addresses(source, destination),
        }
    }

    fn of_stream<'a>(&self, query: &StreamQuery<'a>) -> Values<'a> {
        let protocol = match query.protocol {
            StreamProtocol::Tcp => "tcp",
            StreamProtocol::Tls => "tls",
            StreamProtocol::Udp => "udp",
        };
        match self {
            Self::Protocol => smallvec![Datum::Text(protocol.into())],
            Self::Sni => query.sni.into_iter().map(|sni| Datum::Text(sni.into())).collect(),
            _ => self.of_addresses(Some(query.source), Some(query.destination)),
        }
    }

    fn of_addresses<'a>(&self, source: Option<SocketAddr>, destination: Option<SocketAddr>) -> Values<'a> {
        let value = match self {
            Self::SourceAddress => source.map(|source| address(source.ip())),
            Self::SourcePort => source.map(|source| Datum::Number(source.port().into())),
            Self::DestinationAddress => destination.map(|destination| address(destination.ip())),
            Self::DestinationPort => destination.map(|destination| Datum::Number(destination.port().into())),
            _ => None,
        };
        value.into_iter().collect()
    }
}

/// `N` or `N_M` with N below M.
fn segment_range(text: &str) -> Option<Field> {
    match text.split_once('_') {
        None => text.parse().ok().map(|at| Field::Segments { first: at, last: at }),
        Some((first, last)) => {
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (first < last).then_some(Field::Segments { first, last })
        }
    }
}

/// The segments of a normal path; one that is empty can only be the last, and does not count.
pub(super) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// Some segments with the slashes between them, if all are there.
fn range(path: &str, first: usize, last: usize) -> Option<&str> {
    let start = segments(path).nth(first)?;
    let end = segments(path).nth(last)?;
    let at = |part: &str| part.as_ptr() as usize - path.as_ptr() as usize;
    path.get(at(start)..at(end) + end.len())
}

fn headers<'a>(query: &Query<'a>, asked: &str) -> Values<'a> {
    let fitting = query.headers.iter().filter(|(name, _)| is_same_name(name.as_str(), asked));
    fitting.map(|(_, value)| Datum::Text(String::from_utf8_lossy(value.as_bytes()))).collect()
}

fn arguments<'a>(query: &Query<'a>, asked: &str) -> Values<'a> {
    let pairs = form_urlencoded::parse(query.arguments.unwrap_or_default().as_bytes());
    pairs.filter(|(name, _)| name == asked).map(|(_, value)| Datum::Text(value)).collect()
}
