//! Samples → rows → docs/performance.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::load::Sample;
use super::sandgate::Times;
use crate::shell;

/// Where the table beside nginx begins on the page.
pub const BESIDE_NGINX: &str = "<!-- begin: written by cargo xtask bench -->";
/// Where the table of large configurations begins.
pub const SCALE: &str = "<!-- begin: written by cargo xtask bench --only scale -->";
const END: &str = "<!-- end -->";

/// What was measured, by the name of the side. A side has one sample a round.
#[derive(Default)]
pub struct Results {
    pub samples: BTreeMap<&'static str, Vec<Sample>>,
    pub instructions: BTreeMap<&'static str, f64>,
    pub times: Option<Times>,
}

/// One line of the table. `ratio` is what the mark is about: a ratio, or a value with its unit.
struct Row {
    what: String,
    figure: String,
    mark: String,
    holds: Option<bool>,
    ours: String,
    control: String,
}

/// Two sides of the same rounds, and the mark for their ratio.
const RATIOS: [(&str, &str, &str, f64, f64); 13] = [
    ("proxy without plugins ÷ nginx", "bare", "nginx", 1.3, 2.0),
    ("key-auth + rate-limiting + file-log ÷ without plugins", "std", "bare", 1.3, f64::NAN),
    ("key-auth + rate-limiting + file-log ÷ nginx + Lua doing the same", "std", "lua-std", 1.3, f64::NAN),
    ("10,000 routes ÷ 1 route, random paths", "routes-10000", "routes-1", 1.15, f64::NAN),
    ("TLS 1.3, connections kept ÷ nginx", "tls", "nginx-tls", 1.1, f64::NAN),
    ("a TLS 1.3 handshake and one request ÷ nginx", "handshake", "nginx-handshake", 0.7, f64::NAN),
    ("HTTP/2 over TLS ÷ nginx", "h2", "nginx-h2", 1.0, f64::NAN),
    ("answers of 64 KiB ÷ nginx", "64k", "nginx-64k", 0.8, f64::NAN),
    ("answers of 64 KiB ÷ nginx with 16 buffers of 16 KiB", "64k", "nginx-64k-roomy", f64::NAN, f64::NAN),
    ("answers of 1 MiB ÷ nginx with 16 buffers of 16 KiB", "1m", "nginx-1m", f64::NAN, f64::NAN),
    ("1,000 connections ÷ nginx", "c1000", "nginx-c1000", 1.5, f64::NAN),
    ("unary gRPC over TLS ÷ nginx", "grpc", "nginx-grpc", f64::NAN, f64::NAN),
    ("nginx + Lua doing the same ÷ nginx (the control's own price)", "lua-std", "nginx", f64::NAN, f64::NAN),
];

/// Plugins in a chain: sides, what they are compared with, how many, and the mark in µs for each plugin.
const CHAINS: [(&str, &str, f64, f64); 6] = [
    ("chain-1", "bare", 1.0, 1.5),
    ("chain-5", "bare", 5.0, 1.5),
    ("chain-10", "bare", 10.0, 1.5),
    ("lua-chain-1", "lua", 1.0, f64::NAN),
    ("lua-chain-5", "lua", 5.0, f64::NAN),
    ("lua-chain-10", "lua", 10.0, f64::NAN),
];

/// Single plugins: the instructions that one costs, and the mark for them.
const CALLS: [(&str, &str, f64); 2] = [
    ("a plugin that looks at two headers, changes nothing", "look", 4500.0),
    ("a plugin that looks at two headers, sets two", "change", 10_000.0),
];

