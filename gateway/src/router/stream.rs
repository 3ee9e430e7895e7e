//! Which route a stream takes: a TCP or TLS connection, or the first datagram of a UDP client.
//!
//! ```
//! use sandgate::router::{StreamAddress, StreamProtocol, StreamQuery, StreamRouter, StreamRule};
//!
//! let rule = StreamRule {
//!     id: "a".into(),
//!     protocols: vec!["tcp".into()],
//!     destinations: vec![StreamAddress { ip: None, port: Some(9000) }],
//!     ..StreamRule::default()
//! };
//! let (router, rejected) = StreamRouter::build(vec![(rule, "the service of a")]);
//! assert!(rejected.is_empty());
//! let query = StreamQuery {
//!     protocol: StreamProtocol::Tcp,
//!     source: "10.0.0.1:4711".parse().unwrap(),
//!     destination: "10.0.0.2:9000".parse().unwrap(),
//!     sni: None,
//! };
//! assert_eq!(router.find(&query).unwrap().value, &"the service of a");
//! ```

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::expression::{Asked, Expression, Subsystem, Trace};
use super::name::NamePattern;
use super::rule::{RankedExpression, Rejected, RuleError};

/// The conditions of a stream route as its entity has them. All lists that are not empty must match, any one entry of
/// each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamRule {
    /// The route's id.
    pub id: Arc<str>,
    /// At least one of `tcp`, `tls`, `tls_passthrough`, `udp`.
    pub protocols: Vec<Arc<str>>,
    /// Server names, `*.x` or `x.*`; only asked of streams over TLS.
    pub snis: Vec<Arc<str>>,
    /// Where the client may be.
    pub sources: Vec<StreamAddress>,
    /// Where the client may have connected to.
    pub destinations: Vec<StreamAddress>,
    /// In place of all conditions above: the flavor `expressions`.
    pub expression: Option<RankedExpression>,
}

/// One entry of `sources` or `destinations`. What is set must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamAddress {
    /// An address, or a network in CIDR notation.
    pub ip: Option<Arc<str>>,
    /// A port.
    pub port: Option<u16>,
}

/// What a listener knows of a stream before anything is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamQuery<'a> {
    /// How it came.
    pub protocol: StreamProtocol,
    /// The client's address (of the PROXY header, where one is read).
    pub source: SocketAddr,
    /// The address that the client connected to, with the port after `port_maps`.
    pub destination: SocketAddr,
    /// The server name of the TLS handshake.
    pub sni: Option<&'a str>,
}

/// How a stream came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamProtocol {
    /// On a listener without TLS.
    Tcp,
    /// On a listener with TLS, nothing yet decided: routes for `tls` and `tls_passthrough` compete, and the winner says
    /// which it is.
    Tls,
    /// A datagram.
    Udp,
}

/// The rule that a stream takes.
#[derive(Debug)]
pub struct StreamMatch<'a, T> {
    /// Position among the rules that were built from, those left out not counted.
    pub index: usize,
    /// What the rule leads to.
    pub value: &'a T,
    /// Whether the bytes are forwarded as they are, without ending TLS here.
    pub is_passthrough: bool,
}

/// How specific a rule is. The greater one wins; each field only breaks the ties of those above it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Precedence {
    /// Of its expression; rules without one come last.
    priority: Option<u64>,
    /// Has server names, or both sources and destinations.
    is_narrow: bool,
    /// 8 for an address, 4 for a port, 1 for a network, of all entries together.
    sources: u8,
    destinations: u8,
    id: Arc<str>,
}

/// Rules compiled for finding the one that a stream takes.
#[derive(Debug, Clone)]
pub struct StreamRouter<T> {
    /// Best first.
    entries: Arc<[Entry<T>]>,
    /// Positions of rules that cannot match without the key, ascending.
    keyed: Arc<HashMap<Key, Vec<usize>>>,
    /// Positions of all others.
    scanned: Arc<[usize]>,
}

#[derive(Debug)]
struct Entry<T> {
    precedence: Precedence,
    index: usize,
    protocols: Protocols,
    snis: Box<[NamePattern]>,
    sources: Box<[AddressTest]>,
    destinations: Box<[AddressTest]>,
    expression: Option<Expression>,
    value: T,
}

