//! What a route asks of a request: as written, and ready to be compared.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::expression::ExpressionError;
use super::header::HeaderCondition;
use super::name::{Authority, HostPattern, NamePattern};
use super::pattern::PathPattern;
use super::precedence::{HostKind, PathKind, Precedence};
use super::query::{Query, Transport};
use super::stream::{AddressTest, StreamAddress};

/// The conditions of a route as its entity has them. All lists that are not empty must match, any one value of each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// The route's id.
    pub id: Arc<str>,
    /// At least one of `http`, `https`, `grpc`, `grpcs`; the router does not tell these apart.
    pub protocols: Vec<Arc<str>>,
    /// Methods, case-sensitive.
    pub methods: Vec<Arc<str>>,
    /// Names, `*.x` or `x.*`, each with or without `:port`. An empty list asks for nothing but counts as plain names.
    pub hosts: Option<Vec<Arc<str>>>,
    /// Prefixes `/…` or regular expressions `~/…`.
    pub paths: Vec<Arc<str>>,
    /// Header names with the values each may have, `~*…` being a regular expression. Every name must match.
    pub headers: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// Server names like hosts, without port; only asked of requests over TLS.
    pub snis: Vec<Arc<str>>,
    /// Where the client may be; only in the flavor `expressions`.
    pub sources: Vec<StreamAddress>,
    /// Where the client may have connected to; only in the flavor `expressions`.
    pub destinations: Vec<StreamAddress>,
    /// Orders regular expressions among each other.
    pub regex_priority: i64,
    /// Orders rules that are equal in all but their id: the older one first. 0 where the flavor does not ask.
    pub created_at: u64,
    /// In place of all conditions above: the flavor `expressions`.
    pub expression: Option<RankedExpression>,
}

/// An expression and its place among others; each comes before all rules without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankedExpression {
    /// As the route has it.
    pub text: Arc<str>,
    /// The larger one is tried first.
    pub priority: u64,
}

/// A rule that is not served, and why.
#[derive(Debug)]
pub struct Rejected {
    /// The id of the rule.
    pub id: Arc<str>,
    /// The reason, for the operator.
    pub reason: RuleError,
}

/// Why a rule cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// Only stream protocols.
    #[error("protocols hold none of http, https, grpc, grpcs")]
    NotHttp,
    /// Only HTTP protocols.
    #[error("protocols hold none of tcp, tls, tls_passthrough, udp")]
    NotStream,
    /// It would match every stream.
    #[error("none of sources, destinations, snis is set")]
    UnconditionalStream,
    /// Neither an address nor a network.
    #[error("'{0}' is neither an address nor a network")]
    Address(Arc<str>),
    /// It would match every request.
    #[error("none of methods, hosts, headers, paths, snis is set")]
    Unconditional,
    /// An empty name or a misplaced wildcard.
    #[error("name '{0}' is empty or has a wildcard that is not its whole first or last label")]
    Name(Box<str>),
    /// Hosts have a list of their own.
    #[error("headers hold 'host', which belongs in hosts")]
    HostHeader,
    /// A header value after `~*`.
    #[error("compiling a value of header '{name}'")]
    HeaderPattern {
        /// The header.
        name: Box<str>,
        /// What is wrong with the expression.
        #[source]
        cause: regex::Error,
    },
    /// A path that begins neither with `/` nor with `~`.
    #[error("path '{0}' starts neither with / nor with ~")]
    Path(Arc<str>),
    /// A path after `~`.
    #[error("compiling path '{path}'")]
    PathPattern {
        /// The path.
        path: Arc<str>,
        /// What is wrong with the expression.
        #[source]
        cause: regex::Error,
    },
    /// An expression without meaning.
    #[error("its expression cannot be used: {0}")]
    Expression(#[from] ExpressionError),
}

/// The condition of a rule that a request fails; the first one in the order given here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// The method is not in the list.
    Method,
    /// There is no host, or none of the list fits it.
    Host,
    /// No path is a prefix or matches.
    Path,
    /// A header is missing or has another value.
    Header,
    /// The server name of the TLS handshake is missing or another.
    Sni,
    /// The client is elsewhere.
    Source,
    /// The client connected to another address.
    Destination,
}

/// A rule that was understood.
#[derive(Debug)]
pub struct CompiledRule {
    id: Arc<str>,
    methods: Box<[Arc<str>]>,
    has_host_list: bool,
    hosts: Box<[HostPattern]>,
    paths: Box<[PathTest]>,
    headers: Box<[HeaderCondition]>,
    snis: Box<[NamePattern]>,
    /// Which hardly any rule asks for.
    addresses: Option<Box<Addresses>>,
    regex_priority: i64,
    created_at: u64,
}