impl Results {
    /// The table in Markdown.
    pub fn markdown(&self, begin: &str) -> String {
        let mut text = format!("{begin}\n\n");
        text.push_str("| what | figure | mark | holds | Sandgate | beside it |\n|---|---|---|---|---|---|\n");
        for row in self.rows() {
            let holds = row.holds.map_or("", |holds| if holds { "yes" } else { "**no**" });
            let Row { what, figure, mark, ours, control, .. } = row;
            text.push_str(&format!("| {what} | {figure} | {mark} | {holds} | {ours} | {control} |\n"));
        }
        text
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (what, ours, control, mark, instructions_mark) in RATIOS {
            rows.extend(self.cpu_ratio(what, ours, control, mark));
            rows.extend(self.instruction_ratio(what, ours, control, instructions_mark));
        }
        for (side, base, count, mark) in CHAINS {
            rows.extend(self.marginal(side, base, count, mark));
        }
        for (what, side, mark) in CALLS {
            rows.extend(self.call(what, side, mark));
        }
        rows.extend(self.times.iter().flat_map(time_rows));
        rows
    }

    /// The median of the ratios within a round, which a slow minute of the machine does not move.
    fn cpu_ratio(&self, what: &str, ours: &str, control: &str, mark: f64) -> Option<Row> {
        let (subject, base) = (self.samples.get(ours)?, self.samples.get(control)?);
        let ratios = subject.iter().zip(base).map(|(one, other)| one.cpu_us / other.cpu_us).collect();
        let ratios = sorted(ratios);
        let figure = format!("{:.2} ({:.2}–{:.2})", median(&ratios), ratios.first()?, ratios.last()?);
        Some(Row {
            what: format!("{what}: CPU"),
            figure,
            mark: at_most(mark, ""),
            holds: judge(median(&ratios), mark),
            ours: load(subject),
            control: load(base),
        })
    }

    fn instruction_ratio(&self, what: &str, ours: &str, control: &str, mark: f64) -> Option<Row> {
        let (subject, base) = (self.instructions.get(ours)?, self.instructions.get(control)?);
        Some(Row {
            what: format!("{what}: user instructions"),
            figure: format!("{:.2}", subject / base),
            mark: at_most(mark, ""),
            holds: judge(subject / base, mark),
            ours: thousands(*subject),
            control: thousands(*base),
        })
    }

    fn call(&self, what: &str, side: &str, mark: f64) -> Option<Row> {
        let (with, without) = (self.instructions.get(side)?, self.instructions.get("bare")?);
        Some(Row {
            what: what.to_owned(),
            figure: thousands(with - without),
            mark: format!("≤ {}", thousands(mark)),
            holds: judge(with - without, mark),
            ours: thousands(*with),
            control: thousands(*without),
        })
    }

    fn marginal(&self, side: &str, base: &str, count: f64, mark: f64) -> Option<Row> {
        let (chain, without) = (self.samples.get(side)?, self.samples.get(base)?);
        let each = chain.iter().zip(without).map(|(one, other)| (one.cpu_us - other.cpu_us) / count).collect();
        let each = sorted(each);
        let instructions = self.instructions.get(side).zip(self.instructions.get(base));
        let instructions =
            instructions.map_or(String::new(), |(one, other)| format!(", {}", thousands((one - other) / count)));
        let kind = if base == "lua" { "Lua functions in nginx" } else { "plugins" };
        Some(Row {
            what: format!("each of {count} {kind} that read a header, count, set a header"),
            figure: format!("{:.2} µs ({:.2}–{:.2}){instructions}", median(&each), each.first()?, each.last()?),
            mark: at_most(mark, " µs"),
            holds: judge(median(&each), mark),
            ours: load(chain),
            control: load(without),
        })
    }
}

