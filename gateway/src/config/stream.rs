//! Settings of streams: where they come in, and what their targets are told.

use std::collections::BTreeMap;

use super::{
    Address, Listen, Problem,
    listen::parsed,
    read::{Reader, number},
};

/// How this node serves streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streams {
    /// Whose targets hear of their clients by the PROXY protocol.
    pub introductions: Introductions,
    /// UDP clients that are served at once, over all workers.
    pub udp_sessions: usize,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Which targets get a PROXY header: `off`, or `v2`, or `off, mail=v1, db=v2` with names of services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Introductions {
    /// Those of services that are not named.
    pub others: Option<ProxyVersion>,
    /// Those of these services.
    pub named: BTreeMap<String, Option<ProxyVersion>>,
}

impl Introductions {
    /// What targets of a service get.
    pub fn of(&self, service: Option<&str>) -> Option<ProxyVersion> {
        service.and_then(|name| self.named.get(name)).copied().unwrap_or(self.others)
    }
}

impl Reader {
    pub(super) fn streams(&mut self) -> Streams {
        Streams {
            introductions: self.take("stream_proxy_protocol_upstream", "off", introductions),
            udp_sessions: self.take("stream_udp_sessions", "4096", number(1, 1_000_000)),
        }
    }
}

/// Addresses for streams. UDP has neither connections nor, here, TLS.
pub(super) fn stream_listens(text: &str) -> Result<Vec<Listen>, Problem> {
    let listens = parsed(text)?;
    let unfit = |listen: &Listen| {
        let is_file = matches!(listen.address, Address::Unix(_));
        let not_for_udp = [
            (listen.tls, "ssl"),
            (listen.proxy_protocol, "proxy_protocol"),
            (listen.probes.is_some(), "so_keepalive"),
            (is_file, "udp"),
        ];
        let of_udp = not_for_udp.into_iter().find(|(is_set, _)| listen.udp && *is_set).map(|(_, option)| option);
        if listen.http2 { Some("http2") } else { of_udp }
    };
    match listens.iter().find_map(|listen| Some((listen, unfit(listen)?))) {
        Some((listen, option)) => Err(Problem::ListenOption(option.to_owned(), listen.address.to_string())),
        None => Ok(listens),
    }
}

fn introductions(text: &str) -> Result<Introductions, Problem> {
    let version = |word: &str| match word {
        "off" => Some(None),
        "v1" => Some(Some(ProxyVersion::V1)),
        "v2" => Some(Some(ProxyVersion::V2)),
        _ => None,
    };
    let mut introductions = Introductions::default();
    for (number, part) in text.split(',').map(str::trim).enumerate() {
        let wrong = || Problem::Introduction(part.to_owned());
        match part.split_once('=') {
            Some((name, word)) if !name.is_empty() => {
                let known = introductions.named.insert(name.to_owned(), version(word).ok_or_else(wrong)?);
                known.map_or(Ok(()), |_| Err(wrong()))?;
            }
            None if number == 0 => introductions.others = version(part).ok_or_else(wrong)?,
            _ => return Err(wrong()),
        }
    }
    Ok(introductions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_named_services_are_told_otherwise() {
        let read = introductions("off, mail=v1,db=v2").unwrap();
        assert_eq!(read.of(None), None);
        assert_eq!(read.of(Some("web")), None);
        assert_eq!(read.of(Some("mail")), Some(ProxyVersion::V1));
        assert_eq!(read.of(Some("db")), Some(ProxyVersion::V2));
        assert_eq!(introductions("v2, db=off").unwrap().of(Some("db")), None);
        assert_eq!(introductions("db=v1").unwrap().of(Some("db")), Some(ProxyVersion::V1));
        for wrong in ["", "on", "v3", "db=v1, v2", "=v1", "db=", "db=v1, db=v2"] {
            assert!(introductions(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn streams_have_options_of_their_own() {
        let shown = |text: &str| stream_listens(text).map(|all| all.iter().map(Listen::to_string).collect::<Vec<_>>());
        let typed = "127.0.0.1:9000, 127.0.0.1:9001 ssl proxy_protocol, 127.0.0.1:9000 udp reuseport, unix:/a";
        let meant = ["127.0.0.1:9000", "127.0.0.1:9001 ssl proxy_protocol", "127.0.0.1:9000 udp reuseport", "unix:/a"];
        assert_eq!(shown(typed).unwrap(), meant);
        assert_eq!(shown("off").unwrap(), [""; 0]);
        for (typed, option) in [
            ("127.0.0.1:1 http2", "http2"),
            ("127.0.0.1:1 ssl udp", "ssl"),
            ("127.0.0.1:1 udp proxy_protocol", "proxy_protocol"),
            ("127.0.0.1:1 udp so_keepalive=on", "so_keepalive"),
            ("unix:/a udp", "udp"),
        ] {
            let refused = shown(typed).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("`{option}` behind")), "{refused}");
        }
    }
}
