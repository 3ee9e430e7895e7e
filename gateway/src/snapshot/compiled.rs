//! What was made of the configuration, kept from one snapshot to the next: a change costs as much as it concerns.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Quarantined, RouteEntry, Security, ServiceEntry, StreamEntry, UpstreamEntry, Upstreams,
    certificates::Shelf,
    chains::{Affected, Rows},
    entries, people,
    secured::{self, Secured},
    state::{RouteShown, State, Touched},
    streams::{self, Streams},
};
use crate::{
    dns::Dns,
    model::{self, Registry},
    plugin::{Directory, RouteFacts},
    router::{Flavor, PathHandling, RankedExpression, Rule, StreamAddress, StreamRule, Table},
};

/// Upstreams, services, routes and people, ready to serve.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    /// Set before each change.
    pub(super) flavor: Flavor,
    /// Knows what names mean.
    pub(super) dns: Arc<Dns>,
    pub(super) upstreams: Arc<Upstreams>,
    /// Under which name each of them stands there, by id.
    upstream_names: HashMap<Arc<str>, Arc<str>>,
    services: HashMap<Arc<str>, Arc<ServiceEntry>>,
    pub(super) secured: Secured,
    pub(super) table: Table<Arc<RouteEntry>>,
    pub(super) streams: Streams,
    pub(super) directory: Arc<Directory>,
    /// What the directory was made by.
    registry: Arc<Registry>,
    refused: BTreeMap<(&'static str, Arc<str>), String>,
}

impl Compiled {
    /// Brings everything up to date with the configuration.
    pub(super) fn change(
        &mut self,
        (state, shelf): (&State, &Shelf),
        rows: &mut Rows,
        (touched, affected): (&Touched, &Affected),
        registry: &Arc<Registry>,
    ) {
        self.people(state, touched, registry);
        if touched.everything {
            // The balancers stay, to go on where they were.
            *self = Self {
                flavor: self.flavor,
                dns: self.dns.clone(),
                upstreams: std::mem::take(&mut self.upstreams),
                upstream_names: std::mem::take(&mut self.upstream_names),
                secured: std::mem::take(&mut self.secured),
                directory: self.directory.clone(),
                registry: registry.clone(),
                ..Self::default()
            };
        }
        let names = self.upstreams((state, shelf), touched);
        let services = self.services((state, shelf), touched, &names);
        if !(names.is_empty() && services.is_empty()) {
            self.secured.sweep();
        }
        let routes = routes(state, touched, affected, &services);
        self.routes(state, rows, routes);
    }

    /// Services and routes that are not served, for operators.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = Quarantined> {
        let shown = |((collection, id), reason): (&(&'static str, Arc<str>), &String)| Quarantined {
            collection,
            id: id.clone(),
            reason: reason.clone(),
        };
        self.refused.iter().map(shown)
    }

    fn people(&mut self, state: &State, touched: &Touched, registry: &Arc<Registry>) {
        if touched.everything || !Arc::ptr_eq(&self.registry, registry) {
            self.directory = Arc::new(people::directory(state, registry));
            self.registry = registry.clone();
        } else if !touched.consumers.is_empty() || !touched.credentials.is_empty() {
            people::change(Arc::make_mut(&mut self.directory), touched, registry);
        }
    }

    /// The names that lead to other upstreams than before.
    fn upstreams(&mut self, (state, shelf): (&State, &Shelf), touched: &Touched) -> HashSet<Arc<str>> {
        let ids = self.other_upstreams(state, shelf, touched);
        if ids.is_empty() {
            return HashSet::new();
        }
        let upstreams = Arc::make_mut(&mut self.upstreams);
        let mut before: HashMap<Arc<str>, Arc<UpstreamEntry>> = HashMap::new();
        for name in ids.iter().filter_map(|id| self.upstream_names.remove(id)) {
            before.extend(upstreams.get(&name).cloned().map(|entry| (name.clone(), entry)));
            upstreams.remove_mut(&name);
        }
        let mut names: HashSet<_> = before.keys().cloned().collect();
        for upstream in ids.iter().filter_map(|id| state.upstreams.get(id)) {
            let own =
                state.members.targets.of(&upstream.id).filter_map(|id| state.targets.get(id)).map(|target| &**target);
            let known = before.get(&upstream.name).map(|entry| &**entry);
            let checked_over = self.secured.of_checks(shelf, upstream);
            let own = own.collect::<Vec<_>>();
            let entry = entries::upstream(upstream, &own, known, (&self.dns, checked_over));
            names.insert(upstream.name.clone());
            self.upstream_names.insert(upstream.id.clone(), upstream.name.clone());
            upstreams.insert_mut(upstream.name.clone(), Arc::new(entry));
        }
        names
    }

