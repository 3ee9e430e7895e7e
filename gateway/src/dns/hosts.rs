//! The file of names that need no server.

use std::{
    collections::HashMap,
    fs::Metadata,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::{Found, Kind, Record};

/// How long what it says counts until it is looked at again.
const VALID: Duration = Duration::from_secs(10);

/// What the file says, read again when it has changed.
#[derive(Debug)]
pub(super) struct Hosts {
    path: PathBuf,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    /// Of the file, when it was read.
    changed: Option<(SystemTime, u64)>,
    names: Arc<HashMap<String, Vec<IpAddr>>>,
}

impl Hosts {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::default() }
    }

    /// The addresses of a name, in lower case, of the first of these kinds that it has.
    pub(super) async fn find(&self, host: &str, kinds: impl Iterator<Item = Kind>) -> Option<Found> {
        let names = self.names().await;
        let local = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        // RFC 6761 §6.3: it needs no file either.
        let own = names.get(host).map(Vec::as_slice).or((host == "localhost").then_some(&local[..]))?;
        kinds.filter_map(|kind| found(kind, own)).next()
    }

    async fn names(&self) -> Arc<HashMap<String, Vec<IpAddr>>> {
        let changed = changed(&self.path).await.ok();
        {
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            if read.changed == changed {
                return read.names.clone();
            }
        }
        let text = tokio::fs::read_to_string(&self.path).await.unwrap_or_default();
        let names = Arc::new(parse(&text));
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Read { changed, names: names.clone() };
        names
    }
}

/// When a file changed last, and its length.
pub(super) async fn changed(path: &Path) -> io::Result<(SystemTime, u64)> {
    stamp(&tokio::fs::metadata(path).await?)
}

/// The same of what the system says about it.
pub(super) fn stamp(about: &Metadata) -> io::Result<(SystemTime, u64)> {
    Ok((about.modified()?, about.len()))
}

fn found(kind: Kind, addresses: &[IpAddr]) -> Option<Found> {
    let is_wanted = |ip: &IpAddr| match kind {
        Kind::A => ip.is_ipv4(),
        Kind::Aaaa => ip.is_ipv6(),
        Kind::Srv => false,
    };
    let records = addresses.iter().copied().filter(is_wanted).map(|ip| Record { ip, service: None });
    Found::new(kind, records.collect(), VALID)
}

/// `address name…` on each line; `#` begins a comment (hosts(5)).
fn parse(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        for name in words {
            names.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default().push(address);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let hosts = Hosts::new(path.clone());
        let find = async |host: &'static str, kinds: &'static [Kind]| {
            let found = hosts.find(host, kinds.iter().copied()).await;
            found.map(|found| found.records.iter().map(|record| record.ip.to_string()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(find("localhost", &[Kind::A]).await.as_deref(), Some("127.0.0.1"), "without a file");
        assert_eq!(find("a.test", &[Kind::A]).await, None);
        std::fs::write(&path, "10.0.0.2 A.test b.test # c.test\n10.0.0.1\ta.test\n::5 a.test\nnonsense d.test\n")
            .unwrap();
        let cases: [(&str, &[Kind], Option<&str>); 6] = [
            ("a.test", &[Kind::Srv, Kind::A], Some("10.0.0.1 10.0.0.2")),
            ("a.test", &[Kind::Aaaa, Kind::A], Some("::5")),
            ("b.test", &[Kind::Aaaa, Kind::A], Some("10.0.0.2")),
            ("b.test", &[Kind::Aaaa], None),
            ("c.test", &[Kind::A], None),
            ("d.test", &[Kind::A], None),
        ];
        for (host, kinds, expected) in cases {
            assert_eq!(find(host, kinds).await.as_deref(), expected, "{host} {kinds:?}");
        }
        std::fs::write(&path, "10.0.0.3 a.test\n").unwrap();
        assert_eq!(find("a.test", &[Kind::A]).await.as_deref(), Some("10.0.0.3"));
    }
}
