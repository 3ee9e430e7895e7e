//! The TLS that services, and the active checks of upstreams, speak with targets, made of their certificates and authorities. Settings that say the same
//! are one value, so that connections outlive changes that do not concern them.

use std::{collections::HashMap, sync::Arc};

use super::{
    Security,
    certificates::{Shelf, Texts, said},
    state::State,
};
use crate::{
    model,
    tls::{Depth, NodeClient, TargetTls, Trust},
};

/// Checks take every chain that leads to a root.
const UNBOUNDED: Depth = Depth(u8::MAX);

/// What settings are made of.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Spec {
    trust: Trust,
    client: Option<Texts>,
}

/// Settings that are in use.
#[derive(Default)]
pub(super) struct Secured {
    made: HashMap<Spec, TargetTls>,
    /// Shown where neither the service nor its upstream has a certificate.
    pub(super) node: NodeClient,
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What they are made of has keys in it.
        f.debug_struct("Secured").field("settings", &self.made.len()).finish_non_exhaustive()
    }
}

impl Secured {
    /// What a service speaks whose protocol wants TLS.
    pub(super) fn of(
        &mut self,
        (state, shelf): (&State, &Shelf),
        service: &model::Service,
        upstream: Option<&model::Upstream>,
    ) -> Security {
        let settings =
            trust(state, service).and_then(|trust| self.made_of(shelf, trust, certificate(service, upstream)));
        match settings {
            Ok(settings) => Security::Tls(settings),
            Err(reason) => Security::Unfit(reason),
        }
    }

    /// What the active checks of an upstream speak. No authority but the system's can be named for them, as in Kong.
    pub(super) fn of_checks(&mut self, shelf: &Shelf, upstream: &model::Upstream) -> Security {
        let checks = &upstream.healthchecks.active;
        if !is_checked_over_tls(upstream) {
            return Security::Clear;
        }
        let trust = if checks.https_verify_certificate { Trust::System(UNBOUNDED) } else { Trust::Anyone };
        match self.made_of(shelf, trust, checked_with(upstream)) {
            Ok(settings) => Security::Tls(settings),
            Err(reason) => Security::Unfit(reason),
        }
    }

    /// Forgets what nothing holds.
    pub(super) fn sweep(&mut self) {
        self.made.retain(|_, settings| settings.is_shared());
    }

    fn made_of(&mut self, shelf: &Shelf, trust: Trust, certificate: Option<&Arc<str>>) -> Result<TargetTls, String> {
        let client = certificate.map(|id| shelf.pair(id)).transpose()?;
        let (texts, pair) = client.unzip();
        let spec = Spec { trust, client: texts.cloned() };
        if let Some(known) = self.made.get(&spec) {
            return Ok(known.clone());
        }
        let made = TargetTls::new(&spec.trust, pair.cloned(), &self.node);
        let made = made.map_err(|error| format!("an authority of it cannot be used: {}", said(error)))?;
        self.made.insert(spec, made.clone());
        Ok(made)
    }
}

/// The client certificate that active checks show.
pub(super) fn checked_with(upstream: &model::Upstream) -> Option<&Arc<str>> {
    let own = upstream.client_certificate.as_ref().filter(|_| is_checked_over_tls(upstream));
    own.map(|reference| &reference.id)
}

fn is_checked_over_tls(upstream: &model::Upstream) -> bool {
    let checks = &upstream.healthchecks;
    checks.is_active() && matches!(&*checks.active.r#type, "https" | "grpcs")
}

/// The service's own, else that of its upstream.
pub(super) fn certificate<'a>(
    service: &'a model::Service,
    upstream: Option<&'a model::Upstream>,
) -> Option<&'a Arc<str>> {
    let of_upstream = || upstream.and_then(|upstream| upstream.client_certificate.as_ref());
    service.client_certificate.as_ref().or_else(of_upstream).map(|reference| &reference.id)
}

fn trust(state: &State, service: &model::Service) -> Result<Trust, String> {
    // Also those that nothing is verified by: a service that names what is not there is wrong.
    let named = service.ca_certificates.iter().flatten();
    let text = |id: &Arc<str>| {
        let authority = state.ca_certificates.get(id);
        authority.map(|authority| authority.cert.clone()).ok_or_else(|| format!("there is no authority {id}"))
    };
    let authorities = named.map(text).collect::<Result<Vec<_>, _>>()?;
    let depth = service.tls_verify_depth.map_or_else(Depth::default, Depth);
    Ok(match service.tls_verify {
        Some(false) | None => Trust::Anyone,
        Some(true) if authorities.is_empty() => Trust::System(depth),
        Some(true) => Trust::Only(authorities, depth),
    })
}
