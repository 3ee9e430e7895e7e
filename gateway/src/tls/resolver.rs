//! Which certificate answers a server name.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::sync::Notify;

use super::{DefaultCertificate, Pair, Shown};

/// Certificates by the names of `snis`: exact ones, `*.x` for one label in front, `x.*` for one at the end, and `*`.
#[derive(Debug, Default)]
pub struct Certificates {
    by_name: HashMap<String, Pair>,
}

impl Certificates {
    /// Adds a certificate for a name as the `snis` entity has it.
    pub fn add(&mut self, name: &str, certificate: impl Into<Pair>) {
        self.by_name.insert(name.to_ascii_lowercase(), certificate.into());
    }

    fn find(&self, asked: &str) -> Option<&Pair> {
        if self.by_name.is_empty() {
            return None;
        }
        let asked = asked.to_ascii_lowercase();
        let exact = self.by_name.get(&asked);
        let by_suffix = || self.by_name.get(&format!("*.{}", after_first_label(&asked)?));
        let by_prefix = || self.by_name.get(&format!("{}.*", asked.rsplit_once('.')?.0));
        exact.or_else(by_suffix).or_else(by_prefix).or_else(|| self.by_name.get("*"))
    }
}

/// What follows the first label, if at least two labels remain.
fn after_first_label(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, rest)| rest).filter(|rest| rest.contains('.'))
}

/// Answers each handshake from the certificates that are current; without a match from the default one, so that no
/// handshake fails for lack of a name.
#[derive(Debug)]
pub struct Resolver {
    current: ArcSwap<Certificates>,
    default: ArcSwap<Pair>,
    changed: Notify,
}

impl Resolver {
    /// A resolver that only has the default certificate.
    pub fn new(default: &DefaultCertificate) -> Self {
        let default = ArcSwap::from_pointee(default.pair());
        Self { current: ArcSwap::default(), default, changed: Notify::new() }
    }

    /// Puts another default certificate in place for handshakes from now on.
    pub fn replace_default(&self, default: &DefaultCertificate) {
        self.default.store(Arc::new(default.pair()));
        self.changed.notify_one();
    }

    /// Puts other certificates in place for handshakes from now on.
    pub fn replace(&self, certificates: Certificates) {
        self.current.store(Arc::new(certificates));
        self.changed.notify_one();
    }

    /// Waits until the certificates are others than at the last call, which one may do.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Every certificate that a handshake may get.
    pub fn shown(&self) -> Vec<Arc<Shown>> {
        let (current, default) = (self.current.load(), self.default.load());
        current.by_name.values().chain([&**default]).flat_map(Pair::shown).cloned().collect()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load();
        let schemes = hello.signature_schemes();
        match hello.server_name().and_then(|name| current.find(name)) {
            Some(pair) => Some(pair.choose(schemes)),
            None => Some(self.default.load().choose(schemes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_exactly_then_by_suffix_then_by_prefix_then_star() {
        let mut certificates = Certificates::default();
        let keys: HashMap<&str, Arc<CertifiedKey>> = ["a.b.c", "*.b.c", "a.b.*", "*"]
            .into_iter()
            .map(|name| (name, DefaultCertificate::generate().unwrap().pair().choose(&[])))
            .collect();
        keys.iter().for_each(|(name, key)| certificates.add(name, key.clone()));
        let cases = [
            ("a.b.c", "a.b.c"),
            ("A.B.C", "a.b.c"),
            ("x.b.c", "*.b.c"),
            ("x.y.b.c", "*"),
            ("a.b.d", "a.b.*"),
            ("b.c", "*"),
            ("localhost", "*"),
        ];
        for (asked, expected) in cases {
            let found = certificates.find(asked).unwrap();
            assert!(Arc::ptr_eq(&found.choose(&[]), &keys[expected]), "{asked}");
        }
    }
}