/// Where a client may be, and what it may have connected to.
#[derive(Debug)]
struct Addresses {
    sources: Box<[AddressTest]>,
    destinations: Box<[AddressTest]>,
}

/// One path of a rule.
#[derive(Debug, Clone)]
pub(super) enum PathTest {
    Literal(Arc<str>),
    Pattern(PathPattern),
}

/// Compiled expressions by their text.
pub(super) type Patterns = HashMap<Arc<str>, PathPattern>;

impl Rule {
    /// Understands the rule.
    ///
    /// # Errors
    /// When a part of it has no meaning to the HTTP router.
    pub fn compile(&self) -> Result<CompiledRule, RuleError> {
        self.compile_with(&mut |expression| PathPattern::compile(expression))
    }

    pub(super) fn is_http(&self) -> bool {
        self.protocols.iter().any(|protocol| matches!(&**protocol, "http" | "https" | "grpc" | "grpcs"))
    }

    /// Understands the rule, with expressions taken from elsewhere.
    pub(super) fn compile_with(
        &self,
        pattern: &mut dyn FnMut(&Arc<str>) -> Result<PathPattern, regex::Error>,
    ) -> Result<CompiledRule, RuleError> {
        if !self.is_http() {
            return Err(RuleError::NotHttp);
        }
        let hosts = self.hosts.iter().flatten();
        let headers = self.headers.iter();
        let rule = CompiledRule {
            id: self.id.clone(),
            methods: self.methods.as_slice().into(),
            has_host_list: self.hosts.is_some(),
            hosts: hosts.map(|host| HostPattern::parse(host)).collect::<Result<_, _>>()?,
            paths: self.paths.iter().map(|path| PathTest::parse(path, pattern)).collect::<Result<_, _>>()?,
            headers: headers
                .map(|(name, values)| HeaderCondition::parse(name, values.iter().map(|value| &**value)))
                .collect::<Result<_, _>>()?,
            snis: self.snis.iter().map(|sni| NamePattern::parse(trim_dot(sni))).collect::<Result<_, _>>()?,
            addresses: Addresses::parse(&self.sources, &self.destinations)?.map(Box::new),
            regex_priority: self.regex_priority,
            created_at: self.created_at,
        };
        match rule.attributes() {
            0 => Err(RuleError::Unconditional),
            _ => Ok(rule),
        }
    }
}

impl CompiledRule {
    /// The route's id.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Compares a request with every condition, one after the other: what the indexed search must agree with, and what
    /// can tell an operator why a route did not match.
    ///
    /// # Errors
    /// The first condition that does not hold.
    pub fn matches(&self, query: &Query<'_>) -> Result<(), Mismatch> {
        let holds = |fits: bool, mismatch| if fits { Ok(()) } else { Err(mismatch) };
        holds(self.admits_method(query), Mismatch::Method)?;
        holds(self.admits_host(query), Mismatch::Host)?;
        holds(self.paths.is_empty() || self.paths.iter().any(|path| path.matches(query.path)), Mismatch::Path)?;
        holds(self.admits_headers(query), Mismatch::Header)?;
        holds(self.admits_sni(query), Mismatch::Sni)?;
        self.addresses.as_ref().map_or(Ok(()), |addresses| addresses.matches(query))
    }

    /// How specific the rule is on each of its paths, in their order; once if it has none.
    pub fn precedences(&self) -> impl Iterator<Item = Precedence> {
        let paths = self.paths.iter().map(|path| match path {
            PathTest::Literal(prefix) => PathKind::Literal { length: prefix.len() },
            PathTest::Pattern(_) => PathKind::Pattern { priority: self.regex_priority },
        });
        let none = self.paths.is_empty().then_some(PathKind::Literal { length: 0 });
        paths.chain(none).map(|path| Precedence {
            attributes: self.attributes(),
            hosts: match self.has_host_list && self.hosts.iter().all(HostPattern::is_plain) {
                true => HostKind::Plain,
                false => HostKind::Open,
            },
            header_names: u8::try_from(self.headers.len()).unwrap_or(u8::MAX),
            path,
            created_at: Reverse(self.created_at),
            id: self.id.clone(),
        })
    }

    pub(super) fn asks_for_method(&self) -> bool {
        !self.methods.is_empty()
    }

