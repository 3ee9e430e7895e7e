//! Host names → addresses, kept for a short while. A worker asks the system's resolver on a thread of its own.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::SendError;

/// How long an answer is used. The system's resolver does not tell the record's own time.
const KEPT: Duration = Duration::from_secs(30);

/// Names that are kept at most; more than that begins anew.
const CAPACITY: usize = 10_000;

/// What the names of targets mean.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: RefCell<HashMap<Arc<str>, Rc<Known>>>,
}

#[derive(Debug)]
struct Known {
    addresses: Vec<IpAddr>,
    next: Cell<usize>,
    until: Instant,
}

impl Names {
    /// An address of `host`; the next one at each call.
    pub(super) async fn resolve(&self, host: &Arc<str>, port: u16) -> Result<SocketAddr, SendError> {
        let known = self.known.borrow().get(host).filter(|known| known.until > Instant::now()).cloned();
        let known = match known {
            Some(known) => known,
            None => self.ask(host).await?,
        };
        let turn = known.next.get();
        known.next.set(turn.wrapping_add(1));
        Ok(SocketAddr::new(known.addresses[turn % known.addresses.len()], port))
    }

    async fn ask(&self, host: &Arc<str>) -> Result<Rc<Known>, SendError> {
        let found = tokio::net::lookup_host((&**host, 0)).await;
        let found = found.map_err(|error| SendError::Resolve(host.clone(), Some(error)))?;
        let addresses = preferred(found.map(|address| address.ip()).collect());
        if addresses.is_empty() {
            return Err(SendError::Resolve(host.clone(), None));
        }
        let known = Rc::new(Known { addresses, next: Cell::new(0), until: Instant::now() + KEPT });
        let mut all = self.known.borrow_mut();
        if all.len() >= CAPACITY {
            all.clear();
        }
        all.insert(host.clone(), known.clone());
        Ok(known)
    }
}

/// IPv4 addresses where there are any: Kong asks for A records only.
fn preferred(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    if addresses.iter().any(IpAddr::is_ipv4) {
        addresses.retain(IpAddr::is_ipv4);
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_old_kind_are_preferred() {
        let addresses = ["::1", "127.0.0.2", "127.0.0.1", "127.0.0.1"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(preferred(addresses), ["127.0.0.1", "127.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap()));
        let only_new: Vec<IpAddr> = vec!["::1".parse().unwrap()];
        assert_eq!(preferred(only_new.clone()), only_new);
    }

    #[tokio::test]
    async fn the_local_host_is_known() {
        let names = Names::default();
        let address = names.resolve(&Arc::from("localhost"), 80).await.unwrap();
        assert!(address.ip().is_loopback());
        assert_eq!(address.port(), 80);
    }
}