#[derive(Debug, Clone, Copy, Default)]
struct Protocols {
    tcp: bool,
    tls: bool,
    passthrough: bool,
    udp: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddressTest {
    network: Option<IpNet>,
    port: Option<u16>,
}

/// What a stream must have for a rule to match.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Sni(Box<str>),
    SniStart(Box<str>),
    SniEnd(Box<str>),
    Destination(IpAddr),
    Port(u16),
    Source(IpAddr),
}

impl<T> StreamRouter<T> {
    /// Compiles rules, each with what it leads to. Rules that cannot be served are left out and returned.
    pub fn build(rules: Vec<(StreamRule, T)>) -> (Self, Vec<Rejected>) {
        let (mut entries, mut rejected) = (Vec::with_capacity(rules.len()), Vec::new());
        for (rule, value) in rules {
            let index = entries.len();
            match Entry::compile(&rule, index, value) {
                Ok(entry) => entries.push(entry),
                Err(reason) => rejected.push(Rejected { id: rule.id, reason }),
            }
        }
        entries.sort_by(|one, other| Reverse(&one.precedence).cmp(&Reverse(&other.precedence)));
        let (mut keyed, mut scanned) = (HashMap::<Key, Vec<usize>>::new(), Vec::new());
        for (at, entry) in entries.iter().enumerate() {
            match entry.keys() {
                Some(keys) => keys.into_iter().for_each(|key| keyed.entry(key).or_default().push(at)),
                None => scanned.push(at),
            }
        }
        (Self { entries: entries.into(), keyed: keyed.into(), scanned: scanned.into() }, rejected)
    }

    /// Whether no stream takes any rule.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Finds the rule that wins among those that match. Meant for once a connection: it allocates.
    pub fn find(&self, query: &StreamQuery<'_>) -> Option<StreamMatch<'_, T>> {
        let first = |list: &[usize], best: usize| {
            let better = list.iter().copied().take_while(|at| *at < best);
            better.into_iter().find(|at| self.entries[*at].matches(query)).unwrap_or(best)
        };
        let none = self.entries.len();
        let lists = keys_of(query).into_iter().filter_map(|key| self.keyed.get(&key)).map(Vec::as_slice);
        let best = lists.chain([&*self.scanned]).fold(none, |best, list| first(list, best));
        let entry = self.entries.get(best)?;
        let is_passthrough = query.protocol == StreamProtocol::Tls && !entry.protocols.tls;
        Some(StreamMatch { index: entry.index, value: &entry.value, is_passthrough })
    }
}

impl<T> Default for StreamRouter<T> {
    fn default() -> Self {
        Self { entries: Arc::new([]), keyed: Arc::default(), scanned: Arc::new([]) }
    }
}

impl<T> Entry<T> {
    fn compile(rule: &StreamRule, index: usize, value: T) -> Result<Self, RuleError> {
        let protocols = Protocols::of(&rule.protocols).ok_or(RuleError::NotStream)?;
        let trim_dot = |name: &Arc<str>| NamePattern::parse(name.strip_suffix('.').unwrap_or(name));
        let snis: Box<[_]> = rule.snis.iter().map(trim_dot).collect::<Result<_, _>>()?;
        let tests = |list: &[StreamAddress]| list.iter().map(AddressTest::parse).collect::<Result<Box<[_]>, _>>();
        let (sources, destinations) = (tests(&rule.sources)?, tests(&rule.destinations)?);
        let ranked = rule.expression.as_ref();
        let expression = ranked.map(|ranked| Expression::parse(&ranked.text, Subsystem::Stream)).transpose()?;
        if expression.is_none() && snis.is_empty() && sources.is_empty() && destinations.is_empty() {
            return Err(RuleError::UnconditionalStream);
        }
        let precedence = Precedence {
            priority: ranked.map(|ranked| ranked.priority),
            is_narrow: !snis.is_empty() || !(sources.is_empty() || destinations.is_empty()),
            sources: weight(&sources),
            destinations: weight(&destinations),
            id: rule.id.clone(),
        };
        Ok(Self { precedence, index, protocols, snis, sources, destinations, expression, value })
    }

    fn matches(&self, query: &StreamQuery<'_>) -> bool {
        let fits = |tests: &[AddressTest], address| tests.is_empty() || tests.iter().any(|test| test.matches(address));
        self.protocols.serve(query.protocol)
            && self.admits_sni(query)
            && fits(&self.sources, query.source)
            && fits(&self.destinations, query.destination)
            && self.meets_expression(query)
    }