fn time_rows(times: &Times) -> Vec<Row> {
    let row = |what: &str, value: f64, unit: &str, mark: f64, ours: String| Row {
        what: what.to_owned(),
        figure: format!("{value:.0}{unit}"),
        mark: at_most(mark, unit),
        holds: judge(value, mark),
        ours,
        control: String::new(),
    };
    let span = |values: &[f64]| {
        let values = sorted(values.to_vec());
        format!("{:.0}–{:.0} ms, {} times", values.first().unwrap_or(&0.0), values.last().unwrap_or(&0.0), values.len())
    };
    let connection = &times.connection;
    let young =
        format!("{:.0} KiB in its first second, {:.0} before other traffic", connection.at_once, connection.asleep);
    let typical = |values: &[f64]| median(&sorted(values.to_vec()));
    vec![
        row("idle resident memory, all built-ins loaded", times.resident, " MiB", 80.0, String::new()),
        row("idle connection, kept after one request", connection.settled, " KiB", 20.0, young),
        row("start to first proxied answer, warm cache", typical(&times.start), " ms", 300.0, span(&times.start)),
        row("configuration change to served", typical(&times.change), " ms", 100.0, span(&times.change)),
        row("upload of a module to its first answer", times.upload, " ms", 1000.0, String::new()),
        delay_row("first", &times.events.first, &times.direct.first),
        delay_row("second", &times.events.second, &times.direct.second),
    ]
}

/// How late an event comes; the mark is for 99 of 100.
fn delay_row(which: &str, through: &[f64], direct: &[f64]) -> Row {
    let at = |sorted: &[f64], share: usize| sorted.get(sorted.len() * share / 100).copied().unwrap_or(f64::NAN);
    let words = |sorted: &[f64]| {
        let (half, most) = (at(sorted, 50), at(sorted, 99));
        format!("median {half:.2} ms, p99 {most:.2} ms, {} streams", sorted.len())
    };
    Row {
        what: format!("the {which} event of a stream, from the target's write to the client's read"),
        figure: format!("{:.2} ms (p99)", at(through, 99)),
        mark: at_most(1.0, " ms"),
        holds: judge(at(through, 99), 1.0),
        ours: words(through),
        control: format!("{} without a gateway", words(direct)),
    }
}

fn load(samples: &[Sample]) -> String {
    let cpu = sorted(samples.iter().map(|sample| sample.cpu_us).collect());
    let rate = sorted(samples.iter().map(|sample| sample.requests_per_second).collect());
    format!("{:.1} µs, {:.0}/s", median(&cpu), median(&rate))
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

fn at_most(mark: f64, unit: &str) -> String {
    if mark.is_nan() { String::new() } else { format!("≤ {mark}{unit}") }
}

/// Whether the mark holds, where there is one.
fn judge(value: f64, mark: f64) -> Option<bool> {
    (!mark.is_nan()).then_some(value <= mark)
}

fn thousands(instructions: f64) -> String {
    format!("{:.1} k instructions", instructions / 1000.0)
}

/// What all of it is measured on.
pub fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let count = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit = shell::output(shell::command("git").args(["rev-parse", "--short", "HEAD"])).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!("{count} × {model}, Linux {}, at {}", kernel.trim(), commit.trim())
}

/// Puts a table after its marker on the page.
pub fn write(page: &Path, marker: &str, table: &str) -> Result<()> {
    let old = fs::read_to_string(page).context("reading docs/performance.md")?;
    let (before, rest) = old.split_once(marker).context("docs/performance.md lost a first marker")?;
    let (_, after) = rest.split_once(END).context("docs/performance.md lost a second marker")?;
    shell::write_if_changed(page, format!("{before}{marker}\n{table}{END}{after}").as_bytes()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{Results, Sample, median};

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_each_round() {
        let sample = |cpu_us| Sample { cpu_us, requests_per_second: 1000.0, company: 0.0 };
        let mut results = Results::default();
        results.samples.insert("nginx", vec![sample(10.0), sample(20.0), sample(10.0)]);
        results.samples.insert("bare", vec![sample(12.0), sample(22.0), sample(15.0)]);
        let table = results.markdown("cargo xtask bench");
        assert!(table.contains("| 1.20 (1.10–1.50) | ≤ 1.3 | yes |"), "{table}");
        assert!(median(&[1.0, 2.0]) == 1.5);
    }
}