    /// The entry of the hosts that a request fits.
    pub(super) fn matching_host(&self, query: &Query<'_>) -> Option<&HostPattern> {
        let authority = Authority::of(query.host, query.port)?;
        self.hosts.iter().find(|host| host.matches(authority))
    }

    pub(super) fn hosts(&self) -> &[HostPattern] {
        &self.hosts
    }

    pub(super) fn paths(&self) -> &[PathTest] {
        &self.paths
    }

    pub(super) fn headers(&self) -> &[HeaderCondition] {
        &self.headers
    }

    pub(super) fn snis(&self) -> &[NamePattern] {
        &self.snis
    }

    /// Whether the rule asks for anything but hosts and paths, which the index answers.
    pub(super) fn has_more_conditions(&self) -> bool {
        !(self.methods.is_empty() && self.headers.is_empty() && self.snis.is_empty() && self.addresses.is_none())
    }

    /// Whether everything but hosts and paths holds.
    pub(super) fn admits_rest(&self, query: &Query<'_>) -> bool {
        self.admits_method(query)
            && self.admits_sni(query)
            && self.admits_headers(query)
            && self.addresses.as_ref().is_none_or(|addresses| addresses.matches(query).is_ok())
    }

    fn attributes(&self) -> u8 {
        let addresses = self.addresses.as_deref();
        let set = [
            addresses.is_some_and(|addresses| !addresses.sources.is_empty()),
            addresses.is_some_and(|addresses| !addresses.destinations.is_empty()),
            !self.methods.is_empty(),
            !self.hosts.is_empty(),
            !self.headers.is_empty(),
            !self.paths.is_empty(),
            !self.snis.is_empty(),
        ];
        set.into_iter().map(u8::from).sum()
    }

    fn admits_method(&self, query: &Query<'_>) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|method| **method == *query.method.as_str())
    }

    fn admits_host(&self, query: &Query<'_>) -> bool {
        self.hosts.is_empty() || self.matching_host(query).is_some()
    }

    fn admits_headers(&self, query: &Query<'_>) -> bool {
        self.headers.iter().all(|condition| condition.matches(query.headers))
    }

    fn admits_sni(&self, query: &Query<'_>) -> bool {
        match query.transport {
            Transport::Tls { sni } if !self.snis.is_empty() => {
                sni.is_some_and(|sni| self.snis.iter().any(|pattern| pattern.matches(sni)))
            }
            Transport::Tls { .. } | Transport::Plain => true,
        }
    }
}

impl Addresses {
    fn parse(sources: &[StreamAddress], destinations: &[StreamAddress]) -> Result<Option<Self>, RuleError> {
        if sources.is_empty() && destinations.is_empty() {
            return Ok(None);
        }
        let tests = |list: &[StreamAddress]| list.iter().map(AddressTest::parse).collect::<Result<Box<[_]>, _>>();
        Ok(Some(Self { sources: tests(sources)?, destinations: tests(destinations)? }))
    }

    fn matches(&self, query: &Query<'_>) -> Result<(), Mismatch> {
        let fits = |tests: &[AddressTest], address: Option<SocketAddr>| {
            tests.is_empty() || address.is_some_and(|address| tests.iter().any(|test| test.matches(address)))
        };
        let destination = query.destination.map(|destination| SocketAddr::new(destination.ip(), query.port));
        match (fits(&self.sources, query.source), fits(&self.destinations, destination)) {
            (false, _) => Err(Mismatch::Source),
            (true, false) => Err(Mismatch::Destination),
            (true, true) => Ok(()),
        }
    }
}

impl PathTest {
    fn parse(
        path: &Arc<str>,
        pattern: &mut dyn FnMut(&Arc<str>) -> Result<PathPattern, regex::Error>,
    ) -> Result<Self, RuleError> {
        match path.strip_prefix('~') {
            Some(expression) => pattern(&expression.into())
                .map(Self::Pattern)
                .map_err(|cause| RuleError::PathPattern { path: path.clone(), cause }),
            None if path.starts_with('/') => Ok(Self::Literal(path.clone())),
            None => Err(RuleError::Path(path.clone())),
        }
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Literal(prefix) => path.starts_with(&**prefix),
            Self::Pattern(pattern) => pattern.matched_length(path).is_some(),
        }
    }
}

impl fmt::Display for PathTest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(prefix) => out.write_str(prefix),
            Self::Pattern(pattern) => write!(out, "~{}", pattern.source()),
        }
    }
}

fn trim_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}
