//! Which plugins a route has, in which order, by Kong's precedence of scopes.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::plugin::{Chain, Plugin, Slot};

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

/// All rows, by where they apply.
#[derive(Debug, Default)]
pub(super) struct Rows {
    everywhere: Vec<Row>,
    by_route: HashMap<Arc<str>, Vec<Row>>,
    by_service: HashMap<Arc<str>, Vec<Row>>,
    /// By plugin name: for a consumer and nothing else.
    by_consumer: HashMap<Arc<str>, (i32, Arc<OfConsumers>)>,
}

impl Rows {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        let mut sorted = Self::default();
        let mut people: HashMap<Arc<str>, (i32, OfConsumers)> = HashMap::new();
        for row in rows {
            match (&row.route, &row.service, &row.consumer) {
                (Some(route), ..) => sorted.by_route.entry(route.clone()).or_default().push(row),
                (None, Some(service), _) => sorted.by_service.entry(service.clone()).or_default().push(row),
                (None, None, Some(consumer)) => {
                    let named = people.entry(row.name.clone()).or_insert_with(|| (row.priority, HashMap::new()));
                    named.1.insert(consumer.clone(), row.plugin.clone());
                }
                (None, None, None) => sorted.everywhere.push(row),
            }
        }
        let shared = people.into_iter().map(|(name, (priority, named))| (name, (priority, Arc::new(named))));
        sorted.by_consumer = shared.collect();
        sorted
    }

    /// The chain of requests that match no route.
    pub(super) fn global(&self) -> Chain {
        let mut rows: Vec<&Row> = self.everywhere.iter().collect();
        rows.sort_by_key(|row| order(row));
        let slot = |row: &Row| Slot { broad: Some(row.plugin.clone()), ..Slot::default() };
        Chain::new(rows.into_iter().map(slot).collect())
    }

    /// The chain of a route.
    pub(super) fn of_route(&self, route: &str, service: Option<&str>) -> Chain {
        let of_route = self.by_route.get(route).map_or(&[][..], Vec::as_slice);
        let of_service = service.and_then(|service| self.by_service.get(service)).map_or(&[][..], Vec::as_slice);
        let fits = |row: &&Row| row.service.is_none() || row.service.as_deref() == service;
        let relevant: Vec<&Row> = of_route.iter().filter(fits).chain(of_service).chain(&self.everywhere).collect();
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
                (None, _) => slot.broad = Some(row.plugin.clone()),
            }
        }
        slot
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