    /// By id, each once.
    fn other_upstreams(&self, state: &State, shelf: &Shelf, touched: &Touched) -> BTreeSet<Arc<str>> {
        if touched.everything {
            return self.upstream_names.keys().chain(state.upstreams.keys()).cloned().collect();
        }
        let mut ids: BTreeSet<Arc<str>> = touched.upstreams.iter().cloned().collect();
        if !shelf.changed.is_empty() {
            let is_other = |upstream: &model::Upstream| {
                secured::checked_with(upstream).is_some_and(|id| shelf.changed.contains(id))
            };
            let others = state.upstreams.iter().filter(|(_, upstream)| is_other(upstream));
            ids.extend(others.map(|(id, _)| id.clone()));
        }
        ids
    }

    /// The services that are other than before. `names` are of upstreams.
    fn services(
        &mut self,
        (state, shelf): (&State, &Shelf),
        touched: &Touched,
        names: &HashSet<Arc<str>>,
    ) -> HashSet<Arc<str>> {
        let ids = self.other_services(state, shelf, touched, names);
        for id in &ids {
            self.services.remove(id);
            self.refused.remove(&("services", id.clone()));
            let Some(shown) = state.services.get(id) else { continue };
            let secure = |service: &_, upstream: Option<&_>| self.secured.of((state, shelf), service, upstream);
            match entries::service(shown, (&self.upstreams, &self.dns), secure) {
                Ok(entry) => {
                    if let Security::Unfit(reason) = &entry.tls {
                        self.refused.insert(("services", id.clone()), reason.clone());
                    }
                    self.services.insert(id.clone(), Arc::new(entry));
                }
                Err(refused) => drop(self.refused.insert((refused.collection, refused.id), refused.reason)),
            }
        }
        ids
    }

    fn other_services(
        &self,
        state: &State,
        shelf: &Shelf,
        touched: &Touched,
        names: &HashSet<Arc<str>>,
    ) -> HashSet<Arc<str>> {
        let mut ids: HashSet<Arc<str>> = touched.services.iter().cloned().collect();
        if touched.everything {
            ids.extend(state.services.keys().cloned());
            return ids;
        }
        ids.extend(names.iter().flat_map(|name| state.members.services.of(name)).cloned());
        if !(shelf.changed.is_empty() && touched.authorities.is_empty()) {
            let is_other = |service: &model::Service| {
                let upstream = self.upstreams.get(&service.host).map(|entry| &entry.upstream);
                let certificate = secured::certificate(service, upstream);
                certificate.is_some_and(|id| shelf.changed.contains(id))
                    || service.ca_certificates.iter().flatten().any(|id| touched.authorities.contains(id))
            };
            let others = state.services.iter().filter(|(_, shown)| is_other(&shown.entity));
            ids.extend(others.map(|(id, _)| id.clone()));
        }
        ids
    }

    fn routes(&mut self, state: &State, rows: &mut Rows, ids: BTreeSet<Arc<str>>) {
        let mut changes = Vec::with_capacity(ids.len());
        for id in ids {
            self.refused.remove(&("routes", id.clone()));
            let shown = state.routes.get(&id);
            let leads = shown.and_then(|shown| Some((shown, self.leads(&shown.route)?)));
            let (of_streams, other) = match leads {
                Some((shown, service)) if is_of_streams(&shown.route) => {
                    (Some(stream(shown, service, self.flavor)), None)
                }
                Some((shown, service)) => (None, Some(self.route(shown, service, rows))),
                None => (None, None),
            };
            self.streams.put(&id, of_streams);
            changes.push((id, other));
        }
        for rejected in self.table.change(changes).into_iter().chain(self.streams.settle()) {
            self.refused.insert(("routes", rejected.id), rejected.reason.to_string());
        }
    }

