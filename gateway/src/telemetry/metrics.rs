//! Every metric of this process by name, and their text for Prometheus (exposition format 0.0.4).

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Counter, Gauge, Histogram};

/// Name and explanation of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    name: Cow<'static, str>,
    help: Cow<'static, str>,
}

impl Definition {
    /// `name` of ASCII letters, digits, `_` and `:`, not beginning with a digit.
    pub const fn of(name: &'static str, help: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), help: Cow::Borrowed(help) }
    }

    /// As [`Definition::of`], made at run time.
    pub fn made(name: String, help: String) -> Self {
        Self { name: name.into(), help: help.into() }
    }

    /// The name as it is exported.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why there is no such metric.
#[derive(Debug, thiserror::Error)]
pub enum MetricError {
    /// The name belongs to a metric of another kind.
    #[error("the metric {0} exists as a {1}")]
    Kind(String, &'static str),
}

/// Traffic of the listeners, as they counted it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections handed on to be served.
    pub handled: u64,
    /// Connections open now.
    pub active: u64,
    /// Requests.
    pub requests: u64,
    /// Connections that were ended for crossing a limit, by the limit.
    pub refused: Vec<(&'static str, u64)>,
    /// TLS handshakes by version and whether the session is that of an earlier connection.
    pub handshakes: Vec<(&'static str, bool, u64)>,
    /// Handshakes whose client named no server.
    pub nameless: u64,
    /// Handshakes that failed, by the reason.
    pub handshake_failures: Vec<(&'static str, u64)>,
    /// Requests that were refused for breaking a rule or crossing a limit, by the reason.
    pub refused_requests: Vec<(&'static str, u64)>,
}

/// Every metric of this process. Asking for one takes a lock, so whoever changes it often keeps the answer.
#[derive(Debug, Default)]
pub struct Metrics {
    families: RwLock<BTreeMap<Cow<'static, str>, Family>>,
}

/// All metrics of one name, by their labels as text.
#[derive(Debug)]
struct Family {
    help: Cow<'static, str>,
    kind: &'static str,
    series: BTreeMap<String, Series>,
}

#[derive(Debug, Clone)]
enum Series {
    Counter(Arc<Counter>),
    Gauge(Arc<Gauge>),
    Histogram(Arc<Histogram>),
}

/// Names and values of labels.
type Labels<'a> = [(&'a str, &'a str)];

impl Metrics {
    /// Without any metric.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter with these labels, made on first use.
    pub fn counter(&self, definition: &Definition, labels: &Labels<'_>) -> Result<Arc<Counter>, MetricError> {
        match self.series(definition, labels, || Series::Counter(Arc::default())) {
            Series::Counter(counter) => Ok(counter),
            other => Err(other.mismatch(definition)),
        }
    }

    /// The gauge with these labels, made on first use.
    pub fn gauge(&self, definition: &Definition, labels: &Labels<'_>) -> Result<Arc<Gauge>, MetricError> {
        match self.series(definition, labels, || Series::Gauge(Arc::default())) {
            Series::Gauge(gauge) => Ok(gauge),
            other => Err(other.mismatch(definition)),
        }
    }

    /// The histogram with these labels, made with `bounds` on first use.
    pub fn histogram(
        &self,
        definition: &Definition,
        labels: &Labels<'_>,
        bounds: &[f64],
    ) -> Result<Arc<Histogram>, MetricError> {
        match self.series(definition, labels, || Series::Histogram(Arc::new(Histogram::new(bounds)))) {
            Series::Histogram(histogram) => Ok(histogram),
            other => Err(other.mismatch(definition)),
        }
    }

    /// The series, or one of another kind when the name is taken.
    fn series(&self, definition: &Definition, labels: &Labels<'_>, make: impl FnOnce() -> Series) -> Series {
        let labels = text_of(labels);
        {
            let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
            let family = families.get(&definition.name);
            if let Some(series) = family.and_then(|family| family.series.get(&labels)) {
                return series.clone();
            }
        }
        let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
        let made = make();
        let family = families.entry(definition.name.clone()).or_insert_with(|| Family {
            help: definition.help.clone(),
            kind: made.kind(),
            series: BTreeMap::new(),
        });
        match family.series.values().next() {
            Some(other) if family.kind != made.kind() => other.clone(),
            _ => family.series.entry(labels).or_insert(made).clone(),
        }
    }

    /// All metrics as text; `node` is the id of this node.
    pub fn render(&self, node: &str, traffic: Traffic) -> String {
        let mut text = String::with_capacity(4096);
        render_traffic(&mut text, node, traffic);
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        for (name, family) in &*families {
            head(&mut text, name, &family.help, family.kind);
            for (labels, series) in &family.series {
                series.render(&mut text, name, labels);
            }
        }
        text
    }
}

/// Under the names that Kong has for them.
fn render_traffic(text: &mut String, node: &str, traffic: Traffic) {
    let states = [
        ("accepted", traffic.accepted),
        ("active", traffic.active),
        ("handled", traffic.handled),
        ("total", traffic.requests),
    ];
    let name = "kong_nginx_connections_total";
    head(text, name, "Connections of clients by state", "gauge");
    for (state, number) in states {
        line(text, name, &text_of(&[("node_id", node), ("subsystem", "http"), ("state", state)]), number);
    }
    let name = "kong_nginx_requests_total";
    head(text, name, "Requests of clients", "gauge");
    line(text, name, &text_of(&[("node_id", node), ("subsystem", "http")]), traffic.requests);
    let refused = [
        (
            "sandgate_connections_refused_total",
            "Connections ended because the client broke a rule or crossed a limit",
            traffic.refused,
        ),
        (
            "sandgate_requests_refused_total",
            "Requests refused because the client broke a rule or crossed a limit",
            traffic.refused_requests,
        ),
    ];
    for (name, help, reasons) in refused {
        head(text, name, help, "counter");
        for (reason, number) in reasons {
            line(text, name, &text_of(&[("reason", reason)]), number);
        }
    }
    let name = "sandgate_tls_handshakes_total";
    head(text, name, "TLS handshakes of clients", "counter");
    for (version, resumed, number) in traffic.handshakes {
        let resumed = if resumed { "true" } else { "false" };
        line(text, name, &text_of(&[("version", version), ("resumed", resumed)]), number);
    }
    let name = "sandgate_tls_nameless_handshakes_total";
    head(text, name, "TLS handshakes of clients that named no server, or an address", "counter");
    line(text, name, "", traffic.nameless);
    let name = "sandgate_tls_handshake_failures_total";
    head(text, name, "TLS handshakes of clients that failed", "counter");
    for (reason, number) in traffic.handshake_failures {
        line(text, name, &text_of(&[("reason", reason)]), number);
    }
}

impl Series {
    fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    fn mismatch(&self, definition: &Definition) -> MetricError {
        MetricError::Kind(definition.name.to_string(), self.kind())
    }

    fn render(&self, text: &mut String, name: &str, labels: &str) {
        match self {
            Self::Counter(counter) => line(text, name, labels, counter.get()),
            Self::Gauge(gauge) => line(text, name, labels, gauge.get()),
            Self::Histogram(histogram) => render_histogram(text, name, labels, histogram),
        }
    }
}

fn render_histogram(text: &mut String, name: &str, labels: &str, histogram: &Histogram) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut all = 0;
    for (bound, count) in histogram.cumulative() {
        let bound = if bound.is_infinite() { "+Inf".to_owned() } else { bound.to_string() };
        line(text, &format!("{name}_bucket"), &format!("{labels}{comma}le=\"{bound}\""), count);
        all = count;
    }
    line(text, &format!("{name}_count"), labels, all);
    line(text, &format!("{name}_sum"), labels, histogram.sum());
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

/// Labels as they stand between the braces.
fn text_of(labels: &Labels<'_>) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let parts = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value)));
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metric;

    #[test]
    fn metrics_are_rendered_for_prometheus() {
        let metrics = Metrics::new();
        let traps = metrics.counter(&metric::PLUGIN_TRAPS, &[("plugin", "odd \"\\\n")]).unwrap();
        traps.add(3);
        metrics.gauge(&metric::SNAPSHOT_VERSION, &[]).unwrap().set(12.0);
        let own = metric::of_plugin("my-plugin", "size");
        metrics.histogram(&own, &[], &[1.0, 2.5]).unwrap().observe(2.0);
        let text = metrics.render("n", Traffic { requests: 7, ..Traffic::default() });
        for expected in [
            "kong_nginx_connections_total{node_id=\"n\",subsystem=\"http\",state=\"active\"} 0\n",
            "kong_nginx_requests_total{node_id=\"n\",subsystem=\"http\"} 7\n",
            "# TYPE sandgate_plugin_traps_total counter\n",
            "sandgate_plugin_traps_total{plugin=\"odd \\\"\\\\\\n\"} 3\n",
            "sandgate_snapshot_version 12\n",
            "# TYPE kong_plugin_my_plugin_size histogram\n\
             kong_plugin_my_plugin_size_bucket{le=\"1\"} 0\n\
             kong_plugin_my_plugin_size_bucket{le=\"2.5\"} 1\n\
             kong_plugin_my_plugin_size_bucket{le=\"+Inf\"} 1\n\
             kong_plugin_my_plugin_size_count 1\n\
             kong_plugin_my_plugin_size_sum 2\n",
        ] {
            assert!(text.contains(expected), "{expected}\nis not in\n{text}");
        }
    }

    #[test]
    fn equal_labels_are_one_metric() {
        let metrics = Metrics::new();
        let count = |plugin: &str| metrics.counter(&metric::PLUGIN_TRAPS, &[("plugin", plugin)]).unwrap();
        count("a").add(1);
        count("a").add(1);
        count("b").add(1);
        assert_eq!((count("a").get(), count("b").get()), (2, 1));
    }

    #[test]
    fn a_name_is_of_one_kind() {
        let metrics = Metrics::new();
        let name = metric::of_plugin("p", "n");
        metrics.counter(&name, &[]).unwrap();
        assert!(metrics.gauge(&name, &[]).is_err());
        let error = metrics.histogram(&name, &[("label", "another")], &[]).unwrap_err();
        assert_eq!(error.to_string(), "the metric kong_plugin_p_n exists as a counter");
    }
}
