//! `metrics`: counters and histograms of plugins, among the metrics of the process.

use std::sync::Arc;

use dashmap::DashMap;

use crate::{
    plugin::{
        bindings::sandgate::plugin::{metrics::Host, types::HostError},
        instance::HostState,
    },
    telemetry::{Counter, Histogram, MetricError, Metrics as Telemetry, metric},
};

const MOST_NAMES: usize = 100;

/// The metrics that plugins asked for so far: those of the process are behind one lock, which no request waits for twice.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Metrics {
    /// By plugin and name, as [`HostState::own_key`] joins them.
    known: DashMap<String, Metric>,
    names: DashMap<Arc<str>, usize>,
}

#[derive(Debug, Clone)]
enum Metric {
    Counter(Arc<Counter>),
    Histogram(Arc<Histogram>),
}

#[derive(Debug, Clone, Copy)]
enum Record {
    Add(u64),
    Observe(f64),
}

impl Record {
    fn on(self, metric: &Metric) -> Result<(), HostError> {
        match (metric, self) {
            (Metric::Counter(counter), Self::Add(amount)) => counter.add(amount),
            (Metric::Histogram(histogram), Self::Observe(value)) => histogram.observe(value),
            (Metric::Counter(_), Self::Observe(_)) => return Err(other_kind("a counter")),
            (Metric::Histogram(_), Self::Add(_)) => return Err(other_kind("a histogram")),
        }
        Ok(())
    }

    /// The metric it is for, made where there is none.
    fn find(self, telemetry: &Telemetry, plugin: &str, name: &str) -> Result<Metric, HostError> {
        let definition = metric::of_plugin(plugin, name);
        let found = match self {
            Self::Add(_) => telemetry.counter(&definition, &[]).map(Metric::Counter),
            Self::Observe(_) => telemetry.histogram(&definition, &[], metric::PLUGIN_BUCKETS).map(Metric::Histogram),
        };
        found.map_err(|error: MetricError| HostError::Invalid(error.to_string()))
    }
}

fn other_kind(kind: &str) -> HostError {
    HostError::Invalid(format!("the metric is {kind}"))
}

impl HostState {
    fn record(&self, name: &str, record: Record) -> Result<(), HostError> {
        self.permit("metrics")?;
        let key = self.own_key(name)?;
        let (services, plugin) = (self.services(), &self.deployment().name);
        let metrics = &services.metrics;
        if let Some(metric) = metrics.known.get(&key) {
            return record.on(&metric);
        }
        check_name(name)?;
        let mut names = metrics.names.entry(plugin.clone()).or_default();
        if *names >= MOST_NAMES {
            return Err(HostError::Failed(format!("more than {MOST_NAMES} metrics")));
        }
        let metric = record.find(&services.telemetry, plugin, name)?;
        record.on(&metric)?;
        if metrics.known.insert(key, metric).is_none() {
            *names += 1;
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), HostError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        return Err(HostError::Invalid("a metric name is made of letters, digits and '_'".into()));
    }
    Ok(())
}

impl Host for HostState {
    fn add(&mut self, name: String, amount: u64) -> Result<(), HostError> {
        self.record(&name, Record::Add(amount))
    }

    fn observe(&mut self, name: String, value: f64) -> Result<(), HostError> {
        if !value.is_finite() {
            return Err(HostError::Invalid("a value that is not finite".into()));
        }
        self.record(&name, Record::Observe(value))
    }
}
