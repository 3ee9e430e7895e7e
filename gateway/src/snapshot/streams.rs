//! Routes of streams, ready to serve. They are few: when one changes, all are put in order anew.

use std::{collections::BTreeMap, sync::Arc};

use super::{StreamEntry, state::RouteShown};
use crate::{
    model::Endpoint,
    router::{Flavor, RankedExpression, Rejected, StreamAddress, StreamRouter, StreamRule},
};

/// Protocols of routes and services for streams.
const PROTOCOLS: [&str; 4] = ["tcp", "tls", "tls_passthrough", "udp"];

/// Routes of streams, kept from one snapshot to the next.
#[derive(Debug, Default)]
pub(super) struct Streams {
    known: BTreeMap<Arc<str>, (StreamRule, Arc<StreamEntry>)>,
    router: StreamRouter<Arc<StreamEntry>>,
    is_stale: bool,
}

impl Streams {
    /// A route as it is now; `None`: it is none, or not served.
    pub(super) fn put(&mut self, id: &Arc<str>, route: Option<(StreamRule, Arc<StreamEntry>)>) {
        self.is_stale |= match route {
            Some(route) => {
                self.known.insert(id.clone(), route);
                true
            }
            None => self.known.remove(id).is_some(),
        };
    }

    /// Puts them in order, if one changed. Those that cannot be served are left out and returned.
    pub(super) fn settle(&mut self) -> Vec<Rejected> {
        if !std::mem::take(&mut self.is_stale) {
            return Vec::new();
        }
        let (router, rejected) = StreamRouter::build(self.known.values().cloned().collect());
        self.router = router;
        rejected
    }

    pub(super) fn router(&self) -> StreamRouter<Arc<StreamEntry>> {
        self.router.clone()
    }
}

/// Whether this is a protocol of streams.
pub(super) fn is_of_streams(protocol: &str) -> bool {
    PROTOCOLS.contains(&protocol)
}

pub(super) fn rule(shown: &RouteShown, flavor: Flavor) -> StreamRule {
    let route = &shown.route;
    let expression = route.expression.as_ref().filter(|text| flavor == Flavor::Expressions && !text.is_empty());
    StreamRule {
        id: route.id.clone(),
        protocols: route.protocols.clone(),
        snis: route.snis.clone().unwrap_or_default(),
        sources: addresses(route.sources.as_deref()),
        destinations: addresses(route.destinations.as_deref()),
        expression: expression
            .map(|text| RankedExpression { text: text.clone(), priority: route.priority.unwrap_or(0) }),
    }
}

fn addresses(endpoints: Option<&[Endpoint]>) -> Vec<StreamAddress> {
    let address = |endpoint: &Endpoint| StreamAddress { ip: endpoint.ip.clone(), port: endpoint.port };
    endpoints.unwrap_or_default().iter().map(address).collect()
}
