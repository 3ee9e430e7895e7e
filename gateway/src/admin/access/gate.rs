//! The decision who asks.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::time::Instant;

use super::{
    Door, Identity,
    attempts::{Attempt, Attempts},
    secret::Bootstrap,
    shown,
    table::{Table, is_over},
};
use crate::{
    model::{AccessRows, Object},
    store::Version,
    telemetry::{Metrics, metric},
    tls::ClientIdentity,
};

/// The newest rows about access that this node has, with the version of the configuration that they are of.
pub type Newest = Arc<dyn Fn() -> (Version, Arc<AccessRows>) + Send + Sync>;

/// What the node's settings say about access.
#[derive(Default)]
pub struct AccessSettings {
    /// The token that needs no row.
    pub bootstrap: Option<Bootstrap>,
    /// Whether a CA vouches for client certificates.
    pub client_ca: bool,
    /// Role of certificates that no row names.
    pub client_role: Option<Arc<str>>,
    /// Origins of web interfaces; the first is named to all others.
    pub origins: Vec<String>,
}

/// Who may use the Admin API.
pub struct Access {
    pub(super) settings: AccessSettings,
    newest: Newest,
    /// The rows that `newest` gave last.
    seen: ArcSwap<(Version, Arc<AccessRows>)>,
    table: ArcSwap<Table>,
    /// Held while the table is replaced.
    replacing: Mutex<()>,
    /// Held from the beginning of a write to the rows until the table has it.
    pub(super) writing: tokio::sync::Mutex<()>,
    attempts: Attempts,
    metrics: Arc<Metrics>,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Neither a token nor a certificate.
    Missing,
    /// A token that is not known.
    Unknown,
    /// A token or certificate that was known until then.
    Expired,
    /// A certificate that nobody gave a role.
    Certificate,
    /// Too many attempts from this address.
    TooMany(Duration),
}

impl Denied {
    fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Certificate => "certificate",
            Self::TooMany(_) => "too_many",
        }
    }
}

impl Access {
    /// Knows what `newest` gives.
    pub fn new(settings: AccessSettings, newest: Newest, metrics: Arc<Metrics>) -> Self {
        let (version, rows) = newest();
        Self {
            settings,
            newest,
            seen: ArcSwap::from_pointee((version, rows.clone())),
            table: ArcSwap::from_pointee(Table::new(version, rows)),
            replacing: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            attempts: Attempts::default(),
            metrics,
        }
    }

    /// Whether anybody could show who they are: by a token, or a certificate.
    pub fn is_configured(&self) -> bool {
        self.settings.bootstrap.is_some() || self.settings.client_ca || !self.table().rows.is_empty()
    }

    /// Whether whoever reaches this door may do everything.
    pub(crate) fn is_open(&self, door: &Door) -> bool {
        !door.public && !self.is_configured()
    }

    /// Who asks. What is denied is counted, and said in the log as often as is good for the log.
    pub(in crate::admin) fn identify(&self, door: &Door, headers: &HeaderMap) -> Result<Identity, Denied> {
        if self.is_open(door) {
            return Ok(Identity::Anyone);
        }
        let found = match shown(headers) {
            Err(()) => Err(Denied::Unknown),
            Ok(Some(token)) => self.by_token(token),
            Ok(None) => match &door.certificate {
                Some(certificate) => self.by_certificate(certificate),
                None => Err(Denied::Missing),
            },
        };
        found.map_err(|denied| self.denied(denied, door.peer.ip()))
    }

    fn by_token(&self, token: &str) -> Result<Identity, Denied> {
        let table = self.table();
        let known = |name: String, roles: &[Arc<str>]| Identity::Known {
            name: name.into(),
            roles: table.roles(roles),
            ambient: false,
        };
        if self.settings.bootstrap.as_ref().is_some_and(|bootstrap| bootstrap.matches(token)) {
            return Ok(known("bootstrap".to_owned(), &["admin".into()]));
        }
        let stored = table.token(token).ok_or(Denied::Unknown)?;
        if is_over(stored.expires_at) {
            return Err(Denied::Expired);
        }
        Ok(known(format!("token:{}", stored.name), &stored.roles))
    }

    fn by_certificate(&self, shown: &ClientIdentity) -> Result<Identity, Denied> {
        // It was valid when the connection was made, which may be long ago.
        if is_over(Some(shown.not_after)) {
            return Err(Denied::Expired);
        }
        let table = self.table();
        let known: Vec<_> = table.certificates(shown).filter(|known| !is_over(known.expires_at)).collect();
        let (name, roles) = match (known.first(), &self.settings.client_role) {
            (Some(first), _) => {
                let names: Vec<_> = known.iter().flat_map(|known| known.roles.iter().cloned()).collect();
                (format!("certificate:{}", first.name), names)
            }
            (None, Some(role)) => (format!("certificate:{}", shown.subject), vec![role.clone()]),
            (None, None) => return Err(Denied::Certificate),
        };
        Ok(Identity::Known { name: name.into(), roles: table.roles(&roles), ambient: true })
    }

    fn denied(&self, denied: Denied, client: IpAddr) -> Denied {
        self.count(denied.reason());
        match self.attempts.count(client, Instant::now()) {
            Attempt::Noted => {
                tracing::warn!(%client, reason = denied.reason(), "an attempt to use the Admin API was denied");
                denied
            }
            Attempt::TooMany(wait) => Denied::TooMany(wait),
        }
    }

    /// Counts a request of somebody who is known and may not do this. Answers whether to speak of it.
    pub(in crate::admin) fn forbidden(&self, client: IpAddr) -> bool {
        self.count("forbidden");
        self.attempts.count(client, Instant::now()) == Attempt::Noted
    }

    fn count(&self, reason: &str) {
        if let Ok(counter) = self.metrics.counter(&metric::ADMIN_DENIED, &[("reason", reason)]) {
            counter.add(1);
        }
    }

    /// The newest state of the rows.
    pub(super) fn table(&self) -> Arc<Table> {
        let (version, rows) = (self.newest)();
        if !Arc::ptr_eq(&self.seen.load().1, &rows) {
            let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = self.seen.swap(Arc::new((version, rows.clone())));
            // Older rows than those of a write through this node are on their way out, unless the whole configuration
            // went back: then somebody put another database in place.
            if version >= self.table.load().version || version < seen.0 {
                self.table.store(Arc::new(Table::new(version, rows)));
            }
        }
        self.table.load_full()
    }

    /// A write through this node changed a row.
    pub(super) fn changed(&self, version: Version, collection: &str, id: &str, entity: Option<&Object>) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.table.load_full();
        let mut rows = AccessRows::clone(&table.rows);
        rows.put(collection, id.into(), entity.cloned());
        self.table.store(Arc::new(Table::new(version.max(table.version), Arc::new(rows))));
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Access").finish_non_exhaustive()
    }
}
