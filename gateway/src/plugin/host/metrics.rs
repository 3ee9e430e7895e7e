//! `metrics`: counters and histograms of plugins.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use dashmap::DashMap;

use crate::plugin::{
    bindings::sandgate::plugin::{metrics::Host, types::HostError},
    instance::HostState,
};

const MOST_NAMES: usize = 100;
const BUCKETS: [f64; 15] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 30_000.0, 60_000.0];

/// Metrics by plugin and name.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Metrics {
    known: DashMap<String, Metric>,
    names: DashMap<String, usize>,
}

#[derive(Debug)]
enum Metric {
    Counter(AtomicU64),
    Histogram { buckets: [AtomicU64; BUCKETS.len()], count: AtomicU64, sum: AtomicU64 },
}

impl Metric {
    fn histogram() -> Self {
        Self::Histogram { buckets: Default::default(), count: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    fn record(&self, value: f64) {
        match self {
            Self::Counter(total) => drop(total.fetch_add(value as u64, Relaxed)),
            Self::Histogram { buckets, count, sum } => {
                if let Some(place) = BUCKETS.iter().position(|bound| value <= *bound) {
                    buckets[place].fetch_add(1, Relaxed);
                }
                count.fetch_add(1, Relaxed);
                let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
                let _ = sum.fetch_update(Relaxed, Relaxed, add);
            }
        }
    }
}

impl Metrics {
    fn record(&self, plugin: &str, name: &str, value: f64, make: fn() -> Metric) -> Result<(), HostError> {
        let full = full_name(plugin, name)?;
        if let Some(metric) = self.known.get(&full) {
            metric.record(value);
            return Ok(());
        }
        let mut names = self.names.entry(plugin.to_owned()).or_default();
        if *names >= MOST_NAMES {
            return Err(HostError::Failed(format!("more than {MOST_NAMES} metrics")));
        }
        *names += 1;
        drop(names);
        self.known.entry(full).or_insert_with(make).record(value);
        Ok(())
    }

    /// The Prometheus text format.
    pub(in crate::plugin) fn render(&self) -> String {
        let mut names: Vec<String> = self.known.iter().map(|entry| entry.key().clone()).collect();
        names.sort();
        let mut text = String::new();
        for name in names {
            if let Some(metric) = self.known.get(&name) {
                write_metric(&mut text, &name, &metric);
            }
        }
        text
    }
}

fn write_metric(text: &mut String, name: &str, metric: &Metric) {
    let written = match metric {
        Metric::Counter(total) => {
            writeln!(text, "# HELP {name} Counter of a plugin.\n# TYPE {name} counter\n{name} {}", total.load(Relaxed))
        }
        Metric::Histogram { buckets, count, sum } => {
            let _ = writeln!(text, "# HELP {name} Histogram of a plugin.\n# TYPE {name} histogram");
            let mut total = 0;
            for (bound, bucket) in BUCKETS.iter().zip(buckets) {
                total += bucket.load(Relaxed);
                let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {total}");
            }
            let (count, sum) = (count.load(Relaxed), f64::from_bits(sum.load(Relaxed)));
            writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}")
        }
    };
    written.expect("writing to a string does not fail");
}

fn full_name(plugin: &str, name: &str) -> Result<String, HostError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        return Err(HostError::Invalid("a metric name is made of letters, digits and '_'".into()));
    }
    Ok(format!("kong_plugin_{}_{name}", plugin.replace('-', "_")))
}

impl Host for HostState {
    fn add(&mut self, name: String, amount: u64) -> Result<(), HostError> {
        self.permit("metrics")?;
        let counter = || Metric::Counter(AtomicU64::new(0));
        self.services().metrics.record(&self.deployment().name, &name, amount as f64, counter)
    }

    fn observe(&mut self, name: String, value: f64) -> Result<(), HostError> {
        self.permit("metrics")?;
        if !value.is_finite() {
            return Err(HostError::Invalid("a value that is not finite".into()));
        }
        self.services().metrics.record(&self.deployment().name, &name, value, Metric::histogram)
    }
}
