//! Which plugins a route has, in which order, by Kong's precedence of scopes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::plugin::{Chain, Plugin, Reach, Slot};

/// A plugin entity that is ready, and where it applies.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: Arc<str>,
    pub(super) priority: i32,
    pub(super) route: Option<Arc<str>>,
    pub(super) service: Option<Arc<str>>,
    pub(super) consumer: Option<Arc<str>>,
    pub(super) plugin: Arc<Plugin>,
}

/// Order in which plugins run: higher priority first, then by name backwards, as Kong.
type Order = (Reverse<i32>, Reverse<Arc<str>>);

/// Plugins of one name, by consumer.
type OfConsumers = HashMap<Arc<str>, Arc<Plugin>>;

/// Rows by the id of the plugin entity.
type ById = BTreeMap<Arc<str>, Row>;

/// All rows, by where they apply.
#[derive(Debug, Default)]
pub(super) struct Rows {
    everywhere: ById,
    by_route: HashMap<Arc<str>, ById>,
    by_service: HashMap<Arc<str>, ById>,
    /// By plugin name: for a consumer and nothing else.
    by_consumer: HashMap<Arc<str>, (i32, Arc<OfConsumers>)>,
    /// The chains of routes that have no plugins of their own, by their service if that has any.
    shared: HashMap<Option<Arc<str>>, Arc<Chain>>,
}

/// Which chains are other than before.
#[derive(Debug, Default)]
pub(super) struct Affected {
    pub(super) all: bool,
    pub(super) routes: HashSet<Arc<str>>,
    pub(super) services: HashSet<Arc<str>>,
}

impl Rows {
    pub(super) fn insert(&mut self, row: Row, affected: &mut Affected) {
        self.affect(&row, affected);
        let id = row.plugin.id.clone();
        match (&row.route, &row.service, &row.consumer) {
            (Some(route), ..) => drop(self.by_route.entry(route.clone()).or_default().insert(id, row)),
            (None, Some(service), _) => drop(self.by_service.entry(service.clone()).or_default().insert(id, row)),
            (None, None, Some(consumer)) => {
                let named = self.by_consumer.entry(row.name.clone()).or_default();
                named.0 = row.priority;
                Arc::make_mut(&mut named.1).insert(consumer.clone(), row.plugin.clone());
            }
            (None, None, None) => drop(self.everywhere.insert(id, row)),
        }
    }

    /// Removes a row that was inserted.
    pub(super) fn remove(&mut self, row: &Row, affected: &mut Affected) {
        self.affect(row, affected);
        let id = &row.plugin.id;
        match (&row.route, &row.service, &row.consumer) {
            (Some(route), ..) => remove(&mut self.by_route, route, id),
            (None, Some(service), _) => remove(&mut self.by_service, service, id),
            (None, None, Some(consumer)) => {
                let Some((_, named)) = self.by_consumer.get_mut(&row.name) else { return };
                Arc::make_mut(named).remove(consumer);
                if named.is_empty() {
                    self.by_consumer.remove(&row.name);
                }
            }
            (None, None, None) => drop(self.everywhere.remove(id)),
        }
    }

    fn affect(&mut self, row: &Row, affected: &mut Affected) {
        match (&row.route, &row.service) {
            (Some(route), _) => drop(affected.routes.insert(route.clone())),
            (None, Some(service)) => {
                affected.services.insert(service.clone());
                self.shared.remove(&Some(service.clone()));
            }
            (None, None) => {
                affected.all = true;
                self.shared.clear();
            }
        }
    }

    /// The chain of requests that match no route.
    pub(super) fn global(&self) -> Chain {
        let mut rows: Vec<&Row> = self.everywhere.values().collect();
        rows.sort_by_key(|row| order(row));
        let slot = |row: &Row| Slot { broad: Some(row.plugin.clone()), ..Slot::default() };
        Chain::new(rows.into_iter().map(slot).collect())
    }

    /// The chain of a route.
    pub(super) fn of_route(&mut self, route: &str, service: Option<&Arc<str>>) -> Arc<Chain> {
        if self.by_route.contains_key(route) {
            return Arc::new(self.build(Some(route), service.map(|service| &**service)));
        }
        let service = service.filter(|service| self.by_service.contains_key(*service));
        if let Some(chain) = self.shared.get(&service.cloned()) {
            return chain.clone();
        }
        let chain = Arc::new(self.build(None, service.map(|service| &**service)));
        self.shared.insert(service.cloned(), chain.clone());
        chain
    }

    fn build(&self, route: Option<&str>, service: Option<&str>) -> Chain {
        let of_route = route.and_then(|route| self.by_route.get(route)).into_iter().flat_map(BTreeMap::values);
        let of_service =
            service.and_then(|service| self.by_service.get(service)).into_iter().flat_map(BTreeMap::values);
        let fits = |row: &&Row| row.service.is_none() || row.service.as_deref() == service;
        let relevant: Vec<&Row> = of_route.filter(fits).chain(of_service).chain(self.everywhere.values()).collect();
        let mut names: BTreeSet<Order> = relevant.iter().map(|row| order(row)).collect();
        names.extend(self.by_consumer.iter().map(|(name, (priority, _))| (Reverse(*priority), Reverse(name.clone()))));
        let slots = names.iter().map(|(_, Reverse(name))| self.slot(name, &relevant)).collect();
        Chain::new(slots)
    }

    fn slot(&self, name: &Arc<str>, relevant: &[&Row]) -> Slot {
        let mut slot = Slot { consumer: self.by_consumer.get(name).map(|(_, named)| named.clone()), ..Slot::default() };
        let mut own: Vec<&&Row> = relevant.iter().filter(|row| row.name == *name).collect();
        // The weakest first, so that the stronger take its place.
        own.sort_by_key(|row| rank(row));
        for row in own {
            match (&row.consumer, rank(row)) {
                (Some(consumer), _) => drop(slot.consumer_and_route.insert(consumer.clone(), row.plugin.clone())),
                (None, Rank::RouteAndService) => slot.route_and_service = Some(row.plugin.clone()),
                (None, rank) => {
                    slot.broad = Some(row.plugin.clone());
                    slot.reach = match rank {
                        Rank::Everywhere => Reach::Everywhere,
                        Rank::Service => Reach::Service,
                        Rank::Route | Rank::RouteAndService => Reach::Route,
                    };
                }
            }
        }
        slot
    }
}

fn remove(rows: &mut HashMap<Arc<str>, ById>, parent: &Arc<str>, id: &str) {
    let Some(of_parent) = rows.get_mut(parent) else { return };
    of_parent.remove(id);
    if of_parent.is_empty() {
        rows.remove(parent);
    }
}

fn order(row: &Row) -> Order {
    (Reverse(row.priority), Reverse(row.name.clone()))
}

/// Strength of a scope, weakest first; the consumer's part is kept apart by [`Slot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Everywhere,
    Service,
    Route,
    RouteAndService,
}

fn rank(row: &Row) -> Rank {
    match (&row.route, &row.service) {
        (Some(_), Some(_)) => Rank::RouteAndService,
        (Some(_), None) => Rank::Route,
        (None, Some(_)) => Rank::Service,
        (None, None) => Rank::Everywhere,
    }
}
