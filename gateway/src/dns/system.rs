//! What this machine says about its servers, and in which order kinds of records are asked for.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use hickory_resolver::{
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts, ServerOrderingStrategy},
    proto::rr::Name,
    system_conf::parse_resolv_conf,
};

use super::{Kind, Settings};

/// Where there is no other server, as in resolv.conf(5).
const LOCAL: &str = "nameserver 127.0.0.1\n";
/// Search domains at most.
const MOST_DOMAINS: usize = 32;

/// One part of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The kind that was found last.
    Last,
    /// One kind.
    Of(Kind),
    /// Followed anyway, so nothing is asked for.
    Cname,
}

/// What is asked for, one after the other, until there is an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order(Vec<Step>);

/// Not a part of an order.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a kind of record: LAST, SRV, A, AAAA or CNAME")]
pub struct UnknownStep(String);

impl Default for Order {
    fn default() -> Self {
        Self(vec![Step::Last, Step::Of(Kind::Srv), Step::Of(Kind::A), Step::Cname])
    }
}

impl FromStr for Order {
    type Err = UnknownStep;

    /// `LAST,SRV,A,CNAME`, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownStep> {
        let step = |word: &str| match &*word.trim().to_ascii_uppercase() {
            "LAST" => Ok(Step::Last),
            "SRV" => Ok(Step::Of(Kind::Srv)),
            "A" => Ok(Step::Of(Kind::A)),
            "AAAA" => Ok(Step::Of(Kind::Aaaa)),
            "CNAME" => Ok(Step::Cname),
            _ => Err(UnknownStep(word.to_owned())),
        };
        text.split(',').map(step).collect::<Result<_, _>>().map(Self)
    }
}

impl Order {
    /// The kinds to ask for, each once.
    pub(super) fn kinds(&self, last: Option<Kind>) -> Vec<Kind> {
        let mut kinds = Vec::with_capacity(self.0.len());
        for step in &self.0 {
            let kind = match step {
                Step::Last => last,
                Step::Of(kind) => Some(*kind),
                Step::Cname => None,
            };
            // The last kind leads only if it is one of the order.
            let kind = kind.filter(|kind| self.0.contains(&Step::Of(*kind)) && !kinds.contains(kind));
            kinds.extend(kind);
        }
        kinds
    }
}

/// Which names a name may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Search {
    domains: Vec<Name>,
    ndots: usize,
}

impl Search {
    /// The names to try for a host, in order: with enough dots as it is first, else last (resolv.conf(5)).
    pub(super) fn names(&self, host: &str) -> Option<Vec<Name>> {
        let mut whole = Name::from_str_relaxed(host).ok()?;
        whole.set_fqdn(true);
        let longer = self.domains.iter().filter_map(|domain| {
            let mut relative = whole.clone();
            relative.set_fqdn(false);
            relative.append_domain(domain).ok()
        });
        let mut names: Vec<Name> = longer.collect();
        let at = if host.matches('.').count() >= self.ndots { 0 } else { names.len() };
        names.insert(at, whole);
        Some(names)
    }
}

/// Servers, how to ask them, and for what; `text` is of the file, if there is one.
pub(super) fn read(text: Option<&str>, settings: &Settings) -> (ResolverConfig, ResolverOpts, Search) {
    let environment = ["LOCALDOMAIN", "RES_OPTIONS"].map(|name| std::env::var(name).ok());
    understand(text.unwrap_or(LOCAL), environment, settings)
}

/// `LOCALDOMAIN` and `RES_OPTIONS` go over the file, as resolv.conf(5) says.
fn understand(
    text: &str,
    [domains, options]: [Option<String>; 2],
    settings: &Settings,
) -> (ResolverConfig, ResolverOpts, Search) {
    let mut text = text.to_owned();
    let lines = [("search", domains), ("options", options)];
    for (word, more) in lines.into_iter().filter_map(|(word, more)| Some((word, more?))) {
        text = format!("{text}\n{word} {more}\n");
    }
    let read = parse_resolv_conf(&text).or_else(|_| parse_resolv_conf(text + "\n" + LOCAL));
    let (config, mut options) = read.unwrap_or_else(|_| (ResolverConfig::default(), ResolverOpts::default()));
    let own = config.search().iter().chain(config.domain().filter(|_| config.search().is_empty()));
    let domains = own.take(MOST_DOMAINS).cloned().map(|mut domain| {
        domain.set_fqdn(true);
        domain
    });
    let search = Search { domains: domains.collect(), ndots: options.ndots };
    let servers = match settings.servers.as_slice() {
        [] => config.name_servers().to_vec(),
        servers => servers.iter().copied().map(server).collect(),
    };
    options.cache_size = settings.cache_size;
    options.positive_max_ttl = settings.valid;
    // What there is not, this node keeps itself.
    options.negative_max_ttl = Some(Duration::ZERO);
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    (ResolverConfig::from_name_servers(servers), options, search)
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_last_is_asked_for_first() {
        let order = Order::default();
        assert_eq!(order.kinds(None), [Kind::Srv, Kind::A]);
        assert_eq!(order.kinds(Some(Kind::A)), [Kind::A, Kind::Srv]);
        assert_eq!(order.kinds(Some(Kind::Aaaa)), [Kind::Srv, Kind::A], "not in the order");
        let order: Order = "a, aaaa,Last".parse().unwrap();
        assert_eq!(order.kinds(Some(Kind::Aaaa)), [Kind::A, Kind::Aaaa]);
        assert!("LAST,MX".parse::<Order>().is_err());
    }

    #[test]
    fn a_short_name_is_looked_for_in_the_search_domains_first() {
        let environment = |domains: &str, options: &str| [Some(domains.to_owned()), Some(options.to_owned())];
        let text = "nameserver 10.0.0.53\nsearch file.test\noptions ndots:1\n";
        let cases = [
            ([None, None], "db", "db.file.test. db."),
            ([None, None], "db.corp", "db.corp. db.corp.file.test."),
            (environment("a.test b.test", "ndots:2"), "db.corp", "db.corp.a.test. db.corp.b.test. db.corp."),
            (environment("a.test", "ndots:2"), "db.corp.test", "db.corp.test. db.corp.test.a.test."),
        ];
        for (environment, host, expected) in cases {
            let (_, _, search) = understand(text, environment, &Settings::default());
            let names: Vec<String> = search.names(host).unwrap().iter().map(Name::to_string).collect();
            assert_eq!(names.join(" "), expected, "{host}");
        }
    }

    #[test]
    fn the_nodes_own_servers_go_over_those_of_the_machine() {
        let servers = |settings: &Settings, text: &str| {
            let (config, ..) = understand(text, [None, None], settings);
            let shown = |server: &NameServerConfig| format!("{}:{}", server.ip, server.connections[0].port);
            config.name_servers().iter().map(shown).collect::<Vec<_>>().join(" ")
        };
        let own = Settings { servers: vec!["10.0.0.1:5353".parse().unwrap()], ..Settings::default() };
        assert_eq!(servers(&own, "nameserver 10.0.0.53\n"), "10.0.0.1:5353");
        assert_eq!(servers(&Settings::default(), "nameserver 10.0.0.53\n"), "10.0.0.53:53");
        assert_eq!(servers(&Settings::default(), ""), "127.0.0.1:53");
        assert_eq!(servers(&own, ""), "10.0.0.1:5353");
    }
}