    /// The service of a route, if it has one; nothing for a route whose service does not serve it.
    fn leads(&mut self, route: &model::Route) -> Option<Option<Arc<ServiceEntry>>> {
        let Some(reference) = &route.service else { return Some(None) };
        let service = self.services.get(&reference.id).filter(|entry| entry.service.enabled)?;
        if service.is_of_streams() == is_of_streams(route) {
            return Some(Some(service.clone()));
        }
        let reason = format!("its service speaks {}, and its protocols do not", service.service.protocol);
        self.refused.insert(("routes", route.id.clone()), reason);
        None
    }

    fn route(
        &self,
        shown: &RouteShown,
        service: Option<Arc<ServiceEntry>>,
        rows: &mut Rows,
    ) -> (Rule, Arc<RouteEntry>) {
        (rule(shown, self.flavor), Arc::new(route_entry(shown, service, rows, self.flavor)))
    }
}

fn is_of_streams(route: &model::Route) -> bool {
    route.protocols.first().is_some_and(|protocol| streams::is_of_streams(protocol))
}

fn stream(shown: &RouteShown, service: Option<Arc<ServiceEntry>>, flavor: Flavor) -> (StreamRule, Arc<StreamEntry>) {
    let entry = StreamEntry { route: shown.route.clone(), service };
    (streams::rule(shown, flavor), Arc::new(entry))
}

/// The routes that are other than before.
fn routes(state: &State, touched: &Touched, affected: &Affected, services: &HashSet<Arc<str>>) -> BTreeSet<Arc<str>> {
    let mut ids = touched.routes.clone();
    if touched.everything || affected.all {
        ids.extend(state.routes.keys().cloned());
        return ids;
    }
    ids.extend(affected.routes.iter().cloned());
    let services = services.iter().chain(&affected.services);
    ids.extend(services.flat_map(|service| state.members.routes.of(service)).cloned());
    ids
}

fn rule(shown: &RouteShown, flavor: Flavor) -> Rule {
    let route = &shown.route;
    let expression = route.expression.as_ref().filter(|text| flavor == Flavor::Expressions && !text.is_empty());
    let addresses = |list: &Option<Vec<model::Endpoint>>| match (flavor, list) {
        (Flavor::Expressions, Some(list)) => {
            list.iter().map(|entry| StreamAddress { ip: entry.ip.clone(), port: entry.port }).collect()
        }
        _ => Vec::new(),
    };
    Rule {
        id: route.id.clone(),
        protocols: route.protocols.clone(),
        methods: route.methods.clone().unwrap_or_default(),
        hosts: route.hosts.clone(),
        paths: route.paths.clone().unwrap_or_default(),
        headers: route.headers.clone().unwrap_or_default(),
        snis: route.snis.clone().unwrap_or_default(),
        sources: addresses(&route.sources),
        destinations: addresses(&route.destinations),
        regex_priority: route.regex_priority.unwrap_or(0),
        created_at: if flavor == Flavor::Traditional { route.created_at as u64 } else { 0 },
        expression: expression
            .map(|text| RankedExpression { text: text.clone(), priority: route.priority.unwrap_or(0) }),
    }
}

fn route_entry(shown: &RouteShown, service: Option<Arc<ServiceEntry>>, rows: &mut Rows, flavor: Flavor) -> RouteEntry {
    let route = &shown.route;
    let of_service = service.as_ref().map(|entry| &entry.service);
    let facts = RouteFacts {
        route_id: Some(route.id.clone()),
        route_name: route.name.clone(),
        service_id: of_service.map(|service| service.id.clone()),
        service_name: of_service.and_then(|service| service.name.clone()),
        route_json: Some(shown.json.clone()),
        service_json: service.as_ref().map(|entry| entry.json.clone()),
    };
    let chain = rows.of_route(&route.id, of_service.map(|service| &service.id));
    let path_handling = match route.path_handling.as_deref() {
        Some("v1") if flavor == Flavor::Traditional => PathHandling::V1,
        _ => PathHandling::V0,
    };
    RouteEntry { route: route.clone(), facts: Arc::new(facts), service, chain, path_handling }
}
