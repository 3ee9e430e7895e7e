//! Asks servers for a name, by way of the hosts file, the search domains and the order of kinds.

use std::{
    collections::HashMap,
    fs,
    future::Future,
    io,
    net::IpAddr,
    path::Path,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use hickory_resolver::{
    TokioResolver,
    lookup::Lookup,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType, rdata::SRV},
};
use tokio::sync::Mutex;

use super::{
    Found, Kind, NameError, Order, Record, Service, Settings,
    hosts::{self, Hosts},
    system,
};

/// Records of one name at most.
const MOST_RECORDS: usize = 1_000;

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Found, NameError>> + Send + 'a>>;

/// Whoever knows what names mean.
pub trait Ask: Send + Sync + 'static {
    /// The addresses of a name in lower case. `last`: the kind that was found last time.
    fn ask<'a>(&'a self, host: &'a str, last: Option<Kind>) -> Answer<'a>;
}

/// Asks the servers of this node, which it reads again when the machine's file says something else.
#[derive(Debug)]
pub struct Asker {
    settings: Settings,
    hosts: Arc<Hosts>,
    servers: ArcSwap<Servers>,
    /// Of the file, when it was read; held while it is.
    read: Mutex<Option<(SystemTime, u64)>>,
}

impl Asker {
    /// Reads `/etc/resolv.conf`, or the file that is set in its place.
    ///
    /// # Errors
    /// When no servers can be asked at all.
    pub fn new(settings: &Settings) -> Result<Self, NetError> {
        let path = &settings.resolv_conf;
        let about = fs::metadata(path).and_then(|about| hosts::stamp(&about)).ok();
        let text = fs::read_to_string(path)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "the servers of names cannot be read"));
        let hosts = Arc::new(Hosts::new(settings.hosts_file.clone()));
        let servers = Servers::new(settings, text.ok().as_deref(), hosts.clone())?;
        let (settings, servers) = (settings.clone(), ArcSwap::from_pointee(servers));
        Ok(Self { settings, hosts, servers, read: Mutex::new(about) })
    }

    /// As the file says now. What cannot be read leaves those there are.
    async fn servers(&self) -> Arc<Servers> {
        let path = &self.settings.resolv_conf;
        let mut read = self.read.lock().await;
        let about = hosts::changed(path).await.ok();
        if about != *read {
            // Before the text: what is written meanwhile is another change.
            *read = about;
            match self.again(path).await {
                Ok(servers) => {
                    self.servers.store(Arc::new(servers));
                    tracing::info!(path = %path.display(), "the servers of names were read again");
                }
                Err(error) => tracing::warn!(path = %path.display(), %error, "the servers of names stay as they are"),
            }
        }
        self.servers.load_full()
    }

    async fn again(&self, path: &Path) -> io::Result<Servers> {
        let text = tokio::fs::read_to_string(path).await?;
        Servers::new(&self.settings, Some(&text), self.hosts.clone()).map_err(io::Error::other)
    }
}

/// The servers of one state of the file, and how they are asked.
#[derive(Debug)]
struct Servers {
    resolver: TokioResolver,
    search: system::Search,
    hosts: Arc<Hosts>,
    order: Order,
}

impl Servers {
    fn new(settings: &Settings, text: Option<&str>, hosts: Arc<Hosts>) -> Result<Self, NetError> {
        let (config, options, search) = system::read(text, settings);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(Self { resolver: builder.build()?, search, hosts, order: settings.order.clone() })
    }

    async fn find(&self, host: &str, last: Option<Kind>) -> Result<Found, NameError> {
        let kinds = self.order.kinds(last);
        if let Some(found) = self.hosts.find(host, kinds.iter().copied()).await {
            return Ok(found);
        }
        let names = self.search.names(host).ok_or(NameError::Invalid)?;
        let mut failed: Option<NameError> = None;
        for kind in kinds {
            for name in &names {
                match self.look_up(name, kind).await {
                    Ok(found) => return Ok(found),
                    Err(error) => failed = Some(failed.map_or(error.clone(), |before| before.or(error))),
                }
            }
        }
        Err(failed.unwrap_or(NameError::Empty))
    }

    async fn look_up(&self, name: &Name, kind: Kind) -> Result<Found, NameError> {
        if kind == Kind::Srv {
            return self.services(name).await;
        }
        let (addresses, valid) = self.addresses(name, kind).await?;
        let records = addresses.into_iter().map(|ip| Record { ip, service: None });
        Found::new(kind, records.collect(), valid).ok_or(NameError::Empty)
    }

    async fn addresses(&self, name: &Name, kind: Kind) -> Result<(Vec<IpAddr>, Duration), NameError> {
        let wanted = if kind == Kind::Aaaa { RecordType::AAAA } else { RecordType::A };
        let lookup = self.resolver.lookup(name.clone(), wanted).await?;
        let addresses = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::A(address) => Some(address.0.into()),
            RData::AAAA(address) => Some(address.0.into()),
            _ => None,
        });
        Ok((addresses.take(MOST_RECORDS).collect(), valid(&lookup)))
    }

    /// The services of lowest priority, with the addresses of their names.
    async fn services(&self, name: &Name) -> Result<Found, NameError> {
        let lookup = self.resolver.lookup(name.clone(), RecordType::SRV).await?;
        let services = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(service) => Some(service),
            _ => None,
        });
        let services: Vec<&SRV> = services.take(MOST_RECORDS).collect();
        let first = services.iter().map(|service| service.priority).min().ok_or(NameError::Empty)?;
        let (mut records, mut until) = (Vec::new(), valid(&lookup));
        // Several services may lead to one name.
        let mut known: HashMap<&Name, Vec<IpAddr>> = HashMap::new();
        let mut failed = None;
        for service in services.into_iter().filter(|service| service.priority == first && !service.target.is_root()) {
            if !known.contains_key(&service.target) {
                match self.addresses_of_service(&service.target).await {
                    Ok((addresses, valid)) => {
                        until = until.min(valid);
                        known.insert(&service.target, addresses);
                    }
                    Err(error) => failed = Some(error),
                }
            }
            let addresses = known.get(&service.target).into_iter().flatten();
            records.extend(addresses.map(|ip| Record { ip: *ip, service: Some(described(service)) }));
        }
        Found::new(Kind::Srv, records, until).ok_or(failed.unwrap_or(NameError::Empty))
    }

    async fn addresses_of_service(&self, name: &Name) -> Result<(Vec<IpAddr>, Duration), NameError> {
        let kinds = || self.order.kinds(None).into_iter().filter(|kind| *kind != Kind::Srv);
        let host = text(name);
        if let Some(found) = self.hosts.find(&host, kinds()).await {
            return Ok((found.records.into_iter().map(|record| record.ip).collect(), found.valid));
        }
        let mut failed = None;
        for kind in kinds() {
            match self.addresses(name, kind).await {
                Ok((addresses, valid)) if !addresses.is_empty() => return Ok((addresses, valid)),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or(NameError::Empty))
    }
}

impl Ask for Asker {
    fn ask<'a>(&'a self, host: &'a str, last: Option<Kind>) -> Answer<'a> {
        Box::pin(async move { self.servers().await.find(host, last).await })
    }
}

fn described(service: &SRV) -> Service {
    Service { name: text(&service.target).into(), port: service.port, weight: service.weight.max(1) }
}

fn text(name: &Name) -> String {
    name.to_lowercase().to_string().trim_end_matches('.').to_owned()
}

fn valid(lookup: &Lookup) -> Duration {
    lookup.valid_until().saturating_duration_since(Instant::now())
}