    fn meets_expression(&self, query: &StreamQuery<'_>) -> bool {
        let holds = |expression: &Expression| expression.holds(Asked::Stream(query), &mut Trace::default());
        self.expression.as_ref().is_none_or(holds)
    }

    fn admits_sni(&self, query: &StreamQuery<'_>) -> bool {
        let fits = |sni| self.snis.iter().any(|pattern| pattern.matches(sni));
        query.protocol != StreamProtocol::Tls || self.snis.is_empty() || query.sni.is_some_and(fits)
    }

    /// The keys of which a stream has one if the rule matches it; `None` if there are none that all must have.
    fn keys(&self) -> Option<Vec<Key>> {
        let all = |tests: &[AddressTest], key: fn(&AddressTest) -> Option<Key>| {
            tests.iter().map(key).collect::<Option<Vec<_>>>().filter(|keys| !keys.is_empty())
        };
        let only_tls = !self.protocols.tcp && !self.protocols.udp;
        let snis = (only_tls && !self.snis.is_empty()).then(|| self.snis.iter().map(sni_key).collect());
        snis.or_else(|| all(&self.destinations, |test| test.address().map(Key::Destination)))
            .or_else(|| all(&self.sources, |test| test.address().map(Key::Source)))
            .or_else(|| all(&self.destinations, |test| test.port.map(Key::Port)))
    }
}

impl Protocols {
    fn of(names: &[Arc<str>]) -> Option<Self> {
        let has = |name: &str| names.iter().any(|own| **own == *name);
        let (tcp, tls, passthrough, udp) = (has("tcp"), has("tls"), has("tls_passthrough"), has("udp"));
        (tcp || tls || passthrough || udp).then_some(Self { tcp, tls, passthrough, udp })
    }

    fn serve(self, protocol: StreamProtocol) -> bool {
        match protocol {
            StreamProtocol::Tcp => self.tcp,
            StreamProtocol::Tls => self.tls || self.passthrough,
            StreamProtocol::Udp => self.udp,
        }
    }
}

impl AddressTest {
    pub(super) fn parse(address: &StreamAddress) -> Result<Self, RuleError> {
        let network = |text: &Arc<str>| {
            let network = text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?.to_canonical())));
            network.map(|network: IpNet| network.trunc()).ok_or_else(|| RuleError::Address(text.clone()))
        };
        Ok(Self { network: address.ip.as_ref().map(network).transpose()?, port: address.port })
    }

    pub(super) fn matches(&self, address: SocketAddr) -> bool {
        self.port.is_none_or(|port| port == address.port())
            && self.network.is_none_or(|network| network.contains(&address.ip().to_canonical()))
    }

    /// The only address that it lets in, if it is one.
    fn address(&self) -> Option<IpAddr> {
        self.network.filter(|network| network.prefix_len() == network.max_prefix_len()).map(|network| network.addr())
    }

    fn weight(&self) -> u8 {
        let of_ip = match (self.network, self.address()) {
            (None, _) => 0,
            (Some(_), None) => 1,
            (Some(_), Some(_)) => 8,
        };
        of_ip | if self.port.is_some() { 4 } else { 0 }
    }
}

fn weight(tests: &[AddressTest]) -> u8 {
    tests.iter().fold(0, |weight, test| weight | test.weight())
}

fn sni_key(pattern: &NamePattern) -> Key {
    let text = pattern.text().into();
    match pattern {
        NamePattern::Exact(_) => Key::Sni(text),
        NamePattern::Prefix(_) => Key::SniStart(text),
        NamePattern::Suffix(_) => Key::SniEnd(text),
    }
}

/// Every key that a stream has.
fn keys_of(query: &StreamQuery<'_>) -> Vec<Key> {
    let address = |address: SocketAddr| address.ip().to_canonical();
    let mut keys = vec![
        Key::Destination(address(query.destination)),
        Key::Source(address(query.source)),
        Key::Port(query.destination.port()),
    ];
    if let (StreamProtocol::Tls, Some(sni)) = (query.protocol, query.sni) {
        keys.push(Key::Sni(sni.into()));
        for (at, _) in sni.match_indices('.') {
            keys.push(Key::SniEnd(sni[at..].into()));
            keys.push(Key::SniStart(sni[..=at].into()));
        }
    }
    keys
}

#[cfg(test)]
mod tests;
